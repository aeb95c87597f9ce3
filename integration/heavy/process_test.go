package heavy_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long anything may take that takes seconds on a quiet machine.
const patience = 2 * time.Minute

var programFlag = flag.String("messageproxy", "", "the program to attack, instead of one that is built from source")

// program is the built messageproxy.
var program struct {
	once sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if *programFlag == "" && program.path != "" {
		_ = os.RemoveAll(filepath.Dir(program.path)) // in the system's folder for such things
	}
	os.Exit(code)
}

func programPath(t testing.TB) string {
	t.Helper()
	program.once.Do(func() {
		if program.path = *programFlag; program.path == "" {
			program.path, program.err = buildProgram()
		}
	})
	require.NoError(t, program.err)
	return program.path
}

func buildProgram() (string, error) {
	dir, err := os.MkdirTemp("", "messageproxy-heavy")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "messageproxy")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/messageproxy")
	cmd.Dir = filepath.Join("..", "..", "server")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return path, fmt.Errorf("build the program: %w\n%s", err, output)
	}
	return path, nil
}

// process is a proxy in a process of its own.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	addr string
	done chan struct{} // closed when it has ended and all that it said is read

	mu    sync.Mutex
	lines []string
}

var listening = regexp.MustCompile(`msg=listening.* addr=(\S+)`)

// startProcess starts "messageproxy serve" in front of a Kafka, with a limit for Go's
// garbage collector. It is killed when the test ends.
func startProcess(t testing.TB, brokers []string, memoryLimit int64, args ...string) *process {
	t.Helper()
	p := &process{t: t, done: make(chan struct{})}
	p.cmd = exec.Command(programPath(t), append([]string{
		"serve", "--listen", "127.0.0.1:0", "--kafka-brokers", strings.Join(brokers, ","),
	}, args...)...)
	p.cmd.Env = append(withoutGoSettings(os.Environ()), fmt.Sprintf("GOMEMLIMIT=%d", memoryLimit))
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.kill)
	addr := make(chan string, 1)
	go p.follow(bufio.NewScanner(stderr), addr)
	select {
	case p.addr = <-addr:
	case <-p.done:
		require.FailNow(t, "the proxy has ended", strings.Join(p.said(), "\n"))
	case <-time.After(patience):
		require.FailNow(t, "the proxy doesn't listen", strings.Join(p.said(), "\n"))
	}
	return p
}

// withoutGoSettings leaves out what would change the proxy's garbage collection.
func withoutGoSettings(environ []string) []string {
	kept := environ[:0:0]
	for _, e := range environ {
		if !strings.HasPrefix(e, "GOGC=") && !strings.HasPrefix(e, "GOMEMLIMIT=") && !strings.HasPrefix(e, "MESSAGEPROXY_") {
			kept = append(kept, e)
		}
	}
	return kept
}

func (p *process) follow(lines *bufio.Scanner, addr chan<- string) {
	defer close(p.done)
	for lines.Scan() {
		line := lines.Text()
		p.mu.Lock()
		p.lines = append(p.lines, line)
		p.mu.Unlock()
		if m := listening.FindStringSubmatch(line); m != nil {
			addr <- m[1]
		}
	}
}

func (p *process) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[:len(p.lines):len(p.lines)]
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
	_ = p.cmd.Wait()
}

// memory is what the kernel says of a process's memory, in bytes.
type memory struct{ now, peak int64 }

func (p *process) memory() memory {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err, "the proxy has died")
	now, err1 := statusBytes(string(status), "VmRSS")
	peak, err2 := statusBytes(string(status), "VmHWM")
	require.NoError(p.t, errors.Join(err1, err2))
	return memory{now, peak}
}

// statusBytes reads a line such as "VmRSS:	   1234 kB".
func statusBytes(status, name string) (int64, error) {
	for line := range strings.Lines(status) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == name+":" {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("the kernel doesn't say %s", name)
}
