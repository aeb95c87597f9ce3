//go:build synctests

package kafka

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refuseCommits has Kafka refuse the commits of a consumer until lifted, as a
// coordinator does that is still loading.
func (e *env) refuseCommits(of *testConsumer) (lifted *atomic.Bool) {
	lifted = new(atomic.Bool)
	e.cluster.ControlKey(int16(kmsg.OffsetCommit), func(request kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.KeepControl()
		commit := request.(*kmsg.OffsetCommitRequest)
		if lifted.Load() || commit.MemberID != of.membership().member {
			return nil, nil, false
		}
		refusal := commit.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, topic := range commit.Topics {
			t := kmsg.NewOffsetCommitResponseTopic()
			t.Topic, t.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				r := kmsg.NewOffsetCommitResponseTopicPartition()
				r.Partition, r.ErrorCode = p.Partition, kerr.CoordinatorLoadInProgress.Code
				t.Partitions = append(t.Partitions, r)
			}
			refusal.Topics = append(refusal.Topics, t)
		}
		return refusal, nil, true
	})
	return lifted
}

// A consumer that can't commit while it closes stays a member, so partitions may move
// on to another. It must not commit them when it can at last: the other is further on.
func TestCloseTakesNothingBackOfPartitionsThatMoved(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		e.produce(0, 0, 10)
		e.produce(1, 0, 10)
		closing := e.open()
		closing.pollMessages(0, 10)
		closing.pollMessages(1, 10)
		lifted := e.refuseCommits(closing)
		closing.ack(0, 0, 1)
		closing.ack(1, 0, 1)
		closed := make(chan error)
		ctx, cancel := context.WithTimeout(e.Context(), time.Minute)
		defer cancel()
		go func() { closed <- closing.Close(ctx) }()

		other := e.open(withCommitInterval(50 * time.Millisecond))
		other.pollUntil("a partition has moved", func() bool { return len(other.assigned) == 1 })
		moved := other.assigned[0]
		other.pollMessages(moved, 10)
		other.ackAll(moved)
		other.pollFor(time.Second)
		require.EqualValues(e, 10, e.committed(moved))

		lifted.Store(true)
		require.NoError(e, <-closed)
		assert.EqualValues(e, 10, e.committed(moved), "the position that the other wrote down")
		assert.EqualValues(e, 2, e.committed(1-moved), "what was ACKed of the partition that stayed is durable")
	})
}
