package integration_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// rawConsumer is a Consume stream without the SDK.
type rawConsumer struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]

	mu         sync.Mutex
	messages   []rawMessage
	assignment *messageproxyv1.Assignment
	noticed    []*messageproxyv1.Error
	withdrawn  []*messageproxyv1.Withdrawn
	troubles   []*messageproxyv1.Error
	terminal   *messageproxyv1.Error
	ended      error // nil until it has
	changed    chan struct{}
}

type rawMessage struct {
	id        string
	partition int32
}

func subscribeRaw(t *testing.T, client messageproxyv1.MessageProxyClient, subscription, topic string) *rawConsumer {
	t.Helper()
	return subscribeWith(t, client, &messageproxyv1.SubscribeRequest{Subscription: subscription, Topics: []string{topic}})
}

func subscribeWith(t *testing.T, client messageproxyv1.MessageProxyClient, request *messageproxyv1.SubscribeRequest) *rawConsumer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	stream, err := client.Consume(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{
		Subscribe: request,
	}}))
	c := &rawConsumer{t: t, stream: stream, changed: make(chan struct{})}
	go c.read()
	return c
}

func (c *rawConsumer) read() {
	for {
		r, err := c.stream.Recv()
		c.mu.Lock()
		if err != nil {
			c.ended = err
		} else {
			c.note(r)
		}
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *rawConsumer) note(r *messageproxyv1.ConsumeResponse) {
	for _, p := range r.GetBatch().GetPartitions() {
		for _, m := range p.GetMessages() {
			c.messages = append(c.messages, rawMessage{m.GetId(), p.GetPartition()})
		}
	}
	if a := r.GetAssignment(); a != nil {
		c.assignment = a
	}
	if n := r.GetNotice(); n != nil {
		c.noticed = append(c.noticed, n)
	}
	if w := r.GetWithdrawn(); w != nil {
		c.withdrawn = append(c.withdrawn, w)
	}
	if e := r.GetError(); e != nil {
		c.troubles = append(c.troubles, e)
	}
	if e := r.GetTerminalError(); e != nil {
		c.terminal = e
	}
}

// await waits until condition, which is called with c.mu held, is true.
func (c *rawConsumer) await(within time.Duration, what string, condition func() bool) {
	c.t.Helper()
	await(c.t, within, func() (bool, <-chan struct{}) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return condition(), c.changed
	}, func() string { return fmt.Sprintf("%s; %v", what, c) })
}

// String says what has come of the stream.
func (c *rawConsumer) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("received %d; assignment %v; withdrawn %v; notices %v; troubles %v; ended: %v, terminal error %v",
		len(c.messages), c.assignment, c.withdrawn, c.noticed, c.troubles, c.ended, c.terminal)
}

// awaitMessages waits for n messages in all and returns the ids of all that came.
func (c *rawConsumer) awaitMessages(within time.Duration, n int) []string {
	c.t.Helper()
	c.await(within, "messages", func() bool { return len(c.messages) >= n })
	return c.ids()
}

func (c *rawConsumer) awaitAssigned(within time.Duration, n int) {
	c.t.Helper()
	c.await(within, "assignment", func() bool { return len(c.assignment.GetPartitions()) == n })
}

func (c *rawConsumer) awaitEnd(within time.Duration) *messageproxyv1.Error {
	c.t.Helper()
	c.await(within, "the end", func() bool { return c.ended != nil })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.terminal
}

// awaitWithdrawnAtOnce waits until the client is told that partitions are gone.
func (c *rawConsumer) awaitWithdrawnAtOnce(within time.Duration) {
	c.t.Helper()
	c.await(within, "partitions that are gone", func() bool {
		return slices.ContainsFunc(c.withdrawn, func(w *messageproxyv1.Withdrawn) bool { return w.GetTimeLeft().AsDuration() == 0 })
	})
}

// awaitNotHeld waits until ACKs of these messages have been refused.
func (c *rawConsumer) awaitNotHeld(within time.Duration, ids ...string) {
	c.t.Helper()
	c.await(within, "NOT_HELD", func() bool {
		refused := make(map[string]bool)
		for _, n := range c.noticed {
			for _, id := range n.GetMessageIds() {
				refused[id] = n.GetCode() == messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD
			}
		}
		return !slices.ContainsFunc(ids, func(id string) bool { return !refused[id] })
	})
}

// awaitQuiet waits until nothing has come for a while: how a client sees that the
// server has nothing more for it.
func (c *rawConsumer) awaitQuiet(quiet time.Duration) {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(quiet):
			return
		}
	}
}

func (c *rawConsumer) ack(ids ...string) {
	c.t.Helper()
	require.NoError(c.t, c.stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
		Ack: &messageproxyv1.AckRequest{MessageIds: ids},
	}}))
}

// leave ends the stream.
func (c *rawConsumer) leave() {
	c.t.Helper()
	require.NoError(c.t, c.stream.CloseSend())
	c.awaitEnd(10 * time.Second)
}

func (c *rawConsumer) received() []rawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]rawMessage(nil), c.messages...)
}

func (c *rawConsumer) ids() []string {
	var ids []string
	for _, m := range c.received() {
		ids = append(ids, m.id)
	}
	return ids
}

func (c *rawConsumer) ofPartition(p int32) []string {
	var ids []string
	for _, m := range c.received() {
		if m.partition == p {
			ids = append(ids, m.id)
		}
	}
	return ids
}

func (c *rawConsumer) assigned() []int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var partitions []int32
	for _, p := range c.assignment.GetPartitions() {
		partitions = append(partitions, p.GetPartition())
	}
	return partitions
}

// told returns what the server's trouble was said to be.
func (c *rawConsumer) told() []*messageproxyv1.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.troubles
}

func (c *rawConsumer) notices() []*messageproxyv1.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.noticed
}
