//go:build synctests

package kafka

import (
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokersLag is how long the brokers say that a new topic doesn't exist. They learn
// of it one by one, which takes milliseconds, and seconds on a machine that is busy.
const brokersLag = 4 * time.Second

// hideTopic has the brokers not know the test's topic for a while; if firstLookToo
// is false, the first to be asked knows it.
func (e *env) hideTopic(lag time.Duration, firstLookToo bool) {
	looked := firstLookToo
	handle := e.cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Metadata, kmsg.Produce}, Topic: testTopic, Err: kerr.UnknownTopicOrPartition, Count: -1,
		When: func(kmsg.Request) bool {
			hidden := looked
			looked = true
			return hidden
		},
	})
	timer := time.AfterFunc(lag, handle.Remove)
	e.Cleanup(func() { timer.Stop() })
}

func TestASubscriptionWaitsForATopicThatIsNew(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 5)
		e.hideTopic(brokersLag, true)
		begin := time.Now()
		c := e.open()
		assert.Less(e, time.Since(begin), topicTimeout)
		c.pollMessages(0, 5)
		assert.Zero(e, c.errs)
	})
}

func TestMessagesWaitForATopicThatIsNew(t *testing.T) {
	for name, firstLookToo := range map[string]bool{"nobody knows it": true, "one broker knows it": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(e *env) {
				b, err := New(Options{Brokers: e.cluster.ListenAddrs(), ClientOptions: e.clientOptions()})
				require.NoError(e, err)
				p, err := b.NewProducer(e.Context(), broker.ProducerOptions{})
				require.NoError(e, err)
				e.hideTopic(brokersLag, firstLookToo)
				for _, a := range produce(e.T, p.(*producer), messages(testTopic, 20)...).await() {
					assert.NoError(e, a.err)
					assert.Less(e, a.after, topicTimeout)
				}
				require.NoError(e, p.Close())
			})
		})
	}
}

// A broker that doesn't know the topic for a moment ends nothing: it may be behind
// the others. A topic that is really gone is called by its name.
func TestATopicThatABrokerDoesNotKnowForAMoment(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		c := e.open()
		e.produce(0, 0, 5)
		c.pollMessages(0, 5)
		e.hideTopic(brokersLag, true)
		c.client.ForceMetadataRefresh()
		time.Sleep(brokersLag + time.Second)
		e.produce(0, 5, 5)
		c.pollMessages(0, 10)
		assert.Zero(e, c.errs)
		assert.Empty(e, eventsOf[broker.EventLost](c))

		e.hideTopic(time.Hour, true)
		c.client.ForceMetadataRefresh()
		c.pollUntil("it fails for good", func() bool { return c.err != nil && !broker.IsRetryable(c.err) })
		assert.ErrorIs(e, c.err, broker.CodeTopicNotFound)
		assert.ErrorContains(e, c.err, testTopic)
	})
}
