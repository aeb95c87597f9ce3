// Package driver runs the driver of an SDK, and speaks DRIVER.md with it.
package driver

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/sdk/conformance/internal/await"
	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
)

// keptStderr is how much of a driver's standard error is kept.
const keptStderr = 64 << 10

// Program is a driver that runs.
type Program struct {
	Stdin  io.WriteCloser
	Stdout io.Reader
	// Wait waits for its end, after everything was read. Kill ends it.
	Wait func() error
	Kill func()
}

// Launch starts a driver; what it says on its standard error goes to stderr. environment
// is added to its environment, if it has one of its own.
type Launch func(stderr io.Writer, environment ...string) (*Program, error)

// Command launches a command.
func Command(args ...string) Launch {
	return func(stderr io.Writer, environment ...string) (*Program, error) {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), environment...)
		cmd.Stderr = stderr
		cmd.WaitDelay = time.Second // for children that keep its standard error
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		kill := func() { _ = cmd.Process.Kill() } // fails if it has ended
		return &Program{Stdin: stdin, Stdout: stdout, Wait: cmd.Wait, Kill: kill}, nil
	}
}

// Process is a driver that runs. All methods may be called concurrently. Its mu guards
// what its sessions know of their calls, too.
type Process struct {
	name    string
	program *Program
	stderr  tail
	writes  chan []byte
	quit    chan struct{} // closed to end the writer
	quitOne sync.Once
	done    sync.WaitGroup

	state     await.State
	nextID    int
	calls     map[int]*Call
	handlings map[int]*Handling
	logs      []protocol.Log
	wrong     []string // what was against the protocol
	ended     bool     // standard output has ended
	exit      error
}

// Start starts a driver. name is for people; environment is added to that of the driver.
func Start(name string, launch Launch, environment ...string) (*Process, error) {
	p := &Process{
		name:      name,
		writes:    make(chan []byte, 1024),
		quit:      make(chan struct{}),
		calls:     map[int]*Call{},
		handlings: map[int]*Handling{},
	}
	program, err := launch(&p.stderr, environment...)
	if err != nil {
		return nil, fmt.Errorf("start the driver %s: %w", name, err)
	}
	p.program = program
	p.done.Go(p.write)
	p.done.Go(p.read)
	return p, nil
}

// Stop ends the driver: standard input ends, and it must exit with 0.
func (p *Process) Stop() error {
	p.quitOne.Do(func() { close(p.quit) })
	gone := make(chan struct{})
	go func() {
		p.done.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(await.Patience):
		p.program.Kill()
		<-gone
		return fmt.Errorf("the driver %s didn't exit within %v of the end of its standard input", p.name, await.Patience)
	}
	if p.exit != nil {
		return fmt.Errorf("the driver %s: %w; it said: %s", p.name, p.exit, p.Stderr())
	}
	return nil
}

// Alive reports whether the driver can be used.
func (p *Process) Alive() bool {
	alive := false
	p.state.Look(func() { alive = !p.ended })
	return alive
}

// Stderr is the end of what the driver said on its standard error.
func (p *Process) Stderr() string { return p.stderr.String() }

// write writes commands until the process is stopped.
func (p *Process) write() {
	defer p.program.Stdin.Close() //nolint:errcheck // the driver has gone, or goes by it
	for {
		select {
		case line := <-p.writes:
			if _, err := p.program.Stdin.Write(line); err != nil {
				return // read learns that the driver has ended
			}
		case <-p.quit:
			return
		}
	}
}

// read takes lines until the driver has ended.
func (p *Process) read() {
	lines := bufio.NewReaderSize(p.program.Stdout, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			p.take(line)
		}
		if err != nil {
			break
		}
	}
	err := p.program.Wait()
	p.state.Update(func() { p.ended, p.exit = true, err })
}

// take takes a line.
func (p *Process) take(data []byte) {
	var line protocol.Line
	err := json.Unmarshal(data, &line)
	p.state.Update(func() {
		if err == nil {
			err = p.takeLineLocked(&line, data)
		}
		if err != nil {
			p.wrong = append(p.wrong, fmt.Sprintf("%v, in the line %s", err, shorten(data)))
		}
	})
}

func (p *Process) takeLineLocked(line *protocol.Line, data []byte) error {
	switch {
	case line.ID != nil:
		call := p.calls[*line.ID]
		if call == nil {
			return errors.New("an answer to no command")
		}
		call.session.noteLocked("<", data)
		return call.answerLocked(line)
	case line.Event != nil:
		call := p.calls[line.Event.Consume]
		if call == nil || call.consume == nil {
			return errors.New("an event of no consume")
		}
		call.session.noteLocked("<", data)
		call.consume.events = append(call.consume.events, *line.Event)
		return nil
	case line.Handling != nil && line.Cancelled:
		h := p.handlings[*line.Handling]
		if h == nil {
			return errors.New("the end of no handling")
		}
		h.consume.call.session.noteLocked("<", data)
		h.cancelled = time.Now()
		return nil
	case line.Handling != nil:
		return p.takeHandlingLocked(line, data)
	case line.Log != nil:
		p.logs = append(p.logs, *line.Log)
		return nil
	}
	return errors.New("nothing that DRIVER.md knows")
}

func (p *Process) takeHandlingLocked(line *protocol.Line, data []byte) error {
	call := p.calls[line.Consume]
	switch {
	case call == nil || call.consume == nil:
		return errors.New("a handling of no consume")
	case p.handlings[*line.Handling] != nil:
		return errors.New("a handling with the number of another")
	case line.Message == nil:
		return errors.New("a handling without a message")
	}
	call.session.noteLocked("<", data)
	h := &Handling{
		Message: *line.Message, Failure: line.Failure, Began: time.Now(),
		number: *line.Handling, consume: call.consume, returned: call.consume.auto,
	}
	p.handlings[h.number] = h
	call.consume.handlings = append(call.consume.handlings, h)
	return nil
}

// send writes a command, and notes it.
func (p *Process) send(s *Session, command any) {
	data, err := json.Marshal(command)
	if err != nil {
		s.fatalf("a command that can't be written: %v", err)
	}
	p.state.Update(func() { s.noteLocked(">", data) })
	select {
	case p.writes <- append(data, '\n'):
	case <-time.After(await.Patience):
		s.fatalf("the driver doesn't read its standard input")
	}
}

// Wrong returns what the driver said against the protocol, and forgets it.
func (p *Process) Wrong() []string {
	var wrong []string
	p.state.Update(func() { wrong, p.wrong = p.wrong, nil })
	return wrong
}

// Logs are the records of the SDK's log so far.
func (p *Process) Logs() []protocol.Log {
	var logs []protocol.Log
	p.state.Look(func() { logs = slices.Clone(p.logs) })
	return logs
}

// AwaitLog waits for a record of the SDK's log that is as wanted.
func (p *Process) AwaitLog(t await.T, what string, wanted func(protocol.Log) bool) {
	t.Helper()
	p.state.Wait(t,
		func() string { return fmt.Sprintf("a record in the log: %s; it has %q", what, p.logs) },
		func() bool { return slices.ContainsFunc(p.logs, wanted) })
}

// shorten makes a line fit for people.
func shorten(data []byte) string {
	const longest = 600
	text := strings.TrimSpace(string(data))
	if len(text) > longest {
		return fmt.Sprintf("%s… (%d bytes)", text[:longest], len(text))
	}
	return text
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if len(t.data) > keptStderr {
		t.data = slices.Clone(t.data[len(t.data)-keptStderr:])
	}
	return len(p), nil
}

// String is what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}
