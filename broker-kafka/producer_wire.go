package kafka

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type dialFunc = func(ctx context.Context, network, host string) (net.Conn, error)

// dialer returns how a client with these options dials: TLS and the options'
// order are the library's business.
func dialer(opts []kgo.Opt) (dialFunc, error) {
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return unhurried(cl.OptValue(kgo.Dialer).(dialFunc)), nil
}

// failedDialPause is how long a connection takes, at least, that can't be made. The
// client library doesn't wait before it tries again while any message's time is up that it
// can't fail yet, and a broker that is down refuses connections at once: it would use a
// core for nothing.
const failedDialPause = 50 * time.Millisecond

func unhurried(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		begun := time.Now()
		conn, err := dial(ctx, network, host)
		if err == nil {
			return conn, nil
		}
		timer := time.NewTimer(failedDialPause - time.Since(begun))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return nil, err
	}
}

// tap makes dial return connections that keep the ledger.
func tap(dial dialFunc, l *ledger) dialFunc {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		conn, err := dial(ctx, network, host)
		if err != nil {
			return nil, err
		}
		return &tappedConn{Conn: conn, ledger: l}, nil
	}
}

// tappedConn is a connection to a broker that tells the ledger of the produce
// requests and answers that pass. It relies on what Kafka promises (answers come
// in the order of their requests, each with its length in front) and on what the
// client library does: one Write for each request, one goroutine that reads.
type tappedConn struct {
	net.Conn
	ledger *ledger

	mu      sync.Mutex
	waiting []wireRequest // written, not yet answered, in order
	failed  bool          // no answer will come any more

	// Of the reading goroutine alone.
	answers answerCutter
	collect bool // the answer is to a produce request
	frame   []byte
}

// wireRequest is a request as far as its answer needs it.
type wireRequest struct {
	version    int16
	partitions []wirePartition // nil unless it is a produce request
}

// Write notes the request before it can reach the broker.
func (c *tappedConn) Write(b []byte) (int, error) {
	req := parseRequest(b)
	c.mu.Lock()
	c.waiting = append(c.waiting, req)
	if req.partitions != nil {
		c.ledger.begin(req.partitions)
	}
	c.mu.Unlock()
	n, err := c.Conn.Write(b)
	if err != nil {
		c.writeFailed(n)
	}
	return n, err
}

func (c *tappedConn) writeFailed(n int) {
	c.mu.Lock()
	if last := len(c.waiting) - 1; n == 0 && last >= 0 && !c.failed {
		if p := c.waiting[last].partitions; p != nil {
			c.ledger.unsent(p)
		}
		c.waiting = c.waiting[:last]
	}
	c.mu.Unlock()
	c.fail()
}

// Read notes answers before the client library sees them.
func (c *tappedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	_ = c.answers.feed(b[:n], c) // begin has no errors
	if err != nil {
		c.fail()
	}
	return n, err
}

// Close ends the connection: what is unanswered now stays so.
func (c *tappedConn) Close() error {
	c.fail()
	return c.Conn.Close()
}

func (c *tappedConn) begin(int) error {
	c.collect = c.isProduceNext()
	return nil
}

func (c *tappedConn) take(b []byte) {
	if c.collect {
		c.frame = append(c.frame, b...)
	}
}

func (c *tappedConn) complete() {
	c.answered(c.frame)
	c.frame = c.frame[:0]
}

// isProduceNext reports whether the answer that begins is to a produce request.
func (c *tappedConn) isProduceNext() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting) > 0 && c.waiting[0].partitions != nil
}

// answered notes a complete answer. frame is empty unless it is to a produce
// request.
func (c *tappedConn) answered(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed || len(c.waiting) == 0 {
		return
	}
	req := c.waiting[0]
	c.waiting = c.waiting[1:]
	if req.partitions == nil {
		return
	}
	if resp, err := parseAnswer(frame, req.version); err != nil {
		c.ledger.lost(req.partitions)
	} else {
		c.ledger.answered(req.partitions, resp)
	}
}

func (c *tappedConn) fail() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed {
		return
	}
	c.failed = true
	for _, req := range c.waiting {
		if req.partitions != nil {
			c.ledger.lost(req.partitions)
		}
	}
	c.waiting = nil
}

// parseRequest reads what it needs of a request: length, key, version,
// correlation id, client id, and in flexible versions tags, then the body.
func parseRequest(b []byte) wireRequest {
	const fixed = 4 + 2 + 2 + 4 + 2
	if len(b) < fixed || binary.BigEndian.Uint16(b[4:]) != uint16(kmsg.Produce) {
		return wireRequest{}
	}
	req := kmsg.ProduceRequest{Version: int16(binary.BigEndian.Uint16(b[6:]))}
	body := b[fixed:]
	if n := int16(binary.BigEndian.Uint16(b[12:])); n > 0 {
		body = body[min(int(n), len(body)):]
	}
	if req.IsFlexible() {
		body = skipTags(body)
	}
	parsed := wireRequest{version: req.Version, partitions: []wirePartition{}}
	if err := req.ReadFrom(body); err != nil {
		return parsed
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			parsed.partitions = append(parsed.partitions, wirePartition{t.TopicID, t.Topic, t.Partitions[j].Partition})
		}
	}
	return parsed
}

// skipTags skips the tagged fields at the end of a flexible header.
func skipTags(b []byte) []byte {
	count, n := binary.Uvarint(b)
	b = b[max(n, 0):]
	for range count {
		_, n := binary.Uvarint(b)
		b = b[max(n, 0):]
		size, n := binary.Uvarint(b)
		b = b[max(n, 0):]
		if n <= 0 || size > uint64(len(b)) {
			return nil
		}
		b = b[size:]
	}
	return b
}

// parseAnswer reads the answer to a produce request: correlation id, in flexible
// versions tags, then the body.
func parseAnswer(frame []byte, version int16) (*kmsg.ProduceResponse, error) {
	resp := &kmsg.ProduceResponse{Version: version}
	body := frame[min(4, len(frame)):]
	if resp.IsFlexible() {
		body = skipTags(body)
	}
	return resp, resp.ReadFrom(body)
}
