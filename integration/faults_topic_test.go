package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/integration/history"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// A topic is deleted and created again while it is produced to and consumed by
// several subscriptions: at once, so that nobody finds it missing, or after a while.
// Everybody goes on with the new topic, from its first message, and nothing of the
// old one counts in it.
func TestTopicIsCreatedAgainUnderLoad(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]time.Duration{"at once": 0, "after a while": 8 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startChaos(t, sharedKafka.Brokers(), 12)
			one, other, latest := c.startProxy("one", nil), c.another(), c.another()
			c.rules.StartLatest = map[string]bool{latest.subscription: true}
			c.addLoad(one.addr)
			workers := []*worker{c.consume(one.addr), other.consume(one.addr)}
			other.consumeRaw(one.addr)
			fromTheLatest := latest.consumeFromTheLatest(one.addr, 12)
			var created time.Time
			for round := range faultRounds(t) {
				holder := c.hold(one.addr)
				held := holder.awaitMessages(patience, 3)
				c.awaitFlow()
				created = c.createTopicAgain(round+2, gone)
				holder.awaitWithdrawnAtOnce(patience)
				holder.ack(held...)
				holder.awaitNotHeld(patience, held...)
				require.True(t, slices.ContainsFunc(holder.told(), func(e *messageproxyv1.Error) bool {
					return e.GetCode() == messageproxyv1.ErrorCode_ERROR_CODE_CONSUME_FAILED && strings.Contains(e.GetMessage(), c.topic)
				}), "clients are told which topic is the trouble: %v", holder.told())
				for _, w := range workers {
					w.awaitEvent(patience, "CONSUME_FAILED", isTrouble(messageproxy.CodeConsumeFailed))
					w.awaitEvent(patience, "recovery", isRecovery(messageproxy.CodeConsumeFailed))
				}
				holder.awaitMessages(patience, 4)
				holder.leave()
			}
			c.awaitFlow()
			c.settle(other, latest)
			c.requireHandledByOne(fromTheLatest.client)
			c.requireReceiptsOfTheNewTopic(created)
		})
	}
}

// createTopicAgain deletes the topic and, some time after, makes another of the same
// name, the nth. It returns when everybody could know of that, and nothing that is
// produced from then on is stored in the old one.
func (c *chaos) createTopicAgain(n int, gone time.Duration) time.Time {
	c.t.Helper()
	partitions := int32(len(c.admin.ends(c.topic)))
	c.history.Record(history.Deleted{Topic: c.incarnation})
	deleted, err := c.admin.kadm.DeleteTopic(c.admin.ctx(), c.topic)
	require.NoError(c.t, err)
	require.NoError(c.t, deleted.Err)
	c.last(gone)
	created, err := c.admin.kadm.CreateTopic(c.admin.ctx(), partitions, 1, nil, c.topic)
	require.NoError(c.t, err)
	c.tap.Created(c.topic, created.ID)
	c.admin.awaitLogs(created)
	c.incarnation = fmt.Sprintf("%s#%d", c.topic, n)
	return time.Now()
}

// requireHandledByOne checks that a client has handled all of the topic that there is
// now.
func (c *chaos) requireHandledByOne(client string) {
	c.t.Helper()
	handled, logged := make(map[string]bool), 0
	for _, entry := range c.history.Entries() {
		switch e := entry.Event.(type) {
		case history.Handled:
			handled[e.Message.ID] = handled[e.Message.ID] || e.Client == client
		case history.Log:
			logged += len(e.Messages)
			for _, m := range e.Messages {
				require.True(c.t, handled[m.ID], "%s has handled %v of %v", client, m, e.Partition)
			}
		}
	}
	require.NotZero(c.t, logged)
}

// requireReceiptsOfTheNewTopic checks that what was sent since then is stored in the
// topic that there is now, or nowhere.
func (c *chaos) requireReceiptsOfTheNewTopic(since time.Time) {
	c.t.Helper()
	type message struct {
		stream   string
		sequence uint64
	}
	sent := make(map[message]bool)
	stored := 0
	for _, entry := range c.history.Entries() {
		if entry.At.Before(since) {
			continue
		}
		switch e := entry.Event.(type) {
		case history.Produced:
			sent[message{e.Stream, e.Sequence}] = true
		case history.Answered:
			if e.Outcome == history.Stored && sent[message{e.Stream, e.Sequence}] {
				assert.Equal(c.t, c.incarnation, e.Partition.Topic, "%v after there was another topic: %+v", entry.At.Sub(since), e)
				stored++
			}
		}
	}
	require.NotZero(c.t, stored)
}
