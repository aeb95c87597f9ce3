package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

const patience = 60 * time.Second

// Several clients of one subscription consume everything once when nothing fails,
// in order within each partition; positions reach the end within the commit
// interval.
func TestSeveralClientsConsumeEverythingOnce(t *testing.T) {
	const partitions, n = 8, 2000
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(partitions), unique(t, "sub")
	a.fill(topic, partitions, n)
	p := startProxy(t, sharedKafka.Brokers(), nil)
	client := connect(t, p.addr)
	rec := newRecorder()
	var workers []*worker
	for i := range 4 {
		workers = append(workers, consume(t, client, sub, []string{topic}, rec.handler(fmt.Sprint("w", i), nil)))
	}
	rec.awaitHandled(t, patience, partitions*n)
	rec.requireOrderOnce(t, partitions, n)
	eventually(t, 7*time.Second, func() bool { return a.committedSum(sub, topic) == partitions*n },
		"positions reach the end within the commit interval")
	for _, w := range workers {
		require.NoError(t, w.stop())
	}
}

// Workers join and leave while messages flow: each message is handled once, in
// order, and what is in flight stays with its holder.
func TestJoinAndLeaveUnderLoad(t *testing.T) {
	t.Parallel()
	const partitions, n = 6, 1500
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(partitions), unique(t, "sub")
	p := startProxy(t, sharedKafka.Brokers(), nil)
	client := connect(t, p.addr)
	rec := newRecorder()
	slowly := func(context.Context, *messageproxy.Message) error {
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond) // the work of a handler
		return nil
	}
	start := func(i int) *worker {
		return consume(t, client, sub, []string{topic}, rec.handler(fmt.Sprint("w", i), slowly))
	}
	workers := []*worker{start(0), start(1)}
	filled := make(chan struct{})
	go func() {
		defer close(filled)
		a.fill(topic, partitions, n)
	}()
	for i := 2; i < 8; i++ {
		rec.awaitHandled(t, patience, (i-1)*partitions*n/8)
		workers = append(workers, start(i))
		require.NoError(t, workers[0].stop())
		workers = workers[1:]
	}
	<-filled
	rec.awaitHandled(t, patience, partitions*n)
	rec.requireOrderOnce(t, partitions, n)
	require.Greater(t, len(rec.handledBy()), 3, "the work was shared: %v", rec.handledBy())
}

// A partition that moves leaves what is in flight with its holder: the new owner
// waits for it, the other partitions don't.
func TestInFlightMessagesStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	const partitions, n = 2, 5
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(partitions), unique(t, "sub")
	p := startProxy(t, sharedKafka.Brokers(), nil)
	first := subscribeRaw(t, rawClient(t, p.addr), sub, topic)
	a.fill(topic, partitions, n)
	first.awaitMessages(patience, partitions*n)
	second := subscribeRaw(t, rawClient(t, p.addr), sub, topic)
	second.awaitAssigned(patience, 1)
	moved := second.assigned()[0]
	a.fill(topic, partitions, 1)
	first.awaitMessages(patience, partitions*n+1) // of the partition that stayed
	require.Empty(t, second.received(), "the new owner waits")
	first.ack(first.ofPartition(moved)[:n-1]...)
	require.Empty(t, second.received(), "until the old one has ACKed it all")
	first.ack(first.ofPartition(moved)[n-1])
	second.awaitMessages(patience, 1)
	require.Equal(t, moved, second.received()[0].partition)
	require.Empty(t, first.notices(), "the holder's ACKs count")
}

// The position in Kafka never passes the first unACKed message, and moves on when
// that is ACKed.
func TestPositionNeverPassesTheFirstUnackedMessage(t *testing.T) {
	t.Parallel()
	const n = 100
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(1), unique(t, "sub")
	a.fill(topic, 1, n)
	p := startProxy(t, sharedKafka.Brokers(), func(c *proxyConfig) { c.kafka.CommitInterval = 200 * time.Millisecond })
	c := subscribeRaw(t, rawClient(t, p.addr), sub, topic)
	ids := c.awaitMessages(patience, n)
	c.ack(ids[:10]...)
	c.ack(ids[11:]...)
	eventually(t, patience, func() bool { return a.committedSum(sub, topic) == 10 }, "what comes before it is committed")
	for range 10 { // several commit intervals
		require.EqualValues(t, 10, a.committedSum(sub, topic))
		time.Sleep(100 * time.Millisecond)
	}
	c.ack(ids[10])
	eventually(t, patience, func() bool { return a.committedSum(sub, topic) == n }, "then everything")
}

func TestClientAndPartitionWindowsFromOutside(t *testing.T) {
	t.Parallel()
	const n = 10_000
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(1), unique(t, "sub")
	a.fillRandom(topic, n, 1000)
	p := startProxy(t, sharedKafka.Brokers(), nil)
	c := subscribeRaw(t, rawClient(t, p.addr), sub, topic)
	ids := c.awaitMessages(patience, 1000)
	c.awaitQuiet(time.Second)
	require.Len(t, c.received(), 1000, "1,000 unACKed messages and no more (C2)")
	c.ack(ids[500])
	c.awaitMessages(patience, 1001)
	c.awaitQuiet(time.Second)
	require.Len(t, c.received(), 1001, "one ACK, one message")

	// One message stays unACKed: the partition's window stops the broker, however
	// many are ACKed behind it (C7). A fetch of 256 KiB may overshoot it.
	acked := 1
	for acked < len(c.ids()) {
		ids = c.ids()
		c.ack(ids[acked:]...)
		acked = len(ids)
		c.awaitQuiet(time.Second)
	}
	received := len(c.received())
	t.Logf("%d messages are outstanding of a partition whose first one is not ACKed", received)
	require.Less(t, received, 2000, "the partition's window")
	require.Zero(t, a.committedSum(sub, topic))
	c.ack(ids[0])
	for acked < received+1000 { // half of a window has to be free before more is fetched
		ids = c.awaitMessages(patience, acked+1)
		c.ack(ids[acked:]...)
		acked = len(ids)
	}
	eventually(t, patience, func() bool { return a.committedSum(sub, topic) > int64(received) }, "the position moves on")
}

