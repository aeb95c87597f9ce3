package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

func streamConsume(ctx context.Context, spec Spec, m *meter) (counts, error) {
	seen := newOrder(spec.Partitions, spec.ValueBytes)
	err := onConnections(ctx, spec, func(ctx context.Context, client messageproxyv1.MessageProxyClient, _ int) error {
		stream, err := subscribe(ctx, client, spec.Subscription, spec.Topic)
		if err != nil {
			return err
		}
		return newStreamConsumer(stream, seen, m).run(ctx)
	})
	return counts{done: m.total.Load(), repeated: seen.repeated.Load()}, err
}

type consumeStream = grpc.BidiStreamingClient[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]

// subscribe opens a stream, and doesn't wait for an answer.
func subscribe(ctx context.Context, client messageproxyv1.MessageProxyClient, subscription, topic string) (consumeStream, error) {
	stream, err := client.Consume(ctx)
	if err != nil {
		return nil, err
	}
	return stream, stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{
		Subscribe: &messageproxyv1.SubscribeRequest{Subscription: subscription, Topics: []string{topic}},
	}})
}

// streamConsumer ACKs what it receives: all that has gathered while the last request
// with ACKs was being sent. When the measurement is over it ACKs what it has, and
// ends the stream.
type streamConsumer struct {
	stream consumeStream
	seen   *order
	meter  *meter

	wake chan struct{} // has room for one
	mu   sync.Mutex
	// ids are those of the messages to be ACKed next; fresh of them were not seen
	// before.
	ids    []string
	fresh  int
	closed bool // nothing more is ACKed
}

func newStreamConsumer(stream consumeStream, seen *order, m *meter) *streamConsumer {
	return &streamConsumer{stream: stream, seen: seen, meter: m, wake: make(chan struct{}, 1)}
}

func (c *streamConsumer) run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	work.Go(c.receive)
	work.Go(func() error { return c.ack(ctx) })
	return work.Wait()
}

func (c *streamConsumer) receive() error {
	for {
		response, err := c.stream.Recv()
		if errors.Is(err, io.EOF) && c.meter.isDone() {
			return nil
		}
		if err != nil {
			return err
		}
		if problem := problemIn(response); problem != nil {
			return fmt.Errorf("the server says: %v", problem)
		}
		if err := c.received(response.GetBatch()); err != nil {
			return err
		}
	}
}

// problemIn returns what a calm run must not have.
func problemIn(response *messageproxyv1.ConsumeResponse) *messageproxyv1.Error {
	for _, problem := range []*messageproxyv1.Error{response.GetError(), response.GetTerminalError(), response.GetNotice()} {
		if problem != nil {
			return problem
		}
	}
	return nil
}

func (c *streamConsumer) received(batch *messageproxyv1.MessageBatch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	for _, partition := range batch.GetPartitions() {
		number := partition.GetPartition()
		for _, message := range partition.GetMessages() {
			isNew, err := c.seen.see(number, message.GetValue())
			if err != nil {
				return err
			}
			if isNew {
				c.fresh++
			}
			c.ids = append(c.ids, message.GetId())
		}
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

func (c *streamConsumer) ack(ctx context.Context) error {
	var spare []string
	for {
		last := false
		select {
		case <-c.wake:
		case <-c.meter.done:
			last = true
		case <-ctx.Done():
			return ctx.Err()
		}
		ids, fresh := c.take(spare, last)
		if err := c.sendACKs(ids); err != nil {
			return err
		}
		c.meter.add(fresh)
		spare = ids
		if last {
			return c.stream.CloseSend()
		}
	}
}

func (c *streamConsumer) take(spare []string, last bool) (ids []string, fresh int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids, fresh = c.ids, c.fresh
	c.ids, c.fresh, c.closed = spare[:0], 0, last
	return ids, fresh
}

func (c *streamConsumer) sendACKs(ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	err := c.stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
		Ack: &messageproxyv1.AckRequest{MessageIds: ids},
	}})
	if errors.Is(err, io.EOF) {
		return nil // receive says why
	}
	return err
}
