package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

var update = flag.Bool("update", false, "write the golden files anew")

// asProgram, in the environment, has the test binary be the program itself.
const asProgram = "RUN_AS_MESSAGEPROXY"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what should happen at once.
const patience = 60 * time.Second

// runHere runs the program within the test.
func runHere(args, environ []string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(program{args: args, environ: environ, stdout: &out, stderr: &errs})
	return code, out.String(), errs.String()
}

// process is the program, running by itself.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer // complete when the process has ended
	logs   chan record
	ended  chan struct{}

	mu   sync.Mutex
	text bytes.Buffer // its standard error
}

// record is a line of the log.
type record map[string]any

// startProcess starts the program, which must log JSON. It is killed at the end of
// the test if it is still running.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, logs: make(chan record, 10_000), ended: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], append(args, "--log-format=json")...)
	p.cmd.Env = []string{asProgram + "=1", "HOME=" + t.TempDir()}
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		p.readLog(bufio.NewScanner(stderr))
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the log of %v:\n%s", args, p.logText())
		}
	})
	return p
}

func (p *process) readLog(lines *bufio.Scanner) {
	defer close(p.logs)
	for lines.Scan() {
		p.mu.Lock()
		p.text.Write(append(lines.Bytes(), '\n'))
		p.mu.Unlock()
		var r record
		if json.Unmarshal(lines.Bytes(), &r) == nil {
			p.logs <- r
		}
	}
}

func (p *process) logText() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// waitLog returns the next line with this message.
func (p *process) waitLog(message string) record {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case r, ok := <-p.logs:
			require.True(p.t, ok, "the process has ended without saying %q", message)
			if r["msg"] == message {
				return r
			}
		case <-timeout:
			require.Fail(p.t, "not logged", "%q", message)
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// exitCode waits for the end.
func (p *process) exitCode() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.Fail(p.t, "the process doesn't end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// dial connects to the address of a log line.
func dial(t *testing.T, listening record) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+listening["addr"].(string),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// inTime is a context for what should happen at once.
func inTime(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run the test with -update if this is meant")
}