func TestStuckClientIsDisconnectedAndItsMessagesGoOn(t *testing.T) {
	t.Parallel()
	const n = 20
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(1), unique(t, "sub")
	a.fill(topic, 1, n)
	p := startProxy(t, sharedKafka.Brokers(), func(c *proxyConfig) {
		c.server.Consume.AckTimeout = 3 * time.Second
		c.server.Consume.MaxAckTimeout = 3 * time.Second
	})
	stuck := subscribeRaw(t, rawClient(t, p.addr), sub, topic)
	ids := stuck.awaitMessages(patience, n)
	stuck.ack(ids[1:5]...) // everything but one message
	rec := newRecorder()
	consume(t, connect(t, p.addr), sub, []string{topic}, rec.handler("healthy", nil))
	terminal := stuck.awaitEnd(patience)
	require.Equal(t, "ERROR_CODE_ACK_TIMEOUT", terminal.GetCode().String())
	rec.awaitHandled(t, patience, n-4)
	require.Equal(t, "0-0", rec.all()[0].value, "the oldest first")
	require.Equal(t, 2, rec.all()[0].attempt)
	eventually(t, patience, func() bool { return a.committedSum(sub, topic) == n }, "everything is committed")
}

func TestGroupIsEmptyWhenNobodyIsConnected(t *testing.T) {
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(2), unique(t, "sub")
	a.fill(topic, 2, 10)
	p := startProxy(t, sharedKafka.Brokers(), nil)
	client := connect(t, p.addr)
	for round := range 3 {
		rec := newRecorder()
		w := consume(t, client, sub, []string{topic}, rec.handler("w", nil))
		rec.awaitHandled(t, patience, 20)
		require.Equal(t, 1, a.members(sub))
		require.NoError(t, w.stop())
		eventually(t, 10*time.Second, func() bool { return a.members(sub) == 0 }, "the group is empty")
		require.EqualValues(t, 20*(round+1), a.committedSum(sub, topic), "ACKed messages are committed first")
		a.fill(topic, 2, 10)
	}
}

// A subscription that starts at the latest message keeps its place, even if nobody
// ACKs anything.
func TestStartAtTheLatestMessageIsKept(t *testing.T) {
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(1), unique(t, "sub")
	a.fill(topic, 1, 3)
	p := startProxy(t, sharedKafka.Brokers(), nil)
	client := connect(t, p.addr)
	rec := newRecorder()
	w := consume(t, client, sub, []string{topic}, rec.handler("w", nil), messageproxy.WithStart(messageproxy.StartLatest))
	w.awaitAssigned(patience, 1)
	eventually(t, patience, func() bool { return a.committedSum(sub, topic) == 3 }, "the place is written down")
	require.NoError(t, w.stop())
	require.NoError(t, a.client.ProduceSync(a.ctx(), record(topic, "later")).FirstErr())
	consume(t, client, sub, []string{topic}, rec.handler("w", nil), messageproxy.WithStart(messageproxy.StartLatest))
	rec.awaitHandled(t, patience, 1)
	require.Equal(t, "later", rec.all()[0].value)
}

// Header keys that are not UTF-8 can come from Kafka; they are repaired and abort
// nothing.
func TestHeaderKeysThatAreNotUTF8(t *testing.T) {
	a := newAdmin(t, sharedKafka.Brokers())
	topic := a.createTopic(1)
	r := record(topic, "v")
	r.Headers = append(r.Headers, kgoHeader("bad\xff\xfe", "x"))
	require.NoError(t, a.client.ProduceSync(a.ctx(), r, record(topic, "next")).FirstErr())
	p := startProxy(t, sharedKafka.Brokers(), nil)
	got := make(chan *messageproxy.Message, 2)
	consume(t, connect(t, p.addr), unique(t, "sub"), []string{topic}, func(_ context.Context, m *messageproxy.Message) error {
		got <- m
		return nil
	})
	require.Equal(t, "bad\uFFFD", (<-got).Headers[0].Key)
	require.Equal(t, "next", string((<-got).Value))
}

func TestConsumeUnknownTopic(t *testing.T) {
	t.Parallel()
	p := startProxy(t, sharedKafka.Brokers(), nil)
	name := unique(t, "nowhere")
	err := connect(t, p.addr).Subscription(unique(t, "sub"), name).Consume(t.Context(),
		func(context.Context, *messageproxy.Message) error { return nil })
	require.ErrorIs(t, err, messageproxy.CodeTopicNotFound)
	require.Contains(t, err.Error(), name)
}

func record(topic, value string) *kgo.Record { return &kgo.Record{Topic: topic, Value: []byte(value)} }

func kgoHeader(key, value string) kgo.RecordHeader {
	return kgo.RecordHeader{Key: key, Value: []byte(value)}
}
