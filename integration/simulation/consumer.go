//go:build synctests

package simulation

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// consumer is a client that consumes, until it has ended. The plan's goroutine calls
// its methods, which don't wait.
type consumer interface {
	client
	// behave changes its manner.
	behave(manner Manner, delay time.Duration)
	// healthy reports whether it ACKs everything that it gets before long.
	healthy() bool
	end(how EndOfConsumer)
	subscription() string
}

// consume carries out a Consume.
func (w *world) consume(a Consume) {
	if w.subscriptionNamed(a.Subscription) == nil {
		return
	}
	w.endConsumer(EndConsumer{Client: a.Client, How: Close})
	var c consumer
	if node := w.names.next(a.Client); a.SDK {
		c = w.newSDKConsumer(node, a)
	} else {
		c = w.newBareConsumer(node, a)
	}
	if c != nil {
		w.consumers[a.Client] = c
	}
}

func (w *world) subscriptionNamed(name string) *Subscription {
	for i := range w.plan.Subscriptions {
		if s := &w.plan.Subscriptions[i]; s.Name == name {
			return s
		}
	}
	return nil
}

// behave carries out a Behave.
func (w *world) behave(a Behave) {
	if c := w.consumers[a.Client]; c != nil && !isClosed(c.finished()) {
		c.behave(a.Manner, a.Delay)
	}
}

// endConsumer carries out an EndConsumer.
func (w *world) endConsumer(a EndConsumer) {
	c := w.consumers[a.Client]
	if c == nil {
		return
	}
	delete(w.consumers, a.Client)
	w.formerClients = append(w.formerClients, c)
	if isClosed(c.finished()) {
		return
	}
	switch a.How {
	case Cut:
		w.faults.add("consumer cut", w.network.reset(c.node()))
		c.end(Close)
	case Vanish:
		// Whatever it does now, its end included, nobody hears of it.
		storm, connections := w.network.disturb(c.node(), weather{stalled: true})
		w.faults.add("consumer vanish", connections)
		w.after(0, func() {
			w.network.reset(c.node())
			w.network.lift(storm)
		})
		c.end(Close)
	default:
		w.faults.add(fmt.Sprintf("consumer %s", a.How), 1)
		c.end(a.How)
	}
}

// manners is what a consumer is told about how to treat its messages.
type manners struct {
	changed chan struct{} // something is new

	mu     sync.Mutex
	manner Manner
	delay  time.Duration
}

// defaultDelay is that of the manners that have one.
const defaultDelay = 200 * time.Millisecond

func newManners(manner Manner, delay time.Duration) *manners {
	m := &manners{changed: make(chan struct{}, 1)}
	m.set(manner, delay)
	return m
}

func (m *manners) set(manner Manner, delay time.Duration) {
	if manner == "" {
		manner = Fast
	}
	if delay == 0 {
		delay = defaultDelay
	}
	m.mu.Lock()
	m.manner, m.delay = manner, delay
	m.mu.Unlock()
	m.wake()
}

func (m *manners) get() (Manner, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.manner, m.delay
}

func (m *manners) wake() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// held are the messages that a bare client holds.
type held struct {
	mu       sync.Mutex
	messages []heldMessage
}

type heldMessage struct {
	id        string
	topic     string
	partition int32
}

func (h *held) add(messages ...heldMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages = append(h.messages, messages...)
}

// drop forgets what is withdrawn.
func (h *held) drop(withdrawn func(heldMessage) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.removeLocked(func(_ int, m heldMessage) bool { return withdrawn(m) })
}

func (h *held) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.messages)
}

// take removes what a client of this manner ACKs now, and returns the ids in the
// order in which it does.
func (h *held) take(manner Manner, r *rand.Rand) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch manner {
	case Slow:
		return h.removeLocked(func(i int, _ heldMessage) bool { return i == 0 })
	case Shuffled:
		return h.shuffleLocked(r)
	case AllButOne:
		first := make(map[heldMessage]bool)
		return h.removeLocked(func(_ int, m heldMessage) bool {
			partition := heldMessage{topic: m.topic, partition: m.partition}
			isFirst := !first[partition]
			first[partition] = true
			return !isFirst
		})
	case Stuck, Deaf:
		return nil
	case Giant:
		ids := h.removeLocked(func(int, heldMessage) bool { return true })
		return append(append(ids, ids...), ids...)
	}
	return h.removeLocked(func(int, heldMessage) bool { return true })
}

// shuffleLocked takes a few messages, at random.
func (h *held) shuffleLocked(r *rand.Rand) []string {
	if len(h.messages) == 0 {
		return nil
	}
	chosen := make(map[int]bool)
	for range 1 + r.IntN(len(h.messages)) {
		chosen[r.IntN(len(h.messages))] = true
	}
	ids := h.removeLocked(func(i int, _ heldMessage) bool { return chosen[i] })
	r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

// removeLocked returns the ids of what it removes.
func (h *held) removeLocked(chosen func(i int, m heldMessage) bool) []string {
	var ids []string
	kept := h.messages[:0]
	for i, m := range h.messages {
		if chosen(i, m) {
			ids = append(ids, m.id)
		} else {
			kept = append(kept, m)
		}
	}
	h.messages = kept
	return ids
}
