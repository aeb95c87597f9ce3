//go:build synctests

package simulation

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// bareConsumer is a client of the stubs, with one stream at a time.
type bareConsumer struct {
	world  *world
	name   string
	action Consume
	proxy  *proxy
	random *rand.Rand // of the goroutine that ACKs
	*manners

	ctx      context.Context
	cancel   context.CancelFunc
	leaving  atomic.Bool // it asks for no more, and ends when it holds nothing
	halfDone atomic.Bool // it half-closes at once
	joined   atomic.Bool // it has a stream that the server has accepted
	done     chan struct{}
}

type consumeStream = grpc.BidiStreamingClient[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]

func (w *world) newBareConsumer(name string, a Consume) consumer {
	proxy := w.someProxy(a.Proxy)
	if proxy == nil {
		return nil
	}
	c := &bareConsumer{
		world: w, name: name, action: a, proxy: proxy, random: random(w.plan.Seed, name),
		manners: newManners(a.Manner, a.Delay), done: make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run()
	return c
}

func (c *bareConsumer) node() string              { return c.name }
func (c *bareConsumer) subscription() string      { return c.action.Subscription }
func (c *bareConsumer) finished() <-chan struct{} { return c.done }

func (c *bareConsumer) behave(manner Manner, delay time.Duration) { c.set(manner, delay) }

func (c *bareConsumer) healthy() bool {
	manner, _ := c.get()
	return manner == Fast && c.joined.Load() && !isClosed(c.done)
}

func (c *bareConsumer) end(how EndOfConsumer) {
	switch how {
	case HalfCloseConsumer:
		c.halfDone.Store(true)
		c.wake()
		if !c.joined.Load() {
			c.cancel()
		}
	case Leave, Stop:
		c.set(Fast, 0)
		c.leaving.Store(true)
		c.wake()
		if !c.joined.Load() {
			c.cancel()
		}
	default:
		c.cancel()
	}
}

// reconnectPause is how long a client that connects again waits before it does.
const reconnectPause = time.Second

// run has one stream after another, or one.
func (c *bareConsumer) run() {
	defer close(c.done)
	defer c.cancel()
	client, conn, err := c.world.connect(c.name, c.name, c.proxy)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	for {
		c.consume(client)
		if !c.action.Again || c.leaving.Load() || c.halfDone.Load() {
			return
		}
		if !sleep(c.ctx, reconnectPause) {
			return
		}
	}
}

// sleep reports whether ctx went on for d.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// consume subscribes, ACKs, and returns when the stream has ended.
func (c *bareConsumer) consume(client messageproxyv1.MessageProxyClient) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	stream, err := client.Consume(ctx)
	if err != nil {
		return
	}
	s := &bareStream{consumer: c, stream: stream, ended: make(chan struct{})}
	if stream.Send(c.subscribe()) == nil {
		go s.receive(ctx)
		s.ack(ctx)
		<-s.ended
		return
	}
	_, _ = stream.Recv() // to know why
}

func (c *bareConsumer) subscribe() *messageproxyv1.ConsumeRequest {
	s := c.world.subscriptionNamed(c.action.Subscription)
	request := &messageproxyv1.SubscribeRequest{
		Subscription: s.Name, Topics: s.Topics, ClientName: c.name,
		StartPosition: messageproxyv1.StartPosition_START_POSITION_EARLIEST,
	}
	if s.Latest {
		request.StartPosition = messageproxyv1.StartPosition_START_POSITION_LATEST
	}
	if c.action.Window > 0 {
		n := uint32(c.action.Window)
		request.MaxUnackedMessages = &n
	}
	if c.action.AckTimeout > 0 {
		request.AckTimeout = durationpb.New(c.action.AckTimeout)
	}
	return &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{Subscribe: request}}
}

// bareStream is one stream of a bare client.
type bareStream struct {
	consumer *bareConsumer
	stream   consumeStream
	held     held
	ended    chan struct{}
	done     []string // ids that were ACKed; of the goroutine that ACKs
}

func (s *bareStream) receive(ctx context.Context) {
	defer close(s.ended)
	defer s.consumer.wake()
	defer s.consumer.joined.Store(false)
	for {
		if !s.awaitHearing(ctx) {
			return
		}
		response, err := s.stream.Recv()
		if err != nil {
			return
		}
		s.consumer.joined.Store(true)
		s.take(response)
		s.consumer.wake()
	}
}

// awaitHearing waits while the client is deaf. One that half-closes reads to the end.
func (s *bareStream) awaitHearing(ctx context.Context) bool {
	for {
		if manner, _ := s.consumer.get(); manner != Deaf || s.consumer.halfDone.Load() {
			return true
		}
		s.consumer.world.faults.add("bare client "+string(Deaf), 1)
		if !sleep(ctx, time.Second) {
			return false
		}
	}
}

func (s *bareStream) take(response *messageproxyv1.ConsumeResponse) {
	for _, p := range response.GetBatch().GetPartitions() {
		for _, m := range p.GetMessages() {
			s.held.add(heldMessage{m.GetId(), p.GetTopic(), p.GetPartition()})
			s.consumer.world.seen.add(m.GetId())
		}
	}
	manner, _ := s.consumer.get()
	if withdrawn := response.GetWithdrawn(); withdrawn != nil && withdrawn.GetTimeLeft().AsDuration() == 0 && manner != Foreign {
		s.held.drop(func(m heldMessage) bool {
			for _, p := range withdrawn.GetPartitions() {
				if p.GetTopic() == m.topic && p.GetPartition() == m.partition {
					return true
				}
			}
			return false
		})
	}
}

// ack ACKs in the client's manner until the stream has ended, or is to be ended.
func (s *bareStream) ack(ctx context.Context) {
	left := false
	for {
		c := s.consumer
		if c.leaving.Load() && !left {
			left = true
			_ = s.stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Leave{Leave: &messageproxyv1.LeaveRequest{}}})
		}
		manner, delay := c.get()
		if !s.ackSome(manner) {
			return
		}
		if c.halfDone.Load() || left && s.held.count() == 0 {
			_ = s.stream.CloseSend()
			return
		}
		if manner == Slow || manner == Shuffled || manner == Giant {
			if s.held.count() > 0 || manner == Giant {
				sleep(ctx, delay)
			}
			if s.held.count() > 0 {
				continue
			}
		}
		select {
		case <-c.changed:
		case <-s.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// ackSome reports whether the stream can still be written to.
func (s *bareStream) ackSome(manner Manner) bool {
	ids := s.held.take(manner, s.consumer.random)
	if len(ids) > 0 || manner == Stuck && s.held.count() > 0 {
		s.consumer.world.faults.add("bare client "+string(manner), 1)
	}
	if manner == Foreign {
		ids = s.mix(ids)
	}
	if len(ids) == 0 {
		return !isClosed(s.ended)
	}
	s.done = append(s.done, ids...)
	return s.stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{Ack: &messageproxyv1.AckRequest{MessageIds: ids}}}) == nil
}

// mix adds ids that the client doesn't hold, or not any more.
func (s *bareStream) mix(ids []string) []string {
	if len(ids) == 0 {
		return nil
	}
	r := s.consumer.random
	ids = append(ids, s.consumer.world.seen.pick(r, 3)...)
	if len(s.done) > 0 {
		ids = append(ids, s.done[r.IntN(len(s.done))])
	}
	ids = append(ids, "no such message")
	r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}
