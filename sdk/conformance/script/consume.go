package script

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

type consumeServer = grpc.BidiStreamingServer[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]

// ConsumeStream is a Consume stream of a client.
type ConsumeStream struct {
	*stream
	requests []*messageproxyv1.ConsumeRequest // guarded by the server's state
}

// Consume implements the service.
func (s *Server) Consume(g consumeServer) error {
	c := &ConsumeStream{stream: s.newStream(g)}
	s.state.Update(func() { s.consumes = append(s.consumes, c) })
	return c.serve(func() error { return c.receive(g) })
}

func (c *ConsumeStream) receive(g consumeServer) error {
	request, err := g.Recv()
	c.server.state.Update(func() {
		if err != nil {
			c.halfClosed = errors.Is(err, io.EOF)
			return
		}
		c.requests = append(c.requests, request)
	})
	return err
}

// Requests are those that have come.
func (c *ConsumeStream) Requests() []*messageproxyv1.ConsumeRequest {
	var all []*messageproxyv1.ConsumeRequest
	c.server.state.Look(func() { all = slices.Clone(c.requests) })
	return all
}

// AwaitSubscribe waits for the first request, which is to subscribe.
func (c *ConsumeStream) AwaitSubscribe() *messageproxyv1.SubscribeRequest {
	c.server.t.Helper()
	c.server.state.Wait(c.server.t,
		func() string { return "the first request on a Consume stream" },
		func() bool { return len(c.requests) > 0 })
	first := c.Requests()[0]
	if first.GetSubscribe() == nil {
		c.server.fatalf("the first request is not to subscribe: %v", first)
	}
	return first.GetSubscribe()
}

// AwaitLeave waits until the client has asked to leave.
func (c *ConsumeStream) AwaitLeave() {
	c.server.t.Helper()
	c.server.state.Wait(c.server.t,
		func() string { return fmt.Sprintf("the client to leave; its requests were %v", c.requests) },
		func() bool { return c.leftLocked() >= 0 })
}

// Left reports whether the client has asked to leave.
func (c *ConsumeStream) Left() bool {
	var left bool
	c.server.state.Look(func() { left = c.leftLocked() >= 0 })
	return left
}

// leftLocked is which request was to leave, or -1.
func (c *ConsumeStream) leftLocked() int {
	return slices.IndexFunc(c.requests, func(r *messageproxyv1.ConsumeRequest) bool { return r.GetLeave() != nil })
}

// Acked are the ids that were ACKed, in the order in which that came.
func (c *ConsumeStream) Acked() []string {
	var ids []string
	c.server.state.Look(func() { ids = c.ackedLocked() })
	return ids
}

func (c *ConsumeStream) ackedLocked() []string {
	var ids []string
	for _, r := range c.requests {
		ids = append(ids, r.GetAck().GetMessageIds()...)
	}
	return ids
}

// AckFrames is how many requests had ACKs.
func (c *ConsumeStream) AckFrames() int {
	n := 0
	for _, r := range c.Requests() {
		if r.GetAck() != nil {
			n++
		}
	}
	return n
}

// AwaitAcks waits until so many ids were ACKed, and returns all.
func (c *ConsumeStream) AwaitAcks(n int) []string {
	c.server.t.Helper()
	c.server.state.Wait(c.server.t,
		func() string {
			acked := c.ackedLocked()
			return fmt.Sprintf("ACK %d; %d have come, the last are %q, the stream is gone: %t", n, len(acked), acked[max(0, len(acked)-10):], c.gone)
		},
		func() bool { return len(c.ackedLocked()) >= n })
	return c.Acked()
}

// Send sends a response as it is.
func (c *ConsumeStream) Send(response *messageproxyv1.ConsumeResponse) {
	c.server.t.Helper()
	c.send(response)
}

// Subscribed says that the client's subscription is joined.
func (c *ConsumeStream) Subscribed(maxUnacked uint32, ackTimeout time.Duration) {
	c.server.t.Helper()
	c.Send(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Subscribed{Subscribed: &messageproxyv1.Subscribed{
		MaxUnackedMessages: maxUnacked,
		AckTimeout:         durationpb.New(ackTimeout),
	}}})
}

// Deliver sends messages of a partition in a batch.
func (c *ConsumeStream) Deliver(topic string, partition int32, messages ...*messageproxyv1.Message) {
	c.server.t.Helper()
	c.Send(Batch(&messageproxyv1.PartitionMessages{Topic: topic, Partition: partition, Messages: messages}))
}

// Batch is a batch of messages of partitions.
func Batch(partitions ...*messageproxyv1.PartitionMessages) *messageproxyv1.ConsumeResponse {
	return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Batch{
		Batch: &messageproxyv1.MessageBatch{Partitions: partitions},
	}}
}

// Message is a message with an id, which is its value too.
func Message(id string) *messageproxyv1.Message {
	return &messageproxyv1.Message{Id: id, Value: []byte(id), TimestampMs: 1_700_000_000_000, DeliveryAttempt: 1}
}

// Keyed is Message with a key.
func Keyed(id, key string) *messageproxyv1.Message {
	m := Message(id)
	m.Key = []byte(key)
	return m
}

// Assign says which partitions of a topic the client has.
func (c *ConsumeStream) Assign(topic string, partitions ...int32) {
	c.server.t.Helper()
	c.Send(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Assignment{
		Assignment: &messageproxyv1.Assignment{Partitions: names(topic, partitions)},
	}})
}

// Withdraw withdraws partitions of a topic.
func (c *ConsumeStream) Withdraw(timeLeft time.Duration, topic string, partitions ...int32) {
	c.server.t.Helper()
	c.Send(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Withdrawn{
		Withdrawn: &messageproxyv1.Withdrawn{Partitions: names(topic, partitions), TimeLeft: durationpb.New(timeLeft)},
	}})
}

func names(topic string, partitions []int32) []*messageproxyv1.TopicPartition {
	all := make([]*messageproxyv1.TopicPartition, len(partitions))
	for i, partition := range partitions {
		all[i] = &messageproxyv1.TopicPartition{Topic: topic, Partition: partition}
	}
	return all
}

// Trouble announces trouble that the server is retrying.
func (c *ConsumeStream) Trouble(e *messageproxyv1.Error) {
	c.server.t.Helper()
	c.Send(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Error{Error: e}})
}

// Recovered says that the trouble with a code is over.
func (c *ConsumeStream) Recovered(code messageproxyv1.ErrorCode) {
	c.server.t.Helper()
	c.Send(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Recovered{
		Recovered: &messageproxyv1.Recovered{Code: code},
	}})
}

// Notice gives a notice.
func (c *ConsumeStream) Notice(e *messageproxyv1.Error) {
	c.server.t.Helper()
	c.Send(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Notice{Notice: e}})
}

// Terminate ends the stream with a terminal error, and a status that has it too.
func (c *ConsumeStream) Terminate(e *messageproxyv1.Error) {
	c.server.t.Helper()
	c.SendTerminal(e)
	c.EndWithDetails(codes.Aborted, e)
}

// SendTerminal sends a terminal error; the stream goes on.
func (c *ConsumeStream) SendTerminal(e *messageproxyv1.Error) {
	c.server.t.Helper()
	c.Send(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_TerminalError{TerminalError: e}})
}
