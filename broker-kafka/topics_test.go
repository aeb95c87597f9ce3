package kafka

import (
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (e *produceEnv) client() *kgo.Client {
	e.Helper()
	cl, err := kgo.NewClient(e.broker.clientOptions()...)
	require.NoError(e, err)
	e.Cleanup(cl.Close)
	return cl
}

func TestEnsureTopics(t *testing.T) {
	e := newProduceEnv(t, nil, kfake.AllowAutoTopicCreation())
	e.topic("orders", 1)
	e.topic("bills", 1)
	cl := e.client()
	ids, err := e.broker.ensureTopics(t.Context(), cl, []string{"orders", "bills"})
	require.NoError(t, err)
	assert.Equal(t, map[string]topicID{
		"orders": e.cluster.TopicInfo("orders").TopicID, "bills": e.cluster.TopicInfo("bills").TopicID,
	}, ids)

	_, err = e.broker.ensureTopics(t.Context(), cl, []string{"orders", "nowhere", "bills"})
	require.ErrorIs(t, err, broker.CodeTopicNotFound)
	assert.ErrorContains(t, err, `"nowhere"`)
	assert.Nil(t, e.cluster.TopicInfo("nowhere"))
	_, err = e.broker.ensureTopics(t.Context(), cl, []string{"no such name"})
	require.ErrorIs(t, err, broker.CodeTopicNotFound)
}

// A topic made by somebody else a moment before may not be known to every broker.
func TestEnsureTopicsWaitsForATopicToBeKnown(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "orders", Err: kerr.UnknownTopicOrPartition, Count: 3})
	ids, err := e.broker.ensureTopics(t.Context(), e.client(), []string{"orders"})
	require.NoError(t, err)
	assert.Contains(t, ids, "orders")
}

// Of a topic without a leader Kafka may say nothing but that, not even its id.
func TestEnsureTopicsWaitsForATopicToBeReady(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "orders", Err: kerr.LeaderNotAvailable, Count: 3})
	ids, err := e.broker.ensureTopics(t.Context(), e.client(), []string{"orders"})
	require.NoError(t, err)
	assert.Equal(t, e.cluster.TopicInfo("orders").TopicID, ids["orders"])
}

func TestEnsureTopicsCreates(t *testing.T) {
	e := newProduceEnv(t, func(o *Options) { o.CreateTopics = true }, kfake.DefaultNumPartitions(3))
	e.topic("orders", 1)
	ids, err := e.broker.ensureTopics(t.Context(), e.client(), []string{"orders", "new"})
	require.NoError(t, err)
	require.Len(t, ids, 2)
	assert.Equal(t, e.cluster.TopicInfo("new").TopicID, ids["new"])
	assert.Len(t, e.cluster.PartitionInfos("new"), 3)

	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
	_, err = e.broker.ensureTopics(t.Context(), e.client(), []string{"orders", "another"})
	require.ErrorIs(t, err, broker.CodePermissionDenied)
	assert.ErrorContains(t, err, `"another"`)
}

func TestEnsureTopicsWhereDenied(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	e.topic("secret", 1)
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "secret", Err: kerr.TopicAuthorizationFailed, Count: -1})
	_, err := e.broker.ensureTopics(t.Context(), e.client(), []string{"orders", "secret"})
	require.ErrorIs(t, err, broker.CodePermissionDenied)
	assert.ErrorContains(t, err, `"secret"`)
}

func TestEnsureTopicsOfAnUnreachableKafka(t *testing.T) {
	e := newProduceEnv(t, nil)
	for name, fault := range map[string]func(bool){"refuses": e.net.setCut, "doesn't answer": e.net.setDeaf} {
		t.Run(name, func(t *testing.T) {
			fault(true)
			defer fault(false)
			ctx, cancel := contextWithTimeout(t, time.Second)
			defer cancel()
			begin := time.Now()
			_, err := e.broker.ensureTopics(ctx, e.client(), []string{"orders"})
			require.ErrorIs(t, err, broker.CodeUnavailable)
			assert.Less(t, time.Since(begin), 2*time.Second)
		})
	}
}
