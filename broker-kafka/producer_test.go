package kafka

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestMessagesAreStoredInOrderAndAnsweredOnce(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 4)
	var all []*broker.OutgoingMessage
	for i := range 20_000 {
		m := message("orders", fmt.Sprint(i))
		m.Key = fmt.Append(nil, i%7)
		all = append(all, m)
	}
	r := produce(t, e.producer(broker.ProducerOptions{}), all...)
	answers := r.mustStore()

	last := map[int32]int{}
	for _, i := range r.order {
		partition := answers[i].receipt.Partition
		before, ok := last[partition]
		require.True(t, !ok || before < i, "message %d of partition %d was answered after %d", i, partition, before)
		last[partition] = i
	}
	want := map[int32][]string{}
	for i, a := range answers {
		want[a.receipt.Partition] = append(want[a.receipt.Partition], fmt.Sprint(i))
	}
	assert.Equal(t, want, e.stored("orders"))
}

func TestReceiptsSayWhereMessagesAre(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 3)
	answers := produce(t, e.producer(broker.ProducerOptions{}), messages("orders", 100)...).mustStore()
	id := e.cluster.TopicInfo("orders").TopicID
	for _, r := range e.records("orders") {
		var i int
		_, err := fmt.Sscan(string(r.Value), &i)
		require.NoError(t, err)
		receipt := answers[i].receipt
		assert.Equal(t, r.Partition, receipt.Partition)
		assert.True(t, r.Timestamp.Equal(receipt.Timestamp))
		topic, partition, offset, ok := parseMessageID(receipt.ID)
		require.True(t, ok)
		assert.Equal(t, fmt.Sprint(id, r.Partition, r.Offset), fmt.Sprint(topic, partition, offset))
	}
}

func TestAbsentAndEmptySurvive(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	for _, m := range []*broker.OutgoingMessage{
		{Topic: "orders", Partition: broker.AnyPartition},
		{Topic: "orders", Partition: broker.AnyPartition, Key: []byte{}, Value: []byte{}},
		{
			Topic: "orders", Partition: broker.AnyPartition, Key: []byte("k"),
			Headers: []broker.Header{{Key: "a"}, {Key: "a", Value: []byte{}}, {Key: "\xff", Value: []byte("v")}},
		},
	} {
		produce(t, e.producer(broker.ProducerOptions{}), m).mustStore()
		stored := e.records("orders")
		r := stored[len(stored)-1]
		assert.Equal(t, m.Key, r.Key)
		assert.Equal(t, m.Value, r.Value)
		require.Len(t, r.Headers, len(m.Headers))
		for i, h := range m.Headers {
			assert.Equal(t, h, broker.Header(r.Headers[i]))
		}
	}
}

// Kafka's own clients hash keys with murmur2, and hash an empty key like others;
// the figures are what Java's Utils.toPositive(Utils.murmur2(key)) % 100 gives.
func TestKeysChooseThePartitionThatKafkasClientsChoose(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 100)
	p := e.producer(broker.ProducerOptions{})
	reference, err := kgo.NewClient(kgo.SeedBrokers(e.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.DisableClientMetrics())
	require.NoError(t, err)
	defer reference.Close()
	for _, key := range []string{"", "a", "ab", "abc", "abcd", "order-4711", "\x00\xff"} {
		var all []*broker.OutgoingMessage
		for range 3 {
			m := message("orders", "v")
			m.Key = []byte(key)
			all = append(all, m)
		}
		want, err := reference.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Key: []byte(key)}).First()
		require.NoError(t, err)
		for _, a := range produce(t, p, all...).mustStore() {
			assert.Equal(t, want.Partition, a.receipt.Partition, "key %q", key)
		}
	}
}

func TestAMessageCanNameItsPartition(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 5)
	p := e.producer(broker.ProducerOptions{})
	for partition := range int32(5) {
		m := message("orders", "v")
		m.Partition, m.Key = partition, []byte("the same key")
		answer := produce(t, p, m).mustStore()[0]
		assert.Equal(t, partition, answer.receipt.Partition)
	}
	m := message("orders", "v")
	m.Partition = 5
	bad, good := produce(t, p, m), produce(t, p, messages("orders", 10)...)
	err := bad.await()[0].err
	require.ErrorIs(t, err, broker.CodePartitionNotFound)
	assert.ErrorContains(t, err, `topic "orders" partition 5`)
	good.mustStore()
}

func TestPartitionsThatAreAddedAreFound(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, messages("orders", 3)...).mustStore()
	addPartitions(t, e, "orders", 3)
	m := message("orders", "in the new partition")
	m.Partition = 2
	require.Eventually(t, func() bool { // what is known of a topic may be a second old
		return produce(t, p, m).await()[0].err == nil
	}, patience, 100*time.Millisecond)
	assert.Contains(t, e.stored("orders")[2], "in the new partition")
}

func TestMessagesWithoutAKeySpread(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 3)
	var all []*broker.OutgoingMessage
	for range 2000 {
		all = append(all, message("orders", string(make([]byte, 1000))))
	}
	produce(t, e.producer(broker.ProducerOptions{}), all...).mustStore()
	for partition, values := range e.stored("orders") {
		assert.NotEmpty(t, values, "partition %d", partition)
	}
}

