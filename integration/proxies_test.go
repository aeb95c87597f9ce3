package integration_test

import (
	"bufio"
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

// Two proxies share a subscription; one is killed, and the other takes over what
// was not ACKed.
func TestTwoProxiesShareASubscriptionAndOneIsKilled(t *testing.T) {
	const partitions, n = 4, 500
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(partitions), unique(t, "sub")
	one := startProcess(t, sharedKafka.Brokers())
	two := startProcess(t, sharedKafka.Brokers())
	rec := newRecorder()
	first := consume(t, connect(t, one.addr), sub, []string{topic}, rec.handler("one", nil))
	first.awaitAssigned(patience, partitions)
	second := consume(t, connect(t, two.addr), sub, []string{topic}, rec.handler("two", nil))
	second.awaitAssigned(patience, partitions/2)
	first.awaitAssigned(patience, partitions/2)
	require.Equal(t, 2, a.members(sub))
	a.fill(topic, partitions, n)
	rec.awaitHandled(t, patience, partitions*n/2)
	one.kill()
	second.awaitAssigned(patience, partitions)
	rec.awaitHandled(t, patience, partitions*n)
	rec.requireAllHandled(t, partitions, n)
	counts := rec.handledBy()
	require.Positive(t, counts["one"])
	require.Positive(t, counts["two"])
	eventually(t, patience, func() bool { return a.committedSum(sub, topic) == partitions*n }, "everything is committed")
}

// A proxy that shuts down lets its clients finish and hands its partitions on:
// every message is handled exactly once.
func TestProxyThatDrainsLosesAndRepeatsNothing(t *testing.T) {
	const partitions, n = 4, 500
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(partitions), unique(t, "sub")
	one := startProcess(t, sharedKafka.Brokers())
	two := startProcess(t, sharedKafka.Brokers())
	rec := newRecorder()
	first := consume(t, connect(t, one.addr), sub, []string{topic}, rec.handler("one", nil))
	second := consume(t, connect(t, two.addr), sub, []string{topic}, rec.handler("two", nil))
	second.awaitAssigned(patience, partitions/2)
	first.awaitAssigned(patience, partitions/2)
	a.fill(topic, partitions, n)
	rec.awaitHandled(t, patience, partitions*n/4)
	require.NoError(t, one.terminate(), "exit 0 after a drain")
	second.awaitAssigned(patience, partitions)
	rec.awaitHandled(t, patience, partitions*n)
	rec.requireOrderOnce(t, partitions, n)
}

// process is a proxy in a process of its own.
type process struct {
	t    *testing.T
	addr string
	cmd  *exec.Cmd
	out  chan struct{} // closed at the end of its output
}

var buildBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "messageproxy")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "messageproxy")
	build := exec.Command("go", "build", "-o", binary, "github.com/messageproxy/messageproxy/server/cmd/messageproxy")
	build.Stderr = os.Stderr
	return binary, build.Run()
})

var listening = regexp.MustCompile(`msg=listening.* addr=(\S+)`)

func startProcess(t *testing.T, brokers []string, args ...string) *process {
	t.Helper()
	binary, err := buildBinary()
	require.NoError(t, err)
	cmd := exec.Command(binary, append([]string{
		"serve", "--listen", "127.0.0.1:0", "--kafka-brokers", strings.Join(brokers, ","), "--kafka-session-timeout", "6s",
	}, args...)...)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{t: t, cmd: cmd, out: make(chan struct{})}
	t.Cleanup(p.kill)
	found := make(chan string, 1)
	go p.copyOutput(stderr, found)
	select {
	case p.addr = <-found:
	case <-p.out:
		require.FailNow(t, "the proxy ended before it listened")
	case <-time.After(patience):
		require.FailNow(t, "the proxy doesn't say that it listens")
	}
	return p
}

// copyOutput logs what the proxy says, and hands on the address that it listens on.
func (p *process) copyOutput(r io.Reader, found chan<- string) {
	defer close(p.out)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		p.t.Logf("%d: %s", p.cmd.Process.Pid, lines.Text())
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			found <- m[1]
		}
	}
}

// kill ends the process as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.out
	_ = p.cmd.Wait()
}

// terminate asks the process to shut down and returns how it exited.
func (p *process) terminate() error {
	require.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
	<-p.out
	return p.cmd.Wait()
}
