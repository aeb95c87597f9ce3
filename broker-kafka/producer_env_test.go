package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// patience is how long the tests of the producer wait for what must come.
const patience = 30 * time.Second

// produceEnv is a kfake cluster, a producer on it, and the network between them.
type produceEnv struct {
	*testing.T
	cluster *kfake.Cluster
	net     *network
	broker  *Broker
}

func newProduceEnv(t *testing.T, change func(*Options), opts ...kfake.Opt) *produceEnv {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	e := &produceEnv{T: t, cluster: cluster, net: &network{}}
	o := Options{
		Brokers:       cluster.ListenAddrs(),
		ClientOptions: []kgo.Opt{kgo.Dialer(e.net.dial), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })},
	}
	if os.Getenv("KAFKA_TEST_LOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if change != nil {
		change(&o)
	}
	e.broker, err = New(o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, e.broker.Close()) })
	return e
}

func (e *produceEnv) producer(opts broker.ProducerOptions) *producer {
	e.Helper()
	p, err := e.broker.NewProducer(e.Context(), opts)
	require.NoError(e, err)
	e.Cleanup(func() { assert.NoError(e, p.Close()) })
	return p.(*producer)
}

func (e *produceEnv) topic(name string, partitions int32, configs ...string) {
	e.Helper()
	settings := map[string]string{}
	for i := 0; i < len(configs); i += 2 {
		settings[configs[i]] = configs[i+1]
	}
	require.NoError(e, e.cluster.CreateTopic(name, partitions, settings))
}

// stored returns the values that a topic holds, by partition.
func (e *produceEnv) stored(name string) map[int32][]string {
	e.Helper()
	values := map[int32][]string{}
	for _, r := range e.records(name) {
		values[r.Partition] = append(values[r.Partition], string(r.Value))
	}
	return values
}

func (e *produceEnv) records(name string) []*kgo.Record {
	e.Helper()
	var want int64
	for _, p := range e.cluster.PartitionInfos(name) {
		want += p.HighWatermark - p.LogStartOffset
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.cluster.ListenAddrs()...), kgo.ConsumeTopics(name),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.DisableClientMetrics())
	require.NoError(e, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	var records []*kgo.Record
	for int64(len(records)) < want {
		fetches := cl.PollFetches(ctx)
		require.NoError(e, fetches.Err())
		records = append(records, fetches.Records()...)
	}
	return records
}

// result is a message's answer.
type result struct {
	receipt broker.MessageReceipt
	err     error
	after   time.Duration
}

// results has the answers to messages, by message.
type results struct {
	t     testing.TB
	begin time.Time
	done  chan struct{} // closed when all are answered

	mu    sync.Mutex
	by    []*result // nil while there is none
	order []int
}

// produce gives messages to the producer.
func produce(t testing.TB, p broker.Producer, messages ...*broker.OutgoingMessage) *results {
	t.Helper()
	r := &results{t: t, begin: time.Now(), done: make(chan struct{}), by: make([]*result, len(messages))}
	for i, m := range messages {
		p.ProduceAsync(m, func(receipt broker.MessageReceipt, err error) { r.add(i, receipt, err) })
	}
	return r
}

func (r *results) add(i int, receipt broker.MessageReceipt, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by[i] != nil {
		r.t.Errorf("message %d is answered twice", i)
		return
	}
	r.by[i] = &result{receipt, err, time.Since(r.begin)}
	r.order = append(r.order, i)
	if len(r.order) == len(r.by) {
		close(r.done)
	}
}

// await waits until every message is answered.
func (r *results) await() []*result {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		require.FailNow(r.t, "messages are not answered", "%d of %d are", r.count(), len(r.by))
	}
	return r.by
}

func (r *results) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.order)
}

// codes awaits the answers and counts them by code; "stored" is no error.
func (r *results) codes() map[string]int {
	r.t.Helper()
	codes := map[string]int{}
	for _, a := range r.await() {
		if a.err == nil {
			codes["stored"]++
		} else {
			codes[broker.CodeOf(a.err).String()]++
		}
	}
	return codes
}

// mustStore awaits that all are stored.
func (r *results) mustStore() []*result {
	r.t.Helper()
	for i, a := range r.await() {
		require.NoError(r.t, a.err, "message %d", i)
	}
	return r.by
}

func message(topic, value string) *broker.OutgoingMessage {
	return &broker.OutgoingMessage{Topic: topic, Partition: broker.AnyPartition, Value: []byte(value)}
}

func messages(topic string, n int) []*broker.OutgoingMessage {
	all := make([]*broker.OutgoingMessage, n)
	for i := range all {
		all[i] = message(topic, fmt.Sprint(i))
	}
	return all
}

// network is a TCP network that can be cut, and that can swallow what brokers
// send.
type network struct {
	mu   sync.Mutex
	cut  bool
	deaf func(host string) bool // what these brokers send doesn't arrive
	// swallowed counts what didn't arrive since deaf was set.
	swallowed int
	conns     []*faultyConn
}

func (n *network) dial(ctx context.Context, network, host string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &os.SyscallError{Syscall: "connect", Err: errors.New("the network is cut")}}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	c := &faultyConn{Conn: conn, n: n, host: host}
	n.conns = append(n.conns, c)
	return c, nil
}

// setCut cuts all connections and refuses new ones, or stops that.
func (n *network) setCut(cut bool) {
	n.mu.Lock()
	n.cut = cut
	n.mu.Unlock()
	if cut {
		n.closeAll()
	}
}

// setDeaf keeps what brokers send from arriving; ending that closes the
// connections, as something is missing on them.
func (n *network) setDeaf(deaf bool) {
	n.setDeafTo(func(string) bool { return deaf })
	if !deaf {
		n.closeAll()
	}
}

// deafen keeps what one broker sends from arriving.
func (n *network) deafen(broker string) {
	n.setDeafTo(func(host string) bool { return host == broker })
}

func (n *network) setDeafTo(deaf func(string) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf, n.swallowed = deaf, 0
}

// swallows reports whether what a broker has sent doesn't arrive.
func (n *network) swallows(host string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.deaf == nil || !n.deaf(host) {
		return false
	}
	n.swallowed++
	return true
}

func (n *network) awaitSwallowed(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.swallowed > 0
	}, patience, time.Millisecond)
}

func (n *network) closeAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Conn.Close()
	}
	n.conns = nil
}

type faultyConn struct {
	net.Conn
	n    *network
	host string
}

func (c *faultyConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.n.swallows(c.host) {
			return n, err
		}
	}
}

func addPartitions(t *testing.T, e *produceEnv, topic string, total int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.cluster.ListenAddrs()...), kgo.DisableClientMetrics())
	require.NoError(t, err)
	defer cl.Close()
	resp, err := kadm.NewClient(cl).UpdatePartitions(t.Context(), total, topic)
	require.NoError(t, err)
	require.NoError(t, resp.Error())
}