func TestOldAndNewTimestampsAreNoTrouble(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	for _, at := range []time.Time{
		time.UnixMilli(0), time.UnixMilli(1), time.Now().Add(-time.Hour), time.Now().Add(30 * time.Minute),
		time.Date(2026, 1, 2, 3, 4, 5, 6_999_999, time.UTC),
	} {
		m := message("orders", "v")
		m.Timestamp = at
		answer := produce(t, p, m).mustStore()[0]
		assert.Equal(t, at.UnixMilli(), answer.receipt.Timestamp.UnixMilli())
	}
}

func TestFlushWaitsForWhatWasGivenBefore(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 3)
	p := e.producer(broker.ProducerOptions{})
	require.NoError(t, p.Flush(t.Context()), "nothing was given")
	for range 20 {
		r := produce(t, p, messages("orders", 50)...)
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, 50, r.count())
	}
}

func TestFlushDoesNotWaitForWhatIsGivenAfter(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, message("orders", "v")).mustStore()
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() { // there is always something unanswered
		defer close(stopped)
		for ctx.Err() == nil {
			p.ProduceAsync(message("orders", "v"), func(broker.MessageReceipt, error) {})
		}
	}()
	for range 10 {
		flush, cancel := context.WithTimeout(t.Context(), patience)
		assert.NoError(t, p.Flush(flush))
		cancel()
	}
	stop()
	<-stopped
	require.NoError(t, p.Flush(t.Context()))
}

func TestFlushEndsWithItsContext(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	e.net.setCut(true)
	r := produce(t, p, message("orders", "v"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, p.Flush(ctx), context.DeadlineExceeded)
	e.net.setCut(false)
	r.mustStore()
	require.NoError(t, p.Flush(t.Context()))
}

func TestAfterClose(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, message("orders", "v")).mustStore()
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.ErrorIs(t, produce(t, p, message("orders", "late")).await()[0].err, broker.ErrClosed)
	require.NoError(t, p.Flush(t.Context()))
	assert.Equal(t, map[int32][]string{0: {"v"}}, e.stored("orders"))
}

// Close races with everything here; every message must be answered truthfully.
func TestCloseUnderLoad(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 4)
	for range 10 {
		p := e.producer(broker.ProducerOptions{})
		before := len(e.records("orders"))
		produced := make(chan *results)
		for range 3 {
			go func() { produced <- produce(t, p, messages("orders", 2000)...) }()
		}
		all := []*results{<-produced}
		require.NoError(t, p.Close())
		all = append(all, <-produced, <-produced)
		codes := map[string]int{}
		for _, r := range all {
			for code, n := range r.codes() {
				codes[code] += n
			}
		}
		stored := len(e.records("orders")) - before
		assert.GreaterOrEqual(t, stored, codes["stored"])
		assert.LessOrEqual(t, stored, codes["stored"]+codes["unknown outcome"])
		assert.Equal(t, 6000, codes["stored"]+codes["unknown outcome"]+codes["closed"], "%v", codes)
	}
}

func TestProducerOptionsAreChecked(t *testing.T) {
	e := newProduceEnv(t, nil)
	for _, opts := range []broker.ProducerOptions{{Timeout: -1}, {MaxMessageBytes: -1}, {MaxMessageBytes: 1 << 30}} {
		_, err := e.broker.NewProducer(t.Context(), opts)
		assert.ErrorIs(t, err, broker.CodeInvalidArgument)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.broker.NewProducer(ctx, broker.ProducerOptions{})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestALargeMessage(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("large", 1, "max.message.bytes", "20000000")
	m := message("large", "")
	m.Value = slices.Repeat([]byte("0123456789abcde"), 1<<20)
	produce(t, e.producer(broker.ProducerOptions{}), m).mustStore()
	assert.Len(t, e.stored("large")[0][0], 15<<20)
}

func BenchmarkProduce(b *testing.B) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BlackholeProduce(), kfake.SeedTopics(8, "orders"))
	require.NoError(b, err)
	defer cluster.Close()
	value := make([]byte, 100)

	b.Run("bare client", func(b *testing.B) {
		cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ProducerLinger(0), kgo.DisableClientMetrics())
		require.NoError(b, err)
		defer cl.Close()
		b.ReportAllocs()
		for b.Loop() {
			cl.Produce(b.Context(), &kgo.Record{Topic: "orders", Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					b.Error(err)
				}
			})
		}
		require.NoError(b, cl.Flush(b.Context()))
	})
	b.Run("producer", func(b *testing.B) {
		br, err := New(Options{Brokers: cluster.ListenAddrs()})
		require.NoError(b, err)
		p, err := br.NewProducer(b.Context(), broker.ProducerOptions{})
		require.NoError(b, err)
		defer p.Close()
		outstanding := make(chan struct{}, 50_000) // as many as the bare client allows
		b.ReportAllocs()
		for b.Loop() {
			outstanding <- struct{}{}
			m := &broker.OutgoingMessage{Topic: "orders", Partition: broker.AnyPartition, Value: value}
			p.ProduceAsync(m, func(_ broker.MessageReceipt, err error) {
				if err != nil {
					b.Error(err)
				}
				<-outstanding
			})
		}
		require.NoError(b, p.Flush(b.Context()))
	})
}
