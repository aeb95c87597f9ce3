//go:build synctests

package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The tests of the consumer run in bubbles of testing/synctest, against kfake on
// its network in memory: time passes only while everything waits, so that
// minutes take milliseconds and nothing depends on the machine's speed. They
// need the build tag synctests, by which the Kafka client takes locks that a
// bubble understands:
//
//	go test -tags synctests ./...

const testTopic = "orders"

// env is a bubble's Kafka cluster.
type env struct {
	*testing.T
	network *kfake.VirtualNetwork
	cluster *kfake.Cluster
	client  *kgo.Client // for producing and looking
	admin   *kadm.Client
}

// inBubble runs f in a bubble with a cluster of one broker, and the topic "orders" with so
// many partitions.
func inBubble(t *testing.T, partitions int32, f func(e *env), opts ...kfake.Opt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &env{T: t, network: &kfake.VirtualNetwork{}}
		opts = append([]kfake.Opt{
			kfake.ListenFn(distant(e.network)), kfake.NumBrokers(1), kfake.Ports(9092),
			kfake.SeedTopics(partitions, testTopic),
		}, opts...)
		cluster, err := kfake.NewCluster(opts...)
		require.NoError(e, err)
		e.cluster = cluster
		e.client, err = kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(e.network.DialContext),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.DisableClientMetrics())
		require.NoError(e, err)
		e.admin = kadm.NewClient(e.client)
		defer func() {
			e.client.Close()
			closeDistant(cluster)
		}()
		f(e)
	})
}

// latency is how long an answer of the cluster is on its way. It must be more than
// nothing: where the client asks again as soon as it has an answer, as it does while
// a partition's leader epoch is fenced until it reads the metadata again, a bubble's
// clock would stand still for ever.
const latency = 10 * time.Microsecond

// distant opens the addresses of a cluster whose answers take the latency.
func distant(network *kfake.VirtualNetwork) func(network, address string) (net.Listener, error) {
	return func(n, address string) (net.Listener, error) {
		l, err := network.Listen(n, address)
		return distantListener{l}, err
	}
}

type distantListener struct{ net.Listener }

func (l distantListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return distantConn{conn}, err
}

type distantConn struct{ net.Conn }

func (c distantConn) Write(b []byte) (int, error) {
	time.Sleep(latency)
	return c.Conn.Write(b)
}

// closeDistant closes a cluster, and waits for what is on its way: it isn't for the
// time after the bubble's end.
func closeDistant(cluster *kfake.Cluster) {
	cluster.Close()
	time.Sleep(latency)
}

func (e *env) clientOptions() []kgo.Opt {
	return []kgo.Opt{kgo.Dialer(e.network.DialContext), kgo.DisableClientMetrics()}
}

func maxMessageBytes(n string) []kadm.AlterConfig {
	return []kadm.AlterConfig{{Name: "max.message.bytes", Value: &n}}
}

// open makes a consumer of the subscription "billing".
func (e *env) open(change ...func(*Options, *broker.ConsumerOptions)) *testConsumer {
	e.Helper()
	opts := Options{
		Brokers:       e.cluster.ListenAddrs(),
		ClientOptions: e.clientOptions(),
	}
	if os.Getenv("KAFKA_TEST_LOG") != "" {
		opts.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	copts := broker.ConsumerOptions{Subscription: "billing", Topics: []string{testTopic}}
	for _, f := range change {
		f(&opts, &copts)
	}
	b, err := New(opts)
	require.NoError(e, err)
	c, err := b.NewConsumer(e.Context(), copts)
	require.NoError(e, err)
	tc := &testConsumer{consumer: c.(*consumer), env: e}
	e.Cleanup(func() { tc.close() })
	return tc
}

// produce stores messages with the values first, first+1, ... in a partition.
func (e *env) produce(partition int32, first, count int) {
	e.Helper()
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{Topic: testTopic, Partition: partition, Value: fmt.Append(nil, first+i)}
	}
	require.NoError(e, e.client.ProduceSync(e.Context(), records...).FirstErr())
}

