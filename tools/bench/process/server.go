package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 3 * time.Minute // Kafka in a container whose image has to be built
	stopTimeout  = 20 * time.Second
	tailLines    = 30
)

// Server is a process that serves until it is stopped.
type Server struct {
	// Address is where it listens.
	Address string

	cmd    *exec.Cmd
	stdin  io.Closer
	ended  chan struct{} // closed when it has ended and said everything
	result error         // of Wait; read when ended is closed

	mu   sync.Mutex
	tail []string // the last that it said
}

// StartServer starts a process and waits until a line of what it prints, for which
// address returns where it listens. The process is to end when its standard input
// does or at SIGTERM, whichever it knows of. The error says what the process said.
func StartServer(ctx context.Context, cmd *exec.Cmd, address func(line string) (string, bool)) (*Server, error) {
	output, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = theirs, theirs
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, output.Close(), theirs.Close())
	}
	if cmd.Cancel != nil { // its context's end is to let it clean up
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	}
	if err := errors.Join(cmd.Start(), theirs.Close()); err != nil {
		return nil, errors.Join(err, output.Close())
	}
	s := &Server{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	listening := make(chan string, 1)
	go s.listen(output, address, listening)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case s.Address = <-listening:
		return s, nil
	case <-s.ended:
		return nil, s.failed("ended at once", s.result)
	case <-ctx.Done():
		return nil, errors.Join(s.failed("did not start", ctx.Err()), s.Stop())
	}
}

func (s *Server) listen(output io.ReadCloser, address func(string) (string, bool), listening chan<- string) {
	defer close(s.ended)
	found := false
	for lines := bufio.NewScanner(output); lines.Scan(); {
		line := lines.Text()
		s.keep(line)
		if where, ok := address(line); ok && !found {
			found = true
			listening <- where
		}
	}
	s.result = errors.Join(s.cmd.Wait(), output.Close())
}

func (s *Server) keep(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tail) == tailLines {
		s.tail = slices.Delete(s.tail, 0, 1)
	}
	s.tail = append(s.tail, line)
}

func (s *Server) failed(how string, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Errorf("%s %s: %w; it said:\n%s", s.cmd.Path, how, err, strings.Join(s.tail, "\n"))
}

// PID is the process's number.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop ends the process and waits for it. It is an error if the process had ended by
// itself, or has to be killed. It may be called twice.
func (s *Server) Stop() error {
	select {
	case <-s.ended:
		return nil
	default:
	}
	_ = s.stdin.Close()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		return nil
	case <-time.After(stopTimeout):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return s.failed("had to be killed", s.result)
	}
}

// Check returns an error if the process has ended.
func (s *Server) Check() error {
	select {
	case <-s.ended:
		return s.failed("ended by itself", s.result)
	default:
		return nil
	}
}
