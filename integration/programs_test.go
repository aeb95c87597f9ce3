package integration_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// programs are the binaries that tests run, all in one folder. They are built when
// the first is needed, and removed by TestMain.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

// binary returns the path of a program: messageproxy, or one of the examples.
func binary(t *testing.T, name string) string {
	t.Helper()
	programs.once.Do(func() { programs.dir, programs.err = buildPrograms() })
	require.NoError(t, programs.err)
	return filepath.Join(programs.dir, name)
}

func buildPrograms() (string, error) {
	dir, err := os.MkdirTemp("", "messageproxy")
	if err != nil {
		return "", err
	}
	return dir, errors.Join(
		build(dir, "../server", "./cmd/messageproxy"),
		build(dir, "../sdk/examples", "./produce", "./consume", "./workerpool", "./pipeline"),
	)
}

// build builds commands of a module as that module's users get them.
func build(to, module string, packages ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-o", to + string(filepath.Separator)}, packages...)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %v of %s: %w\n%s", packages, module, err, output)
	}
	return nil
}

func removePrograms() {
	if programs.dir != "" {
		_ = os.RemoveAll(programs.dir) // in the system's folder for such things
	}
}

// process is a program that runs.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	read  sync.WaitGroup // of its output

	mu      sync.Mutex
	lines   []string // of its output
	changed chan struct{}
}

// start runs a program until it ends or the test does. What it writes to its
// standard error is logged.
func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary(t, program), args...), changed: make(chan struct{})}
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	name := fmt.Sprintf("%s %d", program, p.cmd.Process.Pid)
	p.read.Go(func() { p.readLines(stdout, func(string) {}) })
	p.read.Go(func() { p.readLines(stderr, func(line string) { t.Logf("%s: %s", name, line) }) })
	t.Cleanup(p.kill)
	return p
}

func (p *process) readLines(r io.Reader, log func(string)) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		log(lines.Text())
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
}

// await waits until condition holds of the lines that the program has written.
func (p *process) await(within time.Duration, what string, condition func(lines []string) bool) {
	p.t.Helper()
	await(p.t, within, func() (bool, <-chan struct{}) {
		lines, changed := p.said()
		return condition(lines), changed
	}, func() string {
		lines, _ := p.said()
		return fmt.Sprintf("for %s to say %s; it said %q", p.cmd.Path, what, lines[max(0, len(lines)-10):])
	})
}

// said returns the lines so far, and a channel that is closed when there are more.
func (p *process) said() ([]string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines, p.changed
}

// awaitMatch waits for a line that matches, and returns its first group.
func (p *process) awaitMatch(within time.Duration, pattern *regexp.Regexp) (found string) {
	p.t.Helper()
	p.await(within, pattern.String(), func(lines []string) bool {
		for _, line := range lines {
			if m := pattern.FindStringSubmatch(line); m != nil {
				found = m[1]
				return true
			}
		}
		return false
	})
	return found
}

// kill ends the process as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.wait()
}

// terminate asks the process to shut down and returns how it exited.
func (p *process) terminate() error {
	require.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
	return p.wait()
}

// wait waits for the process's end and returns how it exited.
func (p *process) wait() error {
	p.read.Wait()
	return p.cmd.Wait()
}

// proxyProcess is a proxy in a process of its own.
type proxyProcess struct {
	*process
	addr string
}

var listening = regexp.MustCompile(`msg=listening.* addr=(\S+)`)

func startProcess(t *testing.T, brokers []string, args ...string) *proxyProcess {
	t.Helper()
	p := start(t, "messageproxy", append([]string{
		"serve", "--listen", "127.0.0.1:0", "--kafka-brokers", strings.Join(brokers, ","), "--kafka-session-timeout", "6s",
	}, args...)...)
	return &proxyProcess{p, p.awaitMatch(patience, listening)}
}
