package integration_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/integration/history/tap"
)

const (
	expiryMessages = 5000
	expiryWindow   = 100
	expiryBatch    = 50   // of so many messages each, the topic's log is made
	expirySize     = 1000 // bytes
	segmentBytes   = 1 << 20
)

// Messages are deleted, by request or by retention, before a subscription has had
// them: while it is connected and held back by its window, or while nobody is. It is
// told, goes on with the oldest that is left, and misses nothing else.
func TestMessagesExpireBeforeTheyAreDelivered(t *testing.T) {
	t.Parallel()
	for name, expire := range map[string]func(*chaos) (oldest int64){
		"deleted": (*chaos).deleteRecords, "retention": (*chaos).awaitRetention,
	} {
		t.Run(name+" while held back", func(t *testing.T) {
			t.Parallel()
			c, addr := startExpiry(t)
			consumer := c.readPartition(addr)
			consumer.awaitMessages(patience, expiryWindow)
			consumer.awaitQuiet(time.Second) // the window holds it back
			got := c.deliveredTo(consumer)
			oldest := expire(c)
			require.Less(t, got[len(got)-1]+1, oldest, "some are never fetched")
			c.finishExpiry(consumer, got, oldest)
		})
		t.Run(name+" while nobody is connected", func(t *testing.T) {
			t.Parallel()
			c, addr := startExpiry(t)
			first := c.readPartition(addr)
			first.awaitMessages(patience, expiryWindow)
			first.awaitQuiet(time.Second)
			first.ack(first.ids()...)
			got := c.deliveredTo(first)
			first.leave()
			eventually(t, patience, func() bool { return c.admin.members(c.subscription) == 0 }, "the subscription is closed")
			oldest := expire(c)
			at := c.admin.committedSum(c.subscription, c.topic)
			require.Less(t, at, oldest, "retention has passed the position")
			require.LessOrEqual(t, got[0], at)
			c.finishExpiry(c.readPartition(addr), nil, oldest)
		})
	}
}

// startExpiry starts a proxy in front of a topic of one partition with small
// segments, full of messages.
func startExpiry(t *testing.T) (c *chaos, addr string) {
	t.Helper()
	// From the beginning: Kafka's logs learn of what is altered later on at some time.
	c = startChaos(t, sharedKafka.Brokers(), 1, setting{"segment.bytes", segmentBytes})
	c.rules.PartitionWindow = expiryWindow
	for range expiryMessages / expiryBatch {
		batch := make([]*kgo.Record, expiryBatch)
		for i := range batch {
			batch[i] = &kgo.Record{Topic: c.topic, Value: tap.Value(newToken(), expirySize)}
		}
		require.NoError(t, c.admin.client.ProduceSync(c.admin.ctx(), batch...).FirstErr())
	}
	return c, c.startProxy("one", func(cfg *proxyConfig) {
		cfg.server.Consume.PartitionWindow = expiryWindow
		cfg.server.Consume.AckTimeout, cfg.server.Consume.MaxAckTimeout = 2*patience, 2*patience
		cfg.kafka.SessionTimeout = patience // what is held stays, however busy the machine is
	}).addr
}

func (c *chaos) only() history.Partition { return history.Partition{Topic: c.topic} }

// deleteRecords deletes the older half of the messages.
func (c *chaos) deleteRecords() (oldest int64) {
	c.t.Helper()
	oldest = expiryMessages / 2
	c.history.Record(history.Expired{Partition: c.only(), Before: oldest})
	var at kadm.Offsets
	at.AddOffset(c.topic, 0, oldest, -1)
	deleted, err := c.admin.kadm.DeleteRecords(c.admin.ctx(), at)
	require.NoError(c.t, err)
	require.NoError(c.t, deleted.Error())
	return oldest
}

// awaitRetention has Kafka keep the newest segments only. It deletes the others at
// one go, at its own time.
func (c *chaos) awaitRetention() (oldest int64) {
	c.t.Helper()
	altered, err := c.admin.kadm.AlterTopicConfigs(c.admin.ctx(), []kadm.AlterConfig{{Name: "retention.bytes", Value: kadm.StringPtr(strconv.Itoa(segmentBytes))}}, c.topic)
	require.NoError(c.t, err)
	require.NoError(c.t, altered[0].Err)
	eventually(c.t, patience, func() bool {
		starts, err := c.admin.kadm.ListStartOffsets(c.admin.ctx(), c.topic)
		require.NoError(c.t, err)
		start, _ := starts.Lookup(c.topic, 0)
		oldest = start.Offset
		return oldest > 0
	}, "Kafka deletes old segments")
	c.history.Record(history.Expired{Partition: c.only(), Before: oldest}) // nobody has asked for them yet
	return oldest
}

// reader is a client of the partition that ACKs when it is told to.
type reader struct {
	*rawConsumer
	stream string // its name in the history
}

func (c *chaos) readPartition(addr string) reader {
	c.t.Helper()
	name := c.name("reader")
	return reader{stream: name + "/1", rawConsumer: subscribeWith(c.t, c.raw(name, addr), &messageproxyv1.SubscribeRequest{
		Subscription: c.subscription, Topics: []string{c.topic}, ClientName: name,
	})}
}

// deliveredTo returns the positions of the messages that a reader got.
func (c *chaos) deliveredTo(r reader) (positions []int64) {
	for _, entry := range c.history.Entries() {
		if e, ok := entry.Event.(history.Delivered); ok && e.Side == history.Client && e.Stream == r.stream {
			for _, m := range e.Messages {
				positions = append(positions, m.Position)
			}
		}
	}
	return positions
}

// finishExpiry ACKs everything until the end, and checks that the reader was told,
// that it got all that is left after what it had got before, and nothing else.
func (c *chaos) finishExpiry(r reader, got []int64, oldest int64) {
	c.t.Helper()
	c.history.Record(history.Healed{}, history.Expected{Subscription: c.subscription, Partitions: c.partitions()})
	want := got
	for p := oldest; p < expiryMessages; p++ {
		want = append(want, p)
	}
	acked := 0 // of those that came
	for acked < len(want) {
		ids := r.awaitMessages(patience, acked+1)
		r.ack(ids[acked:]...)
		acked = len(ids)
	}
	require.Equal(c.t, want, c.deliveredTo(r))
	require.Len(c.t, r.notices(), 1)
	require.Equal(c.t, messageproxyv1.ErrorCode_ERROR_CODE_MESSAGES_EXPIRED, r.notices()[0].GetCode())
	c.awaitCommitted()
	c.check()
}
