//go:build synctests

package kafka

import (
	"sync"
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

// slowPoll keeps the pump in its poll for a while, once, with a message in hand:
// the client calls this hook before it returns from the poll.
type slowPoll struct {
	value string
	once  sync.Once
}

func (s *slowPoll) OnFetchRecordUnbuffered(r *kgo.Record, polled bool) {
	if polled && string(r.Value) == s.value {
		s.once.Do(func() { time.Sleep(time.Minute) })
	}
}

// The pump has taken messages from the client when the partition is lost and
// assigned again: they must not be delivered in the new assignment, which begins
// at the committed position.
func TestWhatThePumpHoldsIsNotDeliveredInTheNextAssignment(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open(func(o *Options, _ *broker.ConsumerOptions) {
			o.ClientOptions = append(o.ClientOptions, kgo.WithHooks(&slowPoll{value: "10"}))
		})
		c.pollMessages(0, 10)
		c.ack(0, 0, 1, 2)
		time.Sleep(2 * DefaultCommitInterval)
		require.EqualValues(e, 3, e.committed(0))

		e.produce(0, 10, 5)
		time.Sleep(time.Second)
		e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, TopLevel: true})
		c.pollUntil("it is lost", func() bool { return len(eventsOf[broker.EventLost](c)) == 1 })
		assert.Len(e, c.messages[0], 10)
		c.messages = nil
		c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 1 })
		c.pollMessages(0, 12)
		assert.Equal(e, numbers(3, 12), values(c.messages[0]))
	})
}

func TestGateServesInOrder(t *testing.T) {
	g := newGate()
	ctx, leave := g.enter(t.Context())
	require.NoError(t, ctx.Err())
	excluded := make(chan func())
	go func() { excluded <- g.exclude() }()
	<-ctx.Done() // a change interrupts the poll
	leave()
	done := <-excluded
	entered := make(chan struct{})
	go func() {
		_, leave := g.enter(t.Context())
		leave()
		close(entered)
	}()
	select {
	case <-entered:
		t.Fatal("the pump is inside while the assignment changes")
	default:
	}
	done()
	<-entered
}
