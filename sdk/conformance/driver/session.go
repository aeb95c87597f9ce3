package driver

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/messageproxy/messageproxy/sdk/conformance/internal/await"
	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
)

// keptLines is how many lines of a session are kept.
const keptLines = 400

// sessions counts them, so that the clients of each have names of their own.
var sessions atomic.Int64

// Session is what one scenario does with a driver. Its methods are for the scenario's
// goroutine, and fail it where the driver doesn't do what they say.
type Session struct {
	t       await.T
	process *Process
	prefix  string

	// Guarded by the process's state.
	lines   []string
	dropped int

	clients []*Client
	calls   []*Call
}

// NewSession begins a session; Close ends it.
func (p *Process) NewSession(t await.T) *Session {
	return &Session{t: t, process: p, prefix: fmt.Sprintf("s%d-", sessions.Add(1))}
}

func (s *Session) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf(format, args...)
	s.t.FailNow()
}

// noteLocked keeps a line for people.
func (s *Session) noteLocked(direction string, data []byte) {
	if len(s.lines) == keptLines {
		s.lines = s.lines[1:]
		s.dropped++
	}
	s.lines = append(s.lines, fmt.Sprintf("%s %s %s", time.Now().Format("15:04:05.000"), direction, shorten(data)))
}

// Transcript is what was said, for people.
func (s *Session) Transcript() string {
	var text string
	s.process.state.Look(func() {
		text = strings.Join(s.lines, "\n")
		if s.dropped > 0 {
			text = fmt.Sprintf("(%d lines before)\n%s", s.dropped, text)
		}
	})
	return text
}

// call sends a command that build makes of its id.
func (s *Session) call(what string, consume *Consume, build func(id int) any) *Call {
	s.t.Helper()
	c := &Call{session: s, what: what, consume: consume}
	s.process.state.Update(func() {
		s.process.nextID++
		c.id = s.process.nextID
		s.process.calls[c.id] = c
		if consume != nil {
			consume.call = c
		}
	})
	s.calls = append(s.calls, c)
	s.process.send(s, build(c.id))
	return c
}

// Ping waits until everything that the driver wrote before has come.
func (s *Session) Ping() {
	s.t.Helper()
	s.call("ping", nil, func(id int) any { return protocol.Command{ID: id, Op: "ping"} }).OK()
}

// Memory is how much memory the driver uses, in bytes, without garbage.
func (s *Session) Memory() int64 {
	s.t.Helper()
	call := s.call("memory", nil, func(id int) any { return protocol.Command{ID: id, Op: "memory"} })
	var m protocol.Memory
	call.decode(&m)
	return m.Bytes
}

// Open makes a client.
func (s *Session) Open(target string, o protocol.ClientOptions) *Client {
	s.t.Helper()
	c, call := s.open(target, options(s, o))
	call.OK()
	s.clients = append(s.clients, c)
	return c
}

// Opens makes a client, and reports whether it could.
func (s *Session) Opens(target string, o protocol.ClientOptions) bool {
	s.t.Helper()
	c, call := s.open(target, options(s, o))
	if !call.SucceededWithin(await.Patience) {
		return false
	}
	s.clients = append(s.clients, c)
	return true
}

// OpenRefused tries to make a client, which must fail, and returns why it did. Options are
// protocol.ClientOptions, or anything else that JSON can say.
func (s *Session) OpenRefused(target string, o any) *protocol.Error {
	s.t.Helper()
	_, call := s.open(target, options(s, o))
	return call.Error()
}

func (s *Session) open(target string, o json.RawMessage) (*Client, *Call) {
	s.t.Helper()
	c := &Client{session: s, name: fmt.Sprintf("%s%d", s.prefix, len(s.calls))}
	return c, s.call("open "+target, nil, func(id int) any {
		return protocol.Command{ID: id, Op: "open", Client: c.name, Target: &target, Options: o}
	})
}

func options(s *Session, o any) json.RawMessage {
	data, err := json.Marshal(o)
	if err != nil {
		s.fatalf("options that can't be written: %v", err)
	}
	return data
}

// ReturnAll has all handlers that run return, so that nothing of the session goes on.
func (s *Session) ReturnAll() {
	var open []*Handling
	s.process.state.Update(func() {
		for _, h := range s.process.handlings {
			if h.consume.call.session == s && !h.returned {
				h.returned = true
				open = append(open, h)
			}
		}
	})
	for _, h := range open {
		s.call("return", nil, func(id int) any {
			return protocol.Return{ID: id, Op: "return", Handling: h.number, How: "ok"}
		})
	}
}

// Close ends what the session has left behind: handlers return, calls are ended, clients
// are closed. It doesn't wait long; what still runs then is somebody's bug, and no other
// session's concern.
func (s *Session) Close(within time.Duration) {
	deadline := time.Now().Add(within)
	for _, c := range s.calls {
		if c.consume != nil && !c.Answered() {
			c.Cancel()
		}
	}
	var closing []*Call
	for _, c := range s.clients {
		closing = append(closing, c.Close())
	}
	for _, call := range closing {
		for !call.Answered() && time.Now().Before(deadline) && s.process.Alive() {
			s.ReturnAll() // others may have begun
			time.Sleep(5 * time.Millisecond)
		}
	}
	s.ReturnAll()
}
