package consume

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
)

// subscription runs one subscription. Its loop owns everything but mailbox,
// resolver and streams.
type subscription struct {
	service *Service
	name    string
	log     *slog.Logger
	mailbox *mailbox
	// resolver is the consumer that is open, for readers to resolve ids with.
	resolver atomic.Pointer[broker.Consumer]
	streams  int // attached; guarded by Service.mu

	state    *coordinator.State
	clients  map[coordinator.ClientID]*client
	account  account
	consumer broker.Consumer    // nil unless open
	cancel   context.CancelFunc // ends the session; nil if there is none
	// sessionOver is closed when the last session has ended; nil if there was none.
	sessionOver chan struct{}
	// events are those of this turn; those from next on are still to be fed.
	events []coordinator.Event
	next   int
	// drains are the events of a drain, so far: a state that begins anew needs them.
	drains []coordinator.Event

	lastTick     time.Time
	lastPressure time.Time
	pressure     coordinator.MemoryPressure // as told
	posted       int64                      // booked by the session, for what was polled since the last account.set
	spare        []coordinator.Event
}

// pressureInterval is how often a subscription looks for what to pause while the
// memory budget is exceeded.
const pressureInterval = 100 * time.Millisecond

// The events of the coordinator, with what only the loop needs to know.
type (
	joined struct {
		coordinator.Join
		client *client
	}
	acked struct {
		coordinator.Ack
		client *client
	}
	opened struct {
		coordinator.Opened
		consumer broker.Consumer
	}
	polled struct {
		coordinator.Polled
		bytes int64 // that the session has booked
	}
)

func newSubscription(s *Service, name string) *subscription {
	sub := &subscription{
		service:  s,
		name:     name,
		log:      s.cfg.Logger.With("subscription", name),
		mailbox:  newMailbox(),
		clients:  make(map[coordinator.ClientID]*client),
		account:  account{budget: &s.budget},
		lastTick: time.Now(),
	}
	sub.state = sub.newState()
	return sub
}

func (sub *subscription) newState() *coordinator.State {
	cfg := sub.service.cfg
	return coordinator.New(coordinator.Config{
		Subscription:       sub.name,
		MaxUnackedMessages: cfg.MaxUnackedMessages,
		MaxUnackedBytes:    cfg.MaxUnackedBytes,
		AckTimeout:         cfg.AckTimeout,
		MaxAckTimeout:      cfg.MaxAckTimeout,
	})
}

func (sub *subscription) post(e coordinator.Event) { sub.mailbox.post(e) }

// run is the loop. It returns when nobody uses the subscription any more.
func (sub *subscription) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-sub.mailbox.signal:
		case <-timer.C:
		}
		if sub.turnGuarded() {
			sub.beginAnew()
		}
		if sub.state.Idle() && sub.service.forget(sub) {
			return
		}
		if wake := sub.state.Wake(); wake >= 0 {
			timer.Reset(wake)
		} else {
			timer.Stop()
		}
	}
}

// turn feeds the state what has happened and carries out what follows.
func (sub *subscription) turn() {
	now := time.Now()
	sub.state.Step(coordinator.Tick{Elapsed: now.Sub(sub.lastTick)})
	sub.lastTick = now
	sub.events = sub.mailbox.take(sub.spare)
	for sub.next = 0; sub.next < len(sub.events); sub.next++ {
		sub.step(sub.events[sub.next])
	}
	clear(sub.events) // the next turn may be long in coming, and they refer to messages
	sub.spare, sub.events, sub.next = sub.events, nil, 0
	sub.account.set(sub.state.Bytes()+messageOverhead*int64(sub.state.Messages()), sub.state.Partitions(), sub.posted)
	sub.posted = 0
	sub.press(now)
	for _, effect := range sub.state.Settle() {
		sub.carryOut(effect)
	}
}

// press tells the state of the memory budget when that changes, and again while it
// is exceeded.
func (sub *subscription) press(now time.Time) {
	pressure := sub.service.budget.pressure()
	if pressure.Over == sub.pressure.Over && pressure.Full == sub.pressure.Full &&
		(!pressure.Over || now.Sub(sub.lastPressure) < pressureInterval) {
		return
	}
	sub.pressure, sub.lastPressure = pressure, now
	sub.state.Step(pressure)
}

func (sub *subscription) step(event coordinator.Event) {
	switch e := event.(type) {
	case joined:
		sub.clients[e.Client] = e.client
		sub.state.Step(e.Join)
	case acked:
		sub.state.Step(e.Ack)
		e.client.returnCredit()
	case opened:
		if sub.cancel != nil { // it isn't given up meanwhile
			sub.consumer = e.consumer
			sub.resolver.Store(&e.consumer)
			sub.log.Info("subscription opened at the broker")
		}
		sub.state.Step(e.Opened)
	case polled:
		sub.posted += e.bytes
		sub.state.Step(e.Polled)
	case coordinator.Drain, coordinator.DrainTimeout:
		sub.state.Step(e)
		sub.drains = append(sub.drains, e)
	default:
		sub.state.Step(event)
	}
}

func (sub *subscription) carryOut(effect coordinator.Effect) {
	switch e := effect.(type) {
	case coordinator.ToClient:
		sub.clients[e.Recipient()].outbox.put(effect)
	case coordinator.End:
		sub.clients[e.Client].end(e.Err)
		delete(sub.clients, e.Client)
	case coordinator.OpenConsumer:
		sub.openConsumer(e.Spec)
	case coordinator.CloseConsumer:
		sub.closeConsumer()
	default:
		sub.askConsumer(effect)
	}
}

func (sub *subscription) askConsumer(effect coordinator.Effect) {
	if sub.consumer == nil {
		return
	}
	switch e := effect.(type) {
	case coordinator.AckMessages:
		sub.consumer.Ack(e.IDs...)
	case coordinator.ReleasePartition:
		sub.consumer.Release(e.Partition)
	case coordinator.PausePartition:
		sub.consumer.PausePartitions(e.Partition)
	case coordinator.ResumePartition:
		sub.consumer.ResumePartitions(e.Partition)
	}
}

func (sub *subscription) openConsumer(spec coordinator.Spec) {
	ctx, cancel := context.WithCancel(context.Background())
	sub.cancel = cancel
	over := make(chan struct{})
	sub.sessionOver = over
	go func() {
		defer close(over)
		sub.session(ctx, spec)
	}()
}

func (sub *subscription) closeConsumer() {
	sub.cancel()
	sub.cancel, sub.consumer = nil, nil
	sub.resolver.Store(nil)
}
