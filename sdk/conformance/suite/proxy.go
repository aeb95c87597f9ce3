package suite

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"

	"github.com/messageproxy/messageproxy/sdk/conformance/internal/await"
)

// Proxy is a real proxy, with a Kafka inside, that keeps its data when it restarts.
type Proxy struct {
	h      *Harness
	dir    string
	output proxyOutput

	cmd *exec.Cmd
	// addr is where it listens, the same after each start.
	addr  string
	state await.State
	// Guarded by the state.
	listening string
	ended     bool
}

// greeting is the line in which it says where it listens.
var greeting = regexp.MustCompile(`^\s*proxy\s+(\S+:\d+)`)

// StartProxy starts a real proxy, which ends with the scenario.
func (h *Harness) StartProxy() *Proxy {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		h.fatalf("%v", err)
	}
	p := &Proxy{h: h, dir: dir, addr: "127.0.0.1:0"}
	h.proxies = append(h.proxies, p)
	p.Start()
	return p
}

func (h *Harness) fatalf(format string, args ...any) {
	h.Errorf(format, args...)
	h.FailNow()
}

// Addr is the target for clients.
func (p *Proxy) Addr() string { return p.addr }

// Start starts it, and waits until it listens.
func (p *Proxy) Start() {
	p.cmd = exec.Command(p.h.proxy, "dev", "--listen", p.addr, "--kafka-listen", "127.0.0.1:0",
		"--data-dir", filepath.Join(p.dir, "data"), "--drain-timeout", "2s")
	p.cmd.Stderr = &p.output
	stdout, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.h.fatalf("start the proxy: %v", err)
	}
	p.state.Update(func() { p.listening, p.ended = "", false })
	cmd := p.cmd
	go p.watch(cmd, stdout)
	p.state.Wait(p.h,
		func() string { return "the proxy to listen; it has ended: " + fmt.Sprint(p.ended) },
		func() bool { return p.listening != "" || p.ended })
	p.state.Look(func() { p.addr = p.listening })
	if p.addr == "" {
		p.h.fatalf("the proxy has ended")
	}
}

// watch reads what the proxy prints until it has ended.
func (p *Proxy) watch(cmd *exec.Cmd, stdout io.Reader) {
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if m := greeting.FindStringSubmatch(lines.Text()); m != nil {
			p.state.Update(func() { p.listening = m[1] })
		}
	}
	_ = cmd.Wait() // how it ended is in its output
	p.state.Update(func() { p.ended = true })
}

// Stop stops it in good order.
func (p *Proxy) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended
	p.state.Wait(p.h, func() string { return "the end of the proxy" }, func() bool { return p.ended })
}

// Kill kills it.
func (p *Proxy) Kill() {
	_ = p.cmd.Process.Kill() // fails if it has ended
	p.state.Wait(p.h, func() string { return "the end of the proxy" }, func() bool { return p.ended })
}

// kill ends it with the scenario.
func (p *Proxy) kill() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill() // fails if it has ended
	}
	_ = os.RemoveAll(p.dir) // in the system's folder for such things
}

// Output is the end of what it logged.
func (p *Proxy) Output() string { return p.output.String() }

// proxyOutput keeps the end of a log.
type proxyOutput struct {
	mu   sync.Mutex
	data []byte
}

// Write implements io.Writer.
func (o *proxyOutput) Write(b []byte) (int, error) {
	const kept = 4000
	o.mu.Lock()
	defer o.mu.Unlock()
	o.data = append(o.data, b...)
	o.data = o.data[max(0, len(o.data)-kept):]
	return len(b), nil
}

// String is what is kept.
func (o *proxyOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.data)
}
