package server

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
	"github.com/messageproxy/messageproxy/server/internal/consume"
	"github.com/messageproxy/messageproxy/server/internal/produce"
)

// fuzzWorld is a server, with small figures, over a broker in memory, and clients of
// it. The test's goroutine owns it; each stream has goroutines of its own.
type fuzzWorld struct {
	t        *testing.T
	broker   *membroker.Broker
	listener *bufconn.Listener
	produce  *produce.Service
	consume  *consume.Service
	stop     context.CancelFunc
	served   chan error
	drained  bool // or draining
	closed   bool
	alarms   *alarms

	conns     [3]*fuzzConn
	producing []*producing
	consuming []*consuming
	// numbered is how many messages have been made, each with a value of its own.
	numbered int
	// moved: partitions, or ACKs, may have been lost.
	moved    atomic.Bool
	releases []func()
}

// The topics: what is stored in kept stays there; the other one comes and goes.
const (
	keptTopic   = "kept"
	fickleTopic = "fickle"
)

var fuzzSubscriptions = []string{"s", "another"}

func fuzzConfig(alarms *alarms) Config {
	cfg := DefaultConfig()
	c, p := &cfg.Consume, &cfg.Produce
	c.MaxUnackedMessages, c.MaxUnackedBytes, c.AckTimeout, c.MaxAckTimeout = 8, 2000, 5*time.Second, 20*time.Second
	c.PartitionWindow, c.MaxBufferedBytes, c.HandoverTimeout = 10, 20_000, 3*time.Second
	c.EvictionGrace, c.CloseTimeout = 2*time.Second, 2*time.Second
	p.MaxOutstandingMessages, p.MaxOutstandingBytes, p.Timeout, p.MaxMessageBytes = 8, 6000, 3*time.Second, 1000
	cfg.DrainTimeout = 10 * time.Second
	cfg.Logger = slog.New(slog.NewTextHandler(alarms, &slog.HandlerOptions{Level: slog.LevelError}))
	return cfg
}

func newFuzzWorld(t *testing.T) *fuzzWorld {
	w := &fuzzWorld{
		t: t, listener: bufconn.Listen(1 << 16), served: make(chan error, 1), alarms: &alarms{},
		broker: membroker.New(membroker.Options{
			Topics: map[string]int{keptTopic: 3, fickleTopic: 2}, FetchMessages: 4, AckDelay: 100 * time.Millisecond,
		}),
	}
	s, err := New(w.broker, fuzzConfig(w.alarms))
	require.NoError(t, err)
	s.makeProxy = func(b broker.Broker, producer broker.Producer, cfg Config) *proxy {
		p := newProxy(b, producer, cfg)
		w.produce, w.consume = p.produce.(*produce.Service), p.consume.(*consume.Service)
		return p
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() { w.served <- s.Serve(ctx, w.listener) }()
	synctest.Wait()
	return w
}

// alarms keeps what the server logs as an error. A broker that is away may be one;
// what clients do may not.
type alarms struct {
	mu   sync.Mutex
	text strings.Builder
}

func (a *alarms) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(p)
}

func (a *alarms) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}

// fuzzConn is a client's connection, and what was done to it.
type fuzzConn struct {
	*grpc.ClientConn
	// broken: it may have been closed: by cut, or because a client didn't read. The
	// test's goroutine owns it.
	broken bool

	mu  sync.Mutex
	raw []net.Conn
}

// conn returns one of the connections, which it dials if need be.
func (w *fuzzWorld) conn(x int) *fuzzConn {
	x %= len(w.conns)
	if w.conns[x] != nil {
		return w.conns[x]
	}
	c := &fuzzConn{}
	conn, err := grpc.NewClient("passthrough:///fuzz", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(bytesCodec{})),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			raw, err := w.listener.DialContext(ctx)
			c.mu.Lock()
			defer c.mu.Unlock()
			if err == nil {
				c.raw = append(c.raw, raw)
			}
			return raw, err
		}))
	require.NoError(w.t, err)
	c.ClientConn = conn
	w.conns[x] = c
	return c
}

// cut closes the connection as a network would.
func (c *fuzzConn) cut() {
	c.broken = true
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, raw := range c.raw {
		_ = raw.Close()
	}
}

// bytesCodec sends bytes as they are.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}

func (bytesCodec) Name() string { return "proto" }

// heal ends all faults.
func (w *fuzzWorld) heal() {
	for _, release := range w.releases {
		release()
	}
	w.releases = nil
	_ = w.broker.CreateTopic(fickleTopic, 2) // it may be there
	w.broker.SetReachable(true)
	w.broker.HealProduce()
	for _, name := range append([]string{membroker.AllSubscriptions}, fuzzSubscriptions...) {
		w.broker.FailPolls(name, nil)
		w.broker.FailAcks(name, nil)
		w.broker.GiveBack(name, allPartitions()...)
	}
}

func allPartitions() []broker.TopicPartition {
	return []broker.TopicPartition{
		{Topic: keptTopic, Partition: 0},
		{Topic: keptTopic, Partition: 1},
		{Topic: keptTopic, Partition: 2},
		{Topic: fickleTopic, Partition: 0},
		{Topic: fickleTopic, Partition: 1},
	}
}

// finish ends everything in good order and checks what is left.
func (w *fuzzWorld) finish() {
	t := w.t
	w.heal()
	for _, s := range w.streams() {
		s.resume()
		s.halfClose()
	}
	time.Sleep(time.Minute) // every timeout is far below
	for i, s := range w.streams() {
		require.True(t, s.hasEnded(), "stream %d goes on", i)
	}
	w.checkProducing()
	for _, s := range w.consuming {
		s.check()
	}
	for _, name := range fuzzSubscriptions {
		require.Zero(t, w.broker.Consumers(name), "consumers of %q", name)
	}
	require.Equal(t, consume.Stats{RepairedHeaderKeys: w.consume.Stats().RepairedHeaderKeys}, w.consume.Stats())
	produced := w.produce.Stats()
	require.Zero(t, produced.Streams)
	require.Zero(t, produced.OutstandingMessages)
	require.Zero(t, produced.OutstandingBytes)

	begin := time.Now()
	w.close()
	require.LessOrEqual(t, time.Since(begin), 2*time.Second, "nothing is left to drain")
	require.NotRegexp(t, "panic|still running|can't be closed", w.alarms.String())
}

// close ends everything, finished or not.
func (w *fuzzWorld) close() {
	if w.closed {
		return
	}
	w.closed = true
	w.heal()
	for _, s := range w.streams() {
		s.resume()
		s.cancel()
	}
	w.stop()
	for _, c := range w.conns {
		if c != nil {
			_ = c.Close()
		}
	}
	assert.NoError(w.t, <-w.served)
	assert.NoError(w.t, w.broker.Close())
}

func (w *fuzzWorld) streams() []*fuzzStream {
	var all []*fuzzStream
	for _, s := range w.producing {
		all = append(all, s.fuzzStream)
	}
	for _, s := range w.consuming {
		all = append(all, s.fuzzStream)
	}
	return all
}
