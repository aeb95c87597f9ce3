package consume

import (
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// Stream is the server's end of a Consume stream.
type Stream = grpc.BidiStreamingServer[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]

// client is one stream. The goroutine of its handler owns it as the writer, but for
// what is said otherwise.
type client struct {
	id      coordinator.ClientID
	name    string // as the client gave it
	service *Service
	stream  Stream
	outbox  *outbox // used by the loop and the writer
	// credits bounds the requests that wait for the loop; the reader takes one for
	// each and the loop gives it back.
	credits chan struct{}
	// written is closed when the writer returns.
	written chan struct{}

	frame     wire.Batch
	lastFrame int // bytes of the one before
	// inTransport is what gRPC may have of frames: the one that is being sent, and the
	// one before, which may wait for the client to read.
	inTransport atomic.Int64
	spare       []coordinator.Effect
	// subscriptionLog is what log adds to.
	subscriptionLog *slog.Logger
}

// maxPendingRequests is how many of a stream's requests may wait for the loop.
const maxPendingRequests = 8

func newClient(s *Service, id coordinator.ClientID, name string, stream Stream, log *slog.Logger) *client {
	return &client{
		id:              id,
		name:            name,
		service:         s,
		stream:          stream,
		outbox:          newOutbox(),
		credits:         make(chan struct{}, maxPendingRequests),
		written:         make(chan struct{}),
		subscriptionLog: log,
	}
}

// log returns a logger that says which client it is. It is made when there is something
// to log: nothing is of most streams, and each would keep its own.
func (c *client) log() *slog.Logger {
	return c.subscriptionLog.With("client", uint64(c.id), "client_name", wire.Text(c.name))
}

func (c *client) takeCredit()   { c.credits <- struct{}{} }
func (c *client) returnCredit() { <-c.credits }

// write sends what the outbox holds until the stream ends. Its result is the
// stream's status.
func (c *client) write() error {
	defer close(c.written)
	for {
		select {
		case <-c.outbox.signal:
		case <-c.stream.Context().Done():
			return c.stream.Context().Err()
		}
		items, ended, terminal := c.outbox.take(c.spare)
		if err := c.sendAll(items); err != nil {
			return err
		}
		clear(items) // the next ones may be long in coming, and these refer to messages
		c.spare = items
		if ended {
			return c.sendEnd(terminal)
		}
	}
}

func (c *client) sendEnd(terminal *messageproxyv1.Error) error {
	if terminal == nil {
		return nil
	}
	if err := c.send(&messageproxyv1.ConsumeResponse{
		Response: &messageproxyv1.ConsumeResponse_TerminalError{TerminalError: terminal},
	}); err != nil {
		return err
	}
	return wire.Status(terminal)
}

func (c *client) send(r *messageproxyv1.ConsumeResponse) error { return c.stream.Send(r) }

// sendAll sends messages of successive deliveries together, up to about
// wire.MaxFrameBytes a frame, and everything else by itself.
func (c *client) sendAll(items []coordinator.Effect) error {
	for _, item := range items {
		if d, ok := item.(coordinator.Deliver); ok {
			if err := c.addToFrame(d); err != nil {
				return err
			}
			continue
		}
		if err := c.flushFrame(); err != nil {
			return err
		}
		if err := c.send(response(item)); err != nil {
			return err
		}
	}
	return c.flushFrame()
}

func (c *client) addToFrame(d coordinator.Deliver) error {
	for len(d.Deliveries) > 0 {
		n, repaired := c.frame.Add(d.Partition, d.Deliveries)
		if repaired > 0 {
			c.service.repairedHeaderKeys.Add(int64(repaired))
			c.log().Debug("header keys that are not UTF-8 were repaired", "partition", d.Partition.String(), "count", repaired)
		}
		d.Deliveries = d.Deliveries[n:]
		if c.frame.IsFull() {
			if err := c.flushFrame(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *client) flushFrame() error {
	if c.frame.IsEmpty() {
		return nil
	}
	bytes := c.frame.Bytes()
	c.inTransport.Store(int64(c.lastFrame + bytes))
	defer func() {
		c.lastFrame = bytes
		c.inTransport.Store(int64(c.lastFrame))
		c.frame.Reset()
	}()
	if c.outbox.isEnded() {
		return nil // what isn't sent goes to others
	}
	return c.stream.SendMsg(&c.frame)
}

// response translates everything but deliveries.
func response(item coordinator.Effect) *messageproxyv1.ConsumeResponse {
	switch e := item.(type) {
	case coordinator.Subscribed:
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Subscribed{
			Subscribed: &messageproxyv1.Subscribed{
				MaxUnackedMessages: uint32(e.MaxUnackedMessages),
				AckTimeout:         durationpb.New(e.AckTimeout),
			},
		}}
	case coordinator.Assignment:
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Assignment{
			Assignment: &messageproxyv1.Assignment{Partitions: topicPartitions(e.Partitions)},
		}}
	case coordinator.Withdrawn:
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Withdrawn{
			Withdrawn: &messageproxyv1.Withdrawn{
				Partitions: topicPartitions(e.Partitions),
				TimeLeft:   durationpb.New(e.TimeLeft),
			},
		}}
	case coordinator.Trouble:
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Error{Error: e.Err}}
	case coordinator.Recovered:
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Recovered{
			Recovered: &messageproxyv1.Recovered{Code: e.Code},
		}}
	case coordinator.NotHeld:
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Notice{Notice: e.Error()}}
	case coordinator.Notice:
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Notice{Notice: e.Err}}
	}
	return &messageproxyv1.ConsumeResponse{}
}

