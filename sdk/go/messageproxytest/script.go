package messageproxytest

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

var (
	// ErrLoseResult, returned by the script of OnProduce, has the message stored and
	// never answered.
	ErrLoseResult = errors.New("the message is stored and its result lost")
	// ErrLoseMessage, returned by the script of OnProduce, has the message neither
	// stored nor answered.
	ErrLoseMessage = errors.New("the message is lost")
)

// OnProduce has script decide about each message that is produced from now on:
// nil stores it, an error fails it and doesn't (give a *messageproxy.Error to
// choose its code), ErrLoseResult and ErrLoseMessage say what they say. script
// must not call the server. Nil: everything is stored.
func (s *Server) OnProduce(script func(m *messageproxy.Message) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// HoldProduce lets what is produced from now on wait, neither stored nor
// answered, until ReleaseProduce.
func (s *Server) HoldProduce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holding = true
}

// ReleaseProduce ends HoldProduce and lets go on what has waited.
func (s *Server) ReleaseProduce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holding = false
	for p := range s.produces {
		s.answerLocked(p)
		signal(p.wake)
	}
}

// CutConnections breaks all connections, as a network would. Clients may connect
// again at once.
func (s *Server) CutConnections() {
	s.mu.Lock()
	var all []interface{ Close() error }
	for conn := range s.connections {
		all = append(all, conn)
	}
	s.mu.Unlock()
	for _, conn := range all {
		_ = conn.Close()
	}
}

// EndProduce ends all Produce streams with e. What waits because of HoldProduce
// is never stored.
func (s *Server) EndProduce(e *messageproxy.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.produces {
		p.end = e
		signal(p.wake)
	}
}

// EndConsume ends all Consume streams of a subscription with e. What they hold is
// delivered again.
func (s *Server) EndConsume(subscription string, e *messageproxy.Error) {
	s.eachMember(subscription, func(m *member) { m.end = e })
}

// RefuseStreams ends every stream that is opened from now on with e. Nil ends
// that.
func (s *Server) RefuseStreams(e *messageproxy.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = e
}

// Withdraw says to the member that has a partition that another server takes it
// over in timeLeft. When that is over, the partition comes back, and what was not
// ACKed is delivered again.
func (s *Server) Withdraw(subscription, topic string, number int32, timeLeft time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions[subscription]
	if sub == nil {
		return
	}
	for _, p := range sub.partitions {
		if p.topic != topic || p.number != number || p.away {
			continue
		}
		p.away = true
		for _, m := range sub.members {
			if m == p.owner || m == p.holder {
				m.respond(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Withdrawn{Withdrawn: &messageproxyv1.Withdrawn{
					Partitions: []*messageproxyv1.TopicPartition{p.name()},
					TimeLeft:   durationpb.New(timeLeft),
				}}})
			}
		}
		if timeLeft > 0 {
			time.AfterFunc(timeLeft, func() { s.comeBack(sub, p) })
		} else {
			s.comeBackLocked(sub, p)
		}
	}
}

func (s *Server) comeBack(sub *subscription, p *partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.comeBackLocked(sub, p)
}

func (s *Server) comeBackLocked(sub *subscription, p *partition) {
	p.away = false
	p.takeBack()
	sub.deliver(s)
}

// Trouble tells the members of a subscription that something is wrong and being
// retried.
func (s *Server) Trouble(subscription string, e *messageproxy.Error) {
	s.respondAll(subscription, &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Error{Error: errorToWire(e)}})
}

// Recover tells the members of a subscription that a trouble is over.
func (s *Server) Recover(subscription string, code messageproxy.Code) {
	recovered := &messageproxyv1.Recovered{Code: messageproxyv1.ErrorCode(code)}
	s.respondAll(subscription, &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Recovered{Recovered: recovered}})
}

// Notify sends the members of a subscription a notice.
func (s *Server) Notify(subscription string, e *messageproxy.Error) {
	s.respondAll(subscription, &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Notice{Notice: errorToWire(e)}})
}

func (s *Server) respondAll(subscription string, response *messageproxyv1.ConsumeResponse) {
	s.eachMember(subscription, func(m *member) { m.respond(response) })
}

func (s *Server) eachMember(subscription string, do func(*member)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.subscriptions[subscription]; sub != nil {
		for _, m := range sub.members {
			do(m)
			signal(m.wake)
		}
	}
}

// Acked returns the messages that members of a subscription have ACKed, in the
// order in which the ACKs came. Don't change the messages.
func (s *Server) Acked(subscription string) []*messageproxy.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.subscriptions[subscription]; sub != nil {
		return slices.Clone(sub.acked)
	}
	return nil
}

// WaitAcked waits until members of a subscription have ACKed at least n messages,
// and returns them as Acked does. It returns ctx's error if ctx ends first.
func (s *Server) WaitAcked(ctx context.Context, subscription string, n int) ([]*messageproxy.Message, error) {
	err := s.await(ctx, func() bool {
		sub := s.subscriptions[subscription]
		return sub != nil && len(sub.acked) >= n
	})
	return s.Acked(subscription), err
}

// Held returns the messages that members of a subscription hold and haven't
// ACKed, those of each partition in order. Don't change the messages.
func (s *Server) Held(subscription string) []*messageproxy.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions[subscription]
	if sub == nil {
		return nil
	}
	var held []*messageproxy.Message
	for _, p := range sub.partitions {
		for _, d := range p.messages {
			if d != nil && d.held {
				held = append(held, d.message)
			}
		}
	}
	return held
}

// WaitMembers waits until a subscription has exactly n members that aren't
// leaving. It returns ctx's error if ctx ends first.
func (s *Server) WaitMembers(ctx context.Context, subscription string, n int) error {
	return s.await(ctx, func() bool {
		sub := s.subscriptions[subscription]
		if sub == nil {
			return n == 0
		}
		members := 0
		for _, m := range sub.members {
			if !m.leaving {
				members++
			}
		}
		return members == n
	})
}
