//go:build synctests

package kafka

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// produceInTransaction stores messages in one transaction.
func (e *env) produceInTransaction(commit kgo.TransactionEndTry, first, count int) {
	e.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.cluster.ListenAddrs()...), kgo.Dialer(e.network.DialContext),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.TransactionalID("t"),
		kgo.DisableClientMetrics())
	require.NoError(e, err)
	defer cl.Close()
	require.NoError(e, cl.BeginTransaction())
	for i := range count {
		record := &kgo.Record{Topic: testTopic, Value: fmt.Append(nil, first+i)}
		require.NoError(e, cl.ProduceSync(e.Context(), record).FirstErr())
	}
	require.NoError(e, cl.EndTransaction(e.Context(), commit))
}

func TestTransactionsLeaveNoGap(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produceInTransaction(kgo.TryCommit, 0, 3) // 0-2, marker at 3
		e.produceInTransaction(kgo.TryAbort, 90, 3) // 4-6, marker at 7
		e.produce(0, 3, 2)                          // 8, 9
		e.produceInTransaction(kgo.TryCommit, 5, 1) // 10, marker at 11
		e.produceInTransaction(kgo.TryAbort, 90, 2) // 12-13, marker at 14
		c := e.open()
		c.pollMessages(0, 6)
		assert.Equal(e, numbers(0, 6), values(c.messages[0]), "aborted messages are not delivered")
		c.ack(0, 0, 1, 2)
		c.pollFor(2 * DefaultCommitInterval)
		assert.EqualValues(e, 8, e.committed(0), "where the next message is")
		c.ack(0, 8, 9, 10)
		c.pollFor(2 * DefaultCommitInterval)
		assert.EqualValues(e, 15, e.committed(0), "the position reaches the end, behind the last marker")

		c.close()
		c = e.open()
		e.produce(0, 6, 1)
		c.pollMessages(0, 1)
		assert.Equal(e, numbers(6, 1), values(c.messages[0]))
	})
}

func TestOpenTransactionIsWaitedFor(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		cl, err := kgo.NewClient(kgo.SeedBrokers(e.cluster.ListenAddrs()...), kgo.Dialer(e.network.DialContext),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.TransactionalID("t"),
			kgo.DisableClientMetrics())
		require.NoError(e, err)
		defer cl.Close()
		require.NoError(e, cl.BeginTransaction())
		require.NoError(e, cl.ProduceSync(e.Context(), &kgo.Record{Topic: testTopic, Value: []byte("0")}).FirstErr())
		e.produce(0, 1, 1)
		c := e.open()
		c.pollFor(DefaultCommitInterval)
		assert.Empty(e, c.messages[0])
		require.NoError(e, cl.EndTransaction(e.Context(), kgo.TryCommit))
		c.pollMessages(0, 2)
		assert.Equal(e, numbers(0, 2), values(c.messages[0]))
	})
}

func TestCompactionLeavesGaps(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		_, err := e.admin.AlterTopicConfigs(e.Context(), []kadm.AlterConfig{
			{Name: "cleanup.policy", Value: kadm.StringPtr("compact")},
			{Name: "segment.bytes", Value: kadm.StringPtr("200")},
			{Name: "min.cleanable.dirty.ratio", Value: kadm.StringPtr("0")},
		}, testTopic)
		require.NoError(e, err)
		for i := range 60 {
			record := &kgo.Record{Topic: testTopic, Key: fmt.Append(nil, i%7), Value: fmt.Append(nil, i)}
			require.NoError(e, e.client.ProduceSync(e.Context(), record).FirstErr())
		}
		e.cluster.Compact()
		c := e.open()
		c.pollUntil("the last message is there", func() bool {
			m := c.messages[0]
			return len(m) > 0 && string(m[len(m)-1].Value) == "59"
		})
		messages := c.messages[0]
		require.Less(e, len(messages), 60, "some are compacted away")
		for i, m := range messages[:len(messages)-1] {
			c.ack(0, m.Position)
			if i%3 == 0 {
				c.pollFor(2 * DefaultCommitInterval)
				assert.EqualValues(e, messages[i+1].Position, e.committed(0))
			}
		}
		c.ack(0, 59)
		c.pollFor(2 * DefaultCommitInterval)
		assert.EqualValues(e, 60, e.committed(0))
	})
}
