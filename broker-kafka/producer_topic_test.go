package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func TestAnUnknownTopicFailsAlone(t *testing.T) {
	e := newProduceEnv(t, nil, kfake.AllowAutoTopicCreation())
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	var unknown []*broker.OutgoingMessage
	for i := range 500 {
		unknown = append(unknown, message(fmt.Sprintf("nowhere-%d", i), "v"))
	}
	bad, good := produce(t, p, unknown...), produce(t, p, messages("orders", 10)...)
	for _, a := range good.mustStore() {
		assert.Less(t, a.after, topicGrace, "others don't wait until a topic counts as missing")
	}
	for i, a := range bad.await() {
		require.ErrorIs(t, a.err, broker.CodeTopicNotFound)
		assert.ErrorContains(t, a.err, fmt.Sprintf("%q", unknown[i].Topic))
		assert.Less(t, a.after, topicTimeout)
	}
	assert.Nil(t, e.cluster.TopicInfo("nowhere-0"), "and isn't created")

	e.topic("nowhere-1", 1)
	produce(t, p, message("nowhere-1", "exists now")).mustStore()
}

func TestImpossibleTopics(t *testing.T) {
	e := newProduceEnv(t, func(o *Options) { o.CreateTopics = true })
	p := e.producer(broker.ProducerOptions{})
	require.ErrorIs(t, produce(t, p, message("", "v")).await()[0].err, broker.CodeInvalidArgument)
	for _, name := range []string{".", "..", "a/b", "ü", "a b", strings.Repeat("x", 250), strings.Repeat("x", 1<<16)} {
		err := produce(t, p, message(name, "v")).await()[0].err
		require.ErrorIs(t, err, broker.CodeTopicNotFound)
		assert.False(t, broker.IsRetryable(err))
	}
}

func TestTopicsAreCreated(t *testing.T) {
	e := newProduceEnv(t, func(o *Options) { o.CreateTopics = true }, kfake.DefaultNumPartitions(3))
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, messages("orders", 10)...).mustStore()
	assert.Len(t, e.cluster.PartitionInfos("orders"), 3)
}

func TestATopicThatCannotBeCreated(t *testing.T) {
	e := newProduceEnv(t, func(o *Options) { o.CreateTopics = true })
	e.topic("others", 1)
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.PolicyViolation, Count: -1})
	p := e.producer(broker.ProducerOptions{})
	bad, good := produce(t, p, message("orders", "v")), produce(t, p, message("others", "v"))
	require.ErrorIs(t, bad.await()[0].err, broker.CodeInvalidArgument)
	good.mustStore()
}

func TestATopicThatIsDenied(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	e.topic("others", 1)
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "orders", Err: kerr.TopicAuthorizationFailed, Count: -1})
	p := e.producer(broker.ProducerOptions{})
	bad, good := produce(t, p, message("orders", "v")), produce(t, p, message("others", "v"))
	require.ErrorIs(t, bad.await()[0].err, broker.CodePermissionDenied)
	good.mustStore()
}

func TestATopicDeletedWhileProducing(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	e.topic("others", 1)
	p := e.producer(broker.ProducerOptions{})
	old := produce(t, p, messages("orders", 5)...).mustStore()
	require.NoError(t, e.cluster.DeleteTopic("orders"))
	for _, a := range produce(t, p, messages("orders", 5)...).await() {
		require.ErrorIs(t, a.err, broker.CodeTopicNotFound)
		assert.Less(t, a.after, topicTimeout)
	}
	produce(t, p, message("others", "v")).mustStore()

	e.topic("orders", 2)
	require.Eventually(t, func() bool {
		return produce(t, p, message("orders", "again")).await()[0].err == nil
	}, patience, 50*time.Millisecond)
	fresh := produce(t, p, messages("orders", 20)...).mustStore()
	id := e.cluster.TopicInfo("orders").TopicID
	for _, a := range fresh {
		topic, _, _, ok := parseMessageID(a.receipt.ID)
		require.True(t, ok)
		assert.Equal(t, id, topic)
		assert.NotEqual(t, old[0].receipt.ID, a.receipt.ID)
	}
	assert.Len(t, e.records("orders"), 21)
}

// Between the deletion and the library's noticing, messages may fail; none may get
// an id of the old topic, and none of the failed ones may be in the new topic.
func TestATopicMadeAnewWhileProducing(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, messages("orders", 5)...).mustStore()
	require.NoError(t, e.cluster.DeleteTopic("orders"))
	e.topic("orders", 1)
	id := e.cluster.TopicInfo("orders").TopicID
	stored := 0
	for i := 0; stored < 10; i++ {
		require.Less(t, i, 1000)
		a := produce(t, p, message("orders", fmt.Sprint(i))).await()[0]
		if a.err != nil {
			require.ErrorIs(t, a.err, broker.CodeTopicNotFound)
			require.True(t, broker.IsRetryable(a.err))
			continue
		}
		stored++
		topic, _, _, ok := parseMessageID(a.receipt.ID)
		require.True(t, ok)
		require.Equal(t, id, topic)
	}
	assert.Len(t, e.records("orders"), stored)
}

