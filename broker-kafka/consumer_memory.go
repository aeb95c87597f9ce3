package kafka

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// fetchMemory bounds the bytes of answers to fetch requests that all consumers of
// a backend hold at once, from reading them to handing out their messages. Without
// it that is fetchBytes for each subscription and Kafka broker: gigabytes, if there
// are hundreds.
//
// A connection asks before it reads an answer, whose length is in front of it.
// Whoever finds too little waits in line, and Kafka with it.
type fetchMemory struct {
	limit int64

	mu   sync.Mutex
	used int64
	line []*fetchWaiter // Invariant: the first doesn't fit
}

type fetchWaiter struct {
	bytes   int64
	granted chan struct{} // closed when the bytes are the waiter's
}

const (
	// smallAnswer is up to what size an answer is read without asking: small enough for
	// any number of consumers, and most answers are.
	smallAnswer = 16 << 10
	// answerPatience is how long an answer waits for its memory. Then its connection
	// ends, as with any answer that doesn't come.
	answerPatience = 5 * time.Second
	// takenWithin is when what was fetched is handed out at the latest, or dropped by
	// the client since its partitions are paused, of which it tells nobody.
	takenWithin = time.Second
)

var errFetchMemory = errors.New("this server has no memory free to fetch into: what it fetched before isn't taken fast enough")

func newFetchMemory(limit int64) *fetchMemory { return &fetchMemory{limit: limit} }

// acquire takes bytes, or everything if there is less, and waits for them until
// given up is closed, or for answerPatience. It returns how many it has taken.
func (m *fetchMemory) acquire(bytes int64, givenUp <-chan struct{}) (int64, error) {
	w := &fetchWaiter{bytes: min(bytes, m.limit), granted: make(chan struct{})}
	m.mu.Lock()
	m.line = append(m.line, w)
	m.grantLocked()
	m.mu.Unlock()
	timer := time.NewTimer(answerPatience)
	defer timer.Stop()
	err := errFetchMemory
	select {
	case <-w.granted:
		return w.bytes, nil
	case <-timer.C:
	case <-givenUp:
		err = net.ErrClosed
	}
	if m.leaveLine(w) {
		return w.bytes, nil
	}
	return 0, err
}

// leaveLine gives up waiting, and reports whether the bytes are granted all the same.
func (m *fetchMemory) leaveLine(w *fetchWaiter) (granted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.Index(m.line, w)
	if i < 0 {
		return true
	}
	m.line = slices.Delete(m.line, i, i+1)
	m.grantLocked() // those behind may fit
	return false
}

func (m *fetchMemory) release(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= bytes
	m.grantLocked()
}

func (m *fetchMemory) grantLocked() {
	for len(m.line) > 0 && m.used+m.line[0].bytes <= m.limit {
		m.used += m.line[0].bytes
		close(m.line[0].granted)
		m.line = m.line[1:]
	}
}

// fetched are the answers of one consumer that are read and not yet handed out.
type fetched struct {
	memory *fetchMemory

	mu      sync.Mutex
	answers map[*answer]struct{}
}

// answer is one that has its memory.
type answer struct {
	bytes int64
	timer *time.Timer // nil until it is read
}

func newFetched(m *fetchMemory) *fetched {
	return &fetched{memory: m, answers: make(map[*answer]struct{})}
}

// read notes that an answer is complete.
func (f *fetched) read(a *answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[a] = struct{}{}
	a.timer = time.AfterFunc(takenWithin, func() { f.done(a) })
}

func (f *fetched) done(a *answer) {
	f.mu.Lock()
	_, held := f.answers[a]
	delete(f.answers, a)
	f.mu.Unlock()
	if held {
		f.memory.release(a.bytes)
	}
}

// taken notes that what was read has been handed out, or dropped.
func (f *fetched) taken() {
	f.mu.Lock()
	bytes := int64(0)
	for a := range f.answers {
		a.timer.Stop()
		bytes += a.bytes
	}
	clear(f.answers)
	f.mu.Unlock()
	if bytes > 0 {
		f.memory.release(bytes)
	}
}

// meter makes dial return connections that ask for memory before they read large
// answers.
func meter(dial dialFunc, f *fetched) dialFunc {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		conn, err := dial(ctx, network, host)
		if err != nil {
			return nil, err
		}
		return &meteredConn{Conn: conn, fetched: f, closed: make(chan struct{})}, nil
	}
}

// meteredConn is a connection to a Kafka broker. One goroutine reads it, which owns
// everything but the connection itself.
type meteredConn struct {
	net.Conn
	fetched *fetched
	once    sync.Once
	closed  chan struct{}

	answers answerCutter
	answer  *answer // nil unless the answer is large
}

// Read reads the next bytes of an answer: when they are those of its length, it
// waits until the rest may come.
func (c *meteredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if e := c.answers.feed(b[:n], c); e != nil {
		return 0, e
	}
	if err != nil {
		c.end()
	}
	return n, err
}

func (c *meteredConn) begin(length int) error {
	if length <= smallAnswer {
		return nil
	}
	bytes, err := c.fetched.memory.acquire(int64(length), c.closed)
	if err != nil {
		return err
	}
	c.answer = &answer{bytes: bytes}
	return nil
}

func (c *meteredConn) take([]byte) {}

func (c *meteredConn) complete() {
	if c.answer != nil {
		c.fetched.read(c.answer)
		c.answer = nil
	}
}

// end gives back what an answer that never gets complete has taken.
func (c *meteredConn) end() {
	if c.answer != nil {
		c.fetched.memory.release(c.answer.bytes)
		c.answer = nil
	}
}

// Close ends the connection, and a read that waits.
func (c *meteredConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
