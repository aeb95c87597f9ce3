package messageproxy

import (
	"context"
	"runtime"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

type consumeClient = grpc.BidiStreamingClient[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]

// session is one stream of a consumer: what was delivered on it and which ACKs
// are to be sent on it, and on no other. One goroutine receives and one sends;
// neither waits for the other. The consumer's mu guards its state.
type session struct {
	ctx      context.Context // ends with the stream
	consumer *consumer
	stream   consumeClient
	started  time.Time
	wake     chan struct{} // capacity 1: the sender has something to do

	// partitions are those to which new messages belong; live are these and those
	// withdrawn that have time left.
	partitions map[TopicPartition]*partition
	live       map[*partition]struct{}
	ackTimeout time.Duration
	acks       []string
	// asleep: the sender waits to be woken.
	asleep bool
	// leaving: send leave. finished: when the ACKs are sent, half-close.
	leaving, finished bool
	// progressed: a message has come.
	progressed bool
}

// partition is what a session knows of a partition that messages came from.
type partition struct {
	session *session
	// ctx is that of its handlers.
	ctx    context.Context
	cancel context.CancelCauseFunc
	// withdrawn: no handler begins any more; ACKs still count.
	withdrawn bool
	// gone: ACKs don't count any more either; ctx is cancelled.
	gone bool
	// timer ends the time left of a withdrawn partition; or nil.
	timer *time.Timer
}

func newSession(ctx context.Context, c *consumer, stream consumeClient) *session {
	return &session{
		ctx:        ctx,
		consumer:   c,
		stream:     stream,
		started:    time.Now(),
		wake:       make(chan struct{}, 1),
		partitions: map[TopicPartition]*partition{},
		live:       map[*partition]struct{}{},
	}
}

// endPartitionLocked lets nothing of p count any more.
func (s *session) endPartitionLocked(p *partition, cause error) {
	delete(s.live, p)
	p.withdrawn, p.gone = true, true
	p.cancel(cause)
	if p.timer != nil {
		p.timer.Stop()
	}
}

// send subscribes and then sends ACKs as they gather, until the stream ends or
// the session is finished.
func (s *session) send() {
	if s.stream.Send(s.consumer.subscribeRequest()) != nil {
		return // the receiver learns why
	}
	var acks []string
	frame := newAckFrame()
	left := false
	for {
		s.consumer.mu.Lock()
		acks, s.acks = s.acks, acks[:0]
		leave, finish := s.leaving && !left, s.finished
		s.asleep = len(acks) == 0 && !leave && !finish
		s.consumer.mu.Unlock()
		switch {
		case leave:
			left = true
			leaveRequest := &messageproxyv1.ConsumeRequest_Leave{Leave: &messageproxyv1.LeaveRequest{}}
			if s.stream.Send(&messageproxyv1.ConsumeRequest{Request: leaveRequest}) != nil || s.sendAcks(frame, acks) != nil {
				return
			}
		case len(acks) > 0:
			if s.sendAcks(frame, acks) != nil {
				return
			}
		case finish:
			_ = s.stream.CloseSend() // the receiver learns of trouble
			return
		default:
			select {
			case <-s.wake:
				// Handlers that are about to return may go first, and share the frame.
				runtime.Gosched()
			case <-s.ctx.Done():
				return
			}
		}
		clear(acks)
	}
}

// sendAcks sends ACKs in as many frames as they need.
func (s *session) sendAcks(frame *ackFrame, ids []string) error {
	for len(ids) > 0 {
		ids = frame.fill(ids)
		if err := s.stream.SendMsg(frame); err != nil {
			return err
		}
	}
	return nil
}

// receive takes what the server sends until the stream ends, and returns why it
// did: nil if the server ended it after a half-close.
func (s *session) receive() *Error {
	var terminal *Error
	response := newDeliveries()
	for {
		if err := s.stream.RecvMsg(response); err != nil {
			if terminal == nil {
				terminal = streamError(err)
			}
			return terminal
		}
		s.deliver(response.deliveries)
		switch r := response.other.GetResponse().(type) {
		case *messageproxyv1.ConsumeResponse_TerminalError:
			terminal = errorFromWire(r.TerminalError)
		case *messageproxyv1.ConsumeResponse_Subscribed:
			s.subscribed(r.Subscribed)
		case *messageproxyv1.ConsumeResponse_Withdrawn:
			s.withdraw(r.Withdrawn)
		default:
			s.tell(response.other)
		}
		response.Reset() // it may be long until the next comes
	}
}

// tell passes on what the session itself need not act on. What this version
// doesn't know is ignored.
func (s *session) tell(response *messageproxyv1.ConsumeResponse) {
	switch r := response.GetResponse().(type) {
	case *messageproxyv1.ConsumeResponse_Assignment:
		s.consumer.event(Event{Kind: EventAssigned, Partitions: partitionsFromWire(r.Assignment.GetPartitions())})
	case *messageproxyv1.ConsumeResponse_Error:
		s.consumer.event(Event{Kind: EventTrouble, Err: errorFromWire(r.Error)})
	case *messageproxyv1.ConsumeResponse_Recovered:
		s.consumer.event(Event{Kind: EventRecovered, Err: &Error{Code: Code(r.Recovered.GetCode()), Retryable: true}})
	case *messageproxyv1.ConsumeResponse_Notice:
		s.consumer.event(Event{Kind: EventNotice, Err: errorFromWire(r.Notice)})
	}
}

func (s *session) subscribed(in *messageproxyv1.Subscribed) {
	s.consumer.mu.Lock()
	s.ackTimeout = in.GetAckTimeout().AsDuration()
	s.consumer.mu.Unlock()
	s.consumer.event(Event{
		Kind:       EventConnected,
		MaxUnacked: int(in.GetMaxUnackedMessages()),
		AckTimeout: in.GetAckTimeout().AsDuration(),
	})
}

// deliver queues messages for their handlers. How many there are at once is
// bounded by the server's limit of unacknowledged messages.
func (s *session) deliver(deliveries []delivery) {
	if len(deliveries) == 0 {
		return
	}
	c := s.consumer
	c.mu.Lock()
	defer c.mu.Unlock()
	s.progressed = true
	if c.open.Err() != nil {
		return // they go to others when the stream ends
	}
	var from *partition
	var target *lane
	for i, d := range deliveries {
		if i == 0 || d.partition != deliveries[i-1].partition {
			from, target = s.partitionLocked(d.partition), nil
		}
		for i := range d.messages {
			m := &d.messages[i]
			if target == nil || len(c.lanes.byKey) > 0 { // else all have the partition's
				target = c.lanes.of(m)
			}
			if c.lanes.push(target, task{partition: from, message: m, id: m.ID}) {
				go c.runHandlers()
			}
		}
	}
}

// partitionLocked returns the partition, which is a new one if it was withdrawn
// before.
func (s *session) partitionLocked(name TopicPartition) *partition {
	if p := s.partitions[name]; p != nil && !p.withdrawn {
		return p
	}
	p := &partition{session: s}
	p.ctx, p.cancel = context.WithCancelCause(s.consumer.handlerCtx)
	s.partitions[name] = p
	s.live[p] = struct{}{}
	return p
}

// withdraw drops what hasn't begun of the partitions, and cancels what has when
// the time left is over.
func (s *session) withdraw(in *messageproxyv1.Withdrawn) {
	left := in.GetTimeLeft().AsDuration()
	names := partitionsFromWire(in.GetPartitions())
	c := s.consumer
	c.mu.Lock()
	for _, name := range names {
		p := s.partitions[name]
		if p == nil || p.gone {
			continue
		}
		p.withdrawn = true
		if left <= 0 {
			s.endPartitionLocked(p, errWithdrawn)
		} else if p.timer == nil {
			p.timer = time.AfterFunc(left, func() { s.endPartition(p, errWithdrawn) })
		}
	}
	c.lanes.purge(func(t task) bool { return t.partition.withdrawn })
	c.mu.Unlock()
	c.event(Event{Kind: EventWithdrawn, Partitions: names, TimeLeft: left})
}

func (s *session) endPartition(p *partition, cause error) {
	s.consumer.mu.Lock()
	defer s.consumer.mu.Unlock()
	s.endPartitionLocked(p, cause)
}

// ackLocked has the ACK of a message sent, if it still counts.
func (s *session) ackLocked(p *partition, id string) {
	if p.gone {
		return
	}
	s.acks = append(s.acks, id)
	if s.asleep {
		s.asleep = false
		signal(s.wake)
	}
}

func (c *consumer) subscribeRequest() *messageproxyv1.ConsumeRequest {
	request := &messageproxyv1.SubscribeRequest{
		Subscription:  c.subscription.name,
		Topics:        c.subscription.topics,
		StartPosition: messageproxyv1.StartPosition_START_POSITION_EARLIEST,
		ClientName:    c.client.config.name,
	}
	if c.config.start == StartLatest {
		request.StartPosition = messageproxyv1.StartPosition_START_POSITION_LATEST
	}
	if c.config.maxUnacked > 0 {
		request.MaxUnackedMessages = new(uint32(c.config.maxUnacked))
	}
	if c.config.ackTimeout > 0 {
		request.AckTimeout = durationpb.New(c.config.ackTimeout)
	}
	return &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{Subscribe: request}}
}

func partitionsFromWire(in []*messageproxyv1.TopicPartition) []TopicPartition {
	out := make([]TopicPartition, len(in))
	for i, p := range in {
		out[i] = TopicPartition{p.GetTopic(), p.GetPartition()}
	}
	return out
}