// Brokers that know topics by name alone can't tell a topic from its successor, so
// an id could be wrong; better none.
func TestNoIDWhereItCouldBeWrong(t *testing.T) {
	e := newProduceEnv(t, func(o *Options) {
		versions := kversionBefore(kmsg.Produce, 13)
		o.ClientOptions = append(o.ClientOptions, kgo.MaxVersions(versions))
	})
	e.topic("orders", 1)
	answers := produce(t, e.producer(broker.ProducerOptions{}), messages("orders", 5)...).mustStore()
	for _, a := range answers {
		assert.Empty(t, a.receipt.ID)
	}
}

func TestATooLargeMessageCostsNoOther(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1, "max.message.bytes", "100000")
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, message("orders", "first")).mustStore()
	var all []*broker.OutgoingMessage
	large := map[int]bool{}
	for i := range 3000 { // more than fits into one batch
		m := message("orders", fmt.Sprintf("%1000d", i))
		if i%100 == 50 {
			m.Value = make([]byte, 100_000)
			large[i] = true
		}
		all = append(all, m)
	}
	for i, a := range produce(t, p, all...).await() {
		if large[i] {
			require.ErrorIs(t, a.err, broker.CodeMessageTooLarge)
		} else {
			require.NoError(t, a.err)
		}
	}
	assert.Len(t, e.records("orders"), 3001-len(large))
}

func TestALimitThatIsChangedIsNoticed(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1, "max.message.bytes", "10000")
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, message("orders", "first")).mustStore()
	large := message("orders", strings.Repeat("x", 20_000))
	require.ErrorIs(t, produce(t, p, large).await()[0].err, broker.CodeMessageTooLarge)
	e.setConfig("orders", "max.message.bytes", "50000")
	require.Eventually(t, func() bool {
		return produce(t, p, large).await()[0].err == nil
	}, patience, 100*time.Millisecond)
	produce(t, p, messages("orders", 10)...).mustStore()
	assert.Len(t, e.records("orders"), 12)
}

func (e *produceEnv) setConfig(topic, key, value string) {
	e.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.cluster.ListenAddrs()...), kgo.DisableClientMetrics())
	require.NoError(e, err)
	defer cl.Close()
	resp, err := kadm.NewClient(cl).AlterTopicConfigs(e.Context(), []kadm.AlterConfig{{Name: key, Value: &value}}, topic)
	require.NoError(e, err)
	require.NoError(e, resp[0].Err)
}

// Brokers refuse such messages together with the whole batch.
func TestARuleOfTheTopicIsAppliedToTheMessageAlone(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1, "cleanup.policy", "compact", "message.timestamp.after.max.ms", "3600000", "message.timestamp.before.max.ms", "7200000")
	p := e.producer(broker.ProducerOptions{})
	keyed := func(value string, at time.Duration) *broker.OutgoingMessage {
		m := message("orders", value)
		m.Key, m.Timestamp = []byte{}, time.Now().Add(at)
		return m
	}
	answers := produce(t, p,
		keyed("1", 0), message("orders", "no key"), keyed("2", time.Minute), keyed("future", 2*time.Hour),
		keyed("3", -time.Hour), keyed("past", -3*time.Hour), keyed("4", 0),
	).await()
	for i, what := range map[int]string{1: "need a key", 3: "ahead", 5: "ago"} {
		require.ErrorIs(t, answers[i].err, broker.CodeInvalidArgument)
		require.ErrorContains(t, answers[i].err, what)
		answers[i].err = nil
	}
	for _, a := range answers {
		require.NoError(t, a.err)
	}
	assert.Equal(t, []string{"1", "2", "3", "4"}, e.stored("orders")[0])
}

func TestProducingDoesNotNeedTheSettings(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	produce(t, e.producer(broker.ProducerOptions{}), messages("orders", 10)...).mustStore()
}

func TestBadMessagesFailAtOnce(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	partition := message("orders", "v")
	partition.Partition = -2
	before1970 := message("orders", "v")
	before1970.Timestamp = time.UnixMilli(-1)
	for _, m := range []*broker.OutgoingMessage{partition, before1970} {
		require.ErrorIs(t, produce(t, p, m).await()[0].err, broker.CodeInvalidArgument)
	}
}

// kversionBefore returns the newest versions, but of one request those below max.
func kversionBefore(key kmsg.Key, max int16) *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(key.Int16(), max-1)
	return v
}
