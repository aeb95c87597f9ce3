//go:build synctests

package kafka

import (
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// expel has Kafka throw a consumer out of the group, as it does with one that it has
// not heard of for the session timeout.
func (e *env) expel(c *testConsumer) {
	e.Helper()
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = c.membership().member
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = "billing"
	req.Members = append(req.Members, m)
	resp, err := req.RequestWith(e.Context(), e.client)
	require.NoError(e, err)
	require.Zero(e, resp.ErrorCode)
}

func withCommitInterval(d time.Duration) func(*Options, *broker.ConsumerOptions) {
	return func(o *Options, _ *broker.ConsumerOptions) { o.CommitInterval = d }
}

// A consumer that Kafka threw out doesn't know before it hears of it. The position
// that others have moved on meanwhile is not taken back: not by what it commits when
// it is the first to be told by that, and not when it joins again and so has a
// membership that Kafka accepts.
func TestExpelledConsumerTakesNothingBack(t *testing.T) {
	for name, stays := range map[string]bool{"the other stays": true, "the other leaves": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(e *env) {
				e.produce(0, 0, 10)
				expelled := e.open(withCommitInterval(50 * time.Millisecond))
				expelled.pollMessages(0, 10)
				e.expel(expelled)
				other := e.open(withCommitInterval(50 * time.Millisecond))
				other.pollMessages(0, 10)
				other.ackAll(0)
				time.Sleep(200 * time.Millisecond)
				require.EqualValues(e, 10, e.committed(0))
				if !stays {
					other.close()
				}
				expelled.ack(0, 0, 1)
				for range 100 { // until it is a member again, or has given up
					time.Sleep(100 * time.Millisecond)
					require.EqualValues(e, 10, e.committed(0))
				}
			})
		})
	}
}

// What it holds is told as lost, so that its ACKs aren't waited for, and it goes on
// as a member that begins anew: by itself, or because it says that it never will.
func TestExpelledConsumerLosesWhatItHolds(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		expelled := e.open(withCommitInterval(50 * time.Millisecond))
		expelled.pollMessages(0, 10)
		e.expel(expelled)
		expelled.ack(0, 0, 1)
		lost := func() bool {
			for _, event := range expelled.log {
				if _, ok := event.(broker.EventLost); ok {
					return true
				}
			}
			return false
		}
		expelled.pollUntil("it has lost the partition", lost)
		expelled.pollUntil("it has the partition again, or fails for good", func() bool {
			return len(expelled.assigned) == 1 || expelled.err != nil && !broker.IsRetryable(expelled.err)
		})
		if expelled.err == nil {
			expelled.pollMessages(0, 20)
			assert.Equal(e, numbers(0, 10), values(expelled.messages[0][10:]), "nothing of it was committed")
		}
	})
}