func topicPartitions(names []broker.TopicPartition) []*messageproxyv1.TopicPartition {
	partitions := make([]*messageproxyv1.TopicPartition, len(names))
	for i, p := range names {
		partitions[i] = &messageproxyv1.TopicPartition{Topic: p.Topic, Partition: p.Partition}
	}
	return partitions
}

// end is called by the loop, once. The writer ends the stream; if it is stuck in
// Send, because the client doesn't read, only closing the connection gets rid of
// the stream and of what is queued in front of its status (C6).
func (c *client) end(err *messageproxyv1.Error) {
	if err != nil {
		c.log().Info("stream ended by the server", "code", err.GetCode().String(), "reason", err.GetMessage())
	}
	c.outbox.end(err)
	bytes := c.inTransport.Load()
	if err == nil {
		bytes = 0 // it has gone by itself
	}
	grace := c.service.cfg.EvictionGrace
	if c.service.unread.Add(bytes) > c.service.cfg.MaxBufferedBytes/unreadShare {
		grace /= 10
	}
	time.AfterFunc(grace, func() {
		c.closeIfStuck(err)
		c.service.unread.Add(-bytes)
	})
}

// unreadShare is what part of the memory budget the frames of ended streams may take
// before those that are ended next get less grace. Their messages are in the frames of
// whoever gets them next too, and clients that never read can have themselves thrown
// out every second.
const unreadShare = 4

// closeIfStuck closes the connection of a client that has not read its end. After
// the writer has returned, a status may still be queued behind data that nobody
// reads, without a way to see it: so the connection of a client that timed out is
// closed too, unless other streams use it.
func (c *client) closeIfStuck(err *messageproxyv1.Error) {
	ctx := c.stream.Context()
	select {
	case <-c.written:
		timedOut := err.GetCode() == messageproxyv1.ErrorCode_ERROR_CODE_ACK_TIMEOUT
		if !timedOut || c.service.cfg.LiveStreams(ctx) > 0 {
			return
		}
	default:
		c.log().Warn("client doesn't read: its connection is closed")
	}
	c.service.cfg.CloseConnection(ctx)
}