// committed returns the committed position of a partition, or -1.
func (e *env) committed(partition int32) int64 {
	e.Helper()
	offsets, err := e.admin.FetchOffsets(e.Context(), "billing")
	require.NoError(e, err)
	o, ok := offsets.Lookup(testTopic, partition)
	if !ok {
		return -1
	}
	return o.At
}

// testConsumer keeps what it polled.
type testConsumer struct {
	*consumer
	env      *env
	assigned []int32
	messages map[int32][]broker.Message
	log      []broker.Event // everything but messages
	// positions are the last positions received, of assigned partitions
	positions map[int32]int64
	err       error
	errs      int
}

func (c *testConsumer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

// poll polls once and takes in what comes.
func (c *testConsumer) poll(ctx context.Context) error {
	events, err := c.PollMessages(ctx)
	if c.messages == nil {
		c.messages = make(map[int32][]broker.Message)
	}
	for _, event := range events {
		switch e := event.(type) {
		case broker.EventMessages:
			c.messages[e.Partition.Partition] = append(c.messages[e.Partition.Partition], e.Messages...)
			continue
		case broker.EventAssigned:
			for _, p := range e.Partitions {
				c.assigned = append(c.assigned, p.Partition)
			}
		case broker.EventLost:
			for _, p := range e.Partitions {
				c.assigned = slices.DeleteFunc(c.assigned, func(n int32) bool { return n == p.Partition })
			}
		}
		c.log = append(c.log, event)
	}
	return err
}

// pollUntil polls until done, for at most a minute.
func (c *testConsumer) pollUntil(what string, done func() bool) {
	c.env.Helper()
	ctx, cancel := context.WithTimeout(c.env.Context(), time.Minute)
	defer cancel()
	for !done() {
		if c.err != nil && !broker.IsRetryable(c.err) {
			require.FailNow(c.env, "it fails for good", "waiting until %s: %v", what, c.err)
		}
		err := c.poll(ctx)
		require.NoError(c.env, ctx.Err(), "waiting until "+what)
		if err != nil {
			c.err = err
			c.errs++
		}
	}
}

// pollFor polls for as long.
func (c *testConsumer) pollFor(d time.Duration) {
	ctx, cancel := context.WithTimeout(c.env.Context(), d)
	defer cancel()
	for ctx.Err() == nil {
		if err := c.poll(ctx); err != nil && ctx.Err() == nil {
			c.err = err
			c.errs++
		}
	}
}

func (c *testConsumer) pollMessages(partition int32, count int) {
	c.env.Helper()
	c.pollUntil(fmt.Sprintf("there are %d messages of partition %d", count, partition),
		func() bool { return len(c.messages[partition]) >= count })
}

func (c *testConsumer) ack(partition int32, positions ...uint64) {
	for _, position := range positions {
		c.Ack(broker.MessageID{Partition: tp(partition), Position: position})
	}
}

// ackAll ACKs everything polled of a partition.
func (c *testConsumer) ackAll(partition int32) {
	for _, m := range c.messages[partition] {
		c.ack(partition, m.Position)
	}
}

func tp(partition int32) broker.TopicPartition {
	return broker.TopicPartition{Topic: testTopic, Partition: partition}
}

func values(messages []broker.Message) []string {
	vs := make([]string, len(messages))
	for i := range messages {
		vs[i] = string(messages[i].Value)
	}
	return vs
}

// numbers are the values that produce stores.
func numbers(first, count int) []string {
	vs := make([]string, count)
	for i := range vs {
		vs[i] = fmt.Sprint(first + i)
	}
	return vs
}

// eventsOf returns the events of one kind.
func eventsOf[E broker.Event](c *testConsumer) (events []E) {
	for _, event := range c.log {
		if e, ok := event.(E); ok {
			events = append(events, e)
		}
	}
	return events
}
