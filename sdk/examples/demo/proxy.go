package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// partitions is how many partitions the demo's topic has.
const partitions = 6

// stopTimeout is how long the proxy has to stop.
const stopTimeout = 30 * time.Second

// proxy is a running "messageproxy dev".
type proxy struct {
	addr string
	cmd  *exec.Cmd
	// read ends when the proxy's log does.
	read sync.WaitGroup

	mu    sync.Mutex
	lines []string
}

// startProxy starts the binary and waits until it listens.
func startProxy(ctx context.Context, binary string) (*proxy, error) {
	p := &proxy{cmd: exec.Command(binary, "dev", "--listen", "127.0.0.1:0", "--partitions", strconv.Itoa(partitions))}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("can't start the proxy (build it with \"make build\"): %w", err)
	}
	listening := make(chan string, 1)
	p.read.Go(func() {
		p.readLog(stderr, listening)
		close(listening)
	})
	select {
	case addr, ok := <-listening:
		if !ok {
			return nil, fmt.Errorf("the proxy ended before it listened: %w; its log:\n%s", p.cmd.Wait(), p.log())
		}
		p.addr = addr
		return p, nil
	case <-ctx.Done():
		_ = p.stop()
		return nil, fmt.Errorf("waiting for the proxy to listen: %w; its log:\n%s", context.Cause(ctx), p.log())
	}
}

// listeningLine is what the proxy logs once it listens.
var listeningLine = regexp.MustCompile(`msg=listening\b.*\baddr="?([^\s"]+)`)

// readLog keeps the log and tells the address once.
func (p *proxy) readLog(stderr io.Reader, listening chan<- string) {
	told := false
	scanner := bufio.NewScanner(stderr)
	for scanner.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, scanner.Text())
		p.mu.Unlock()
		if match := listeningLine.FindStringSubmatch(scanner.Text()); match != nil && !told {
			listening <- match[1]
			told = true
		}
	}
}

func (p *proxy) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// stop asks the proxy to stop and waits until it has.
func (p *proxy) stop() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		_ = p.cmd.Process.Kill() // where there are no signals
	}
	defer time.AfterFunc(stopTimeout, func() { _ = p.cmd.Process.Kill() }).Stop()
	p.read.Wait()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the proxy did not stop cleanly: %w", err)
	}
	return nil
}
