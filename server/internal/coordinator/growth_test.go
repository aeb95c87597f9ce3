package coordinator

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
)

// footprint counts what a State keeps: every element of its slices, with their
// spare room, and of its maps, and everything they point to.
func footprint(s *State) int {
	f := footprinter{seen: make(map[uintptr]bool)}
	f.visit(reflect.ValueOf(s))
	return f.elements
}

type footprinter struct {
	elements int
	seen     map[uintptr]bool
}

func (f *footprinter) visit(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && !f.seen[v.Pointer()] {
			f.seen[v.Pointer()] = true
			f.elements++
			f.visit(v.Elem())
		}
	case reflect.Interface:
		if !v.IsNil() {
			f.visit(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.visit(v.Field(i))
		}
	case reflect.Slice:
		f.elements += v.Cap()
		for i := range v.Len() {
			f.visit(v.Index(i))
		}
	case reflect.Map:
		f.elements += v.Len()
		for iter := v.MapRange(); iter.Next(); {
			f.visit(iter.Value())
		}
	}
}

// world is a State whose consumer is open, with shorthands.
type world struct {
	t     *testing.T
	state *State
}

func newWorld(t *testing.T, cfg Config) *world {
	w := &world{t, New(cfg)}
	w.join(1)
	w.settle()
	w.state.Step(Opened{})
	w.settle()
	return w
}

func smallConfig() Config {
	return Config{
		Subscription: "s", MaxUnackedMessages: 1000, MaxUnackedBytes: 1 << 20,
		AckTimeout: time.Minute, MaxAckTimeout: time.Hour,
	}
}

func (w *world) join(id ClientID) {
	w.state.Step(Join{Client: id, Spec: Spec{Topics: []string{"t"}}, AckTimeout: 11 * time.Minute})
}

func (w *world) poll(events ...broker.Event) { w.state.Step(Polled{events}) }

func (w *world) settle() []Effect { return w.state.Settle() }

func (w *world) ack(id ClientID, name broker.TopicPartition, positions ...uint64) {
	ack := Ack{Client: id}
	for _, position := range positions {
		ack.IDs = append(ack.IDs, broker.MessageID{Partition: name, Position: position})
		ack.Texts = append(ack.Texts, "")
	}
	w.state.Step(ack)
}

func messageEvent(name broker.TopicPartition, positions ...uint64) broker.Event {
	return broker.EventMessages{Partition: name, Messages: messagesAt(positions, 1)}
}

// A client that ACKs everything but one message, for as long as it may: what it was
// handed since must not pile up.
func TestAllButOneACKedForTenMinutes(t *testing.T) {
	w := newWorld(t, smallConfig())
	names := benchNames(3)
	w.poll(broker.EventAssigned{Partitions: names}, messageEvent(names[0], 1))
	w.settle()
	most := 0
	for i := range uint64(10 * 60 * 10) {
		w.state.Step(Tick{100 * time.Millisecond})
		w.poll(messageEvent(names[1], i), messageEvent(names[2], i))
		w.settle()
		w.ack(1, names[1], i)
		w.ack(1, names[2], i)
		w.settle()
		if i%100 == 99 {
			most = max(most, footprint(w.state))
		}
	}
	require.Less(t, most, 200)
	w.state.Step(Tick{time.Second})
	require.Equal(t, 1, w.state.clients[1].unacked)
}

// The same where the message that isn't ACKed is one of a partition that goes on:
// what piles up is bounded by the broker's window of the partition.
func TestAllButOneACKedOfOnePartition(t *testing.T) {
	const window = 200
	w := newWorld(t, smallConfig())
	names := benchNames(2)
	w.poll(broker.EventAssigned{Partitions: names}, messageEvent(names[0], 0), messageEvent(names[1], 0))
	w.settle()
	for i := uint64(1); i < 10*window; i++ {
		if i < window {
			w.poll(messageEvent(names[0], i))
			w.settle()
			w.ack(1, names[0], i)
		}
		w.poll(messageEvent(names[1], i))
		w.settle()
		w.ack(1, names[1], i)
		w.settle()
	}
	require.LessOrEqual(t, len(w.state.clients[1].spans), 2*window+10)
	require.LessOrEqual(t, cap(w.state.clients[1].spans), 4*window+20)
}

// Members that come and go, and partitions that do, leave nothing behind.
func TestNothingIsLeftOfMoves(t *testing.T) {
	cfg := smallConfig()
	cfg.MaxUnackedMessages = 1
	w := newWorld(t, cfg)
	names := benchNames(8)
	w.poll(broker.EventAssigned{Partitions: names})
	for _, name := range names {
		w.poll(messageEvent(name, 1, 2, 3))
	}
	w.settle()
	cycle := func(n int) {
		id := ClientID(2 + 2*n)
		w.join(id) // takes partitions from the first, whose window is full, and gives them back
		w.join(id + 1)
		w.settle()
		w.state.Step(Leave{id + 1})
		w.settle()
		w.state.Step(Gone{id})
		w.state.Step(Gone{id + 1})
		w.poll(broker.EventLost{Partitions: names[4:]})
		w.settle()
		w.poll(broker.EventAssigned{Partitions: names[4:]})
		for _, name := range names[4:] {
			w.poll(messageEvent(name, 1, 2, 3))
		}
		w.settle()
	}
	requireNoGrowth(t, w, cycle)
}

// Partitions go and come back, at the same messages or farther on; what is known of
// their deliveries stays within what was outstanding.
func TestAttemptsDoNotPileUp(t *testing.T) {
	w := newWorld(t, smallConfig())
	name := benchNames(1)[0]
	cycle := func(n int) {
		from := uint64(50 * (n / 2))
		w.poll(broker.EventAssigned{Partitions: []broker.TopicPartition{name}})
		w.poll(messageEvent(name, positions(from, from+100)...))
		w.settle()
		w.ack(1, name, positions(from, from+10)...)
		w.ack(1, name, positions(from+20, from+30)...)
		w.poll(broker.EventLost{Partitions: []broker.TopicPartition{name}})
		w.settle()
	}
	requireNoGrowth(t, w, cycle)
	require.LessOrEqual(t, len(w.state.attempts[name].times), 100)
}

// Whole lives of the subscription, from the first client to the last.
func TestNothingIsLeftOfEarlierClients(t *testing.T) {
	w := newWorld(t, smallConfig())
	name := benchNames(1)[0]
	cycle := func(n int) {
		w.poll(broker.EventAssigned{Partitions: []broker.TopicPartition{name}}, messageEvent(name, positions(0, 100)...))
		w.settle()
		w.state.Step(Gone{ClientID(n + 1)})
		w.settle()
		w.state.Step(Closed{})
		w.settle()
		require.True(t, w.state.Idle())
		require.Zero(t, w.state.Bytes())
		w.join(ClientID(n + 2))
		w.settle()
		w.state.Step(Opened{})
		w.settle()
	}
	requireNoGrowth(t, w, cycle)
}

// requireNoGrowth compares the footprint after many cycles with that after a few.
func requireNoGrowth(t *testing.T, w *world, cycle func(n int)) {
	few := 0
	for n := range 500 {
		cycle(n)
		if n < 20 {
			few = max(few, footprint(w.state))
		}
	}
	require.LessOrEqual(t, footprint(w.state), few)
	checkInvariants(t, w.state)
}
