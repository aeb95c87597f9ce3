package coordinator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// TestStateAgainstModel feeds a State and the naive model the same random events and
// compares what follows.
func TestStateAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDriver(rapidChooser{t})
		turns := 30 + d.draw("turns", 120)
		drain := 2 * d.draw("drain", turns) // or never
		for i := range turns {
			if i == drain {
				d.step(Drain{})
			}
			d.turn()
		}
	})
}

// FuzzStateAgainstModel does the same with what a fuzzer chooses.
func FuzzStateAgainstModel(f *testing.F) {
	f.Add([]byte("a subscription, clients that join, and so on"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		if len(choices) > 2000 {
			return // more of the same
		}
		chooser := &byteChooser{T: t, choices: choices}
		d := newDriver(chooser)
		drain := d.draw("drain", 255) // or never
		for i := 0; len(chooser.choices) > 0; i++ {
			if i == drain {
				d.step(Drain{})
			}
			d.turn()
		}
	})
}

func newDriver(c chooser) *driver {
	cfg := drawConfig(c)
	d := &driver{t: c, state: New(cfg), model: newModel(cfg), broker: newFakeBroker(c)}
	d.broker.large = cfg.MaxUnackedMessages > 100
	return d
}

func drawConfig(t chooser) Config {
	cfg := Config{
		Subscription:       "s",
		MaxUnackedMessages: 1 + t.choose("window", 7),
		MaxUnackedBytes:    []int64{1, 5, 10, 20, 60}[t.choose("byte window", 4)],
		AckTimeout:         time.Duration(1+t.choose("timeout", 5)) * 500 * time.Millisecond,
		MaxAckTimeout:      4 * time.Second,
	}
	if t.choose("large", 5) == 5 {
		cfg.MaxUnackedMessages, cfg.MaxUnackedBytes = 300, 2000
	}
	return cfg
}

// driver draws the events.
type driver struct {
	t      chooser
	state  *State
	model  *model
	broker *fakeBroker

	lastClient ClientID
	seen       []broker.MessageID // handed to anybody, ever
}

// turn is what the loop does: some events, then Settle.
func (d *driver) turn() {
	for range 1 + d.draw("more events", 3) {
		for _, e := range d.drawEvents() {
			d.step(e)
		}
	}
	d.model.settle()
	effects := d.state.Settle()
	for _, effect := range effects {
		d.t.Logf("        %s", describe(effect))
		if e, ok := effect.(Deliver); ok {
			for _, delivery := range e.Deliveries {
				d.seen = append(d.seen, broker.MessageID{Partition: e.Partition, Position: delivery.Message.Position})
			}
		}
	}
	d.model.check(d.t, d.state, effects)
	checkInvariants(d.t, d.state)
	d.broker.carryOut(effects)
}

func (d *driver) step(e Event) {
	d.t.Logf("%s", describeEvent(e))
	d.state.Step(e)
	d.model.step(e)
}

func (d *driver) draw(label string, most int) int { return d.t.choose(label, most) }

func (d *driver) drawEvents() []Event {
	switch kind := d.draw("kind", 39); {
	case kind < 8:
		return []Event{d.drawTick()}
	case kind < 18:
		return d.broker.events()
	case kind < 28:
		return []Event{d.drawAck()}
	case kind < 33 && len(d.model.clients) < 6, len(d.model.clients) == 0:
		return []Event{d.drawJoin()}
	case kind < 35:
		return []Event{Gone{d.drawClient()}}
	case kind < 37:
		return []Event{Leave{d.drawClient()}}
	case kind < 38:
		return []Event{d.drawPressure()}
	}
	return []Event{d.drawRare()}
}

func (d *driver) drawTick() Event {
	elapsed := []time.Duration{
		100 * time.Millisecond, 0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, time.Hour, -time.Second,
	}
	return Tick{elapsed[d.draw("elapsed", len(elapsed)-1)]}
}

func (d *driver) drawJoin() Event {
	d.lastClient++
	join := Join{Client: d.lastClient, Spec: Spec{Topics: []string{"t"}}}
	switch d.draw("spec", 9) {
	case 8:
		join.Spec.Topics = []string{"t", "u"}
	case 9:
		join.Spec.Start = broker.StartLatest
	}
	if d.draw("asks", 3) == 3 {
		join.MaxUnackedMessages = d.draw("asks for a window", 10)
		join.AckTimeout = time.Duration(d.draw("asks for a timeout", 10)) * time.Second / 2
	}
	return join
}

// drawClient draws one that is there, or was, or never will be.
func (d *driver) drawClient() ClientID {
	clients := d.model.allClients()
	if len(clients) == 0 || d.draw("somebody", 9) == 9 {
		return d.lastClient - ClientID(d.draw("anybody", min(20, int(d.lastClient))))
	}
	return clients[d.draw("client", len(clients)-1)].id
}

func (d *driver) drawPressure() Event {
	if d.draw("over", 1) == 0 {
		return MemoryPressure{}
	}
	return MemoryPressure{Over: true, FairShare: int64(d.draw("fair share", 30)), Full: d.draw("full", 3) == 0}
}

func (d *driver) drawRare() Event {
	if d.model.draining && d.draw("drain", 9) == 9 {
		return []Event{Drain{}, DrainTimeout{}}[d.draw("over", 1)]
	}
	return Reject{d.drawClient(), &messageproxyv1.Error{Code: messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT}}
}

// drawAck mostly ACKs what the client holds, in part or all of it, in order or not;
// and now and then something else besides.
func (d *driver) drawAck() Event {
	ack := Ack{Client: d.drawClient()}
	if c := d.model.clients[ack.Client]; c != nil && len(c.held) > 0 {
		for _, message := range c.held {
			ack.IDs = append(ack.IDs, message.id)
		}
		if len(ack.IDs) < 20 && d.draw("in order", 2) == 2 {
			ack.IDs = shuffled(d.t, ack.IDs)
		}
		if d.draw("all", 2) < 2 {
			ack.IDs = ack.IDs[d.draw("from", len(ack.IDs)-1):]
			ack.IDs = ack.IDs[:1+d.draw("count", len(ack.IDs)-1)]
		}
	}
	if d.draw("others", 3) == 3 || len(ack.IDs) == 0 {
		for range 1 + d.draw("how many", 2) {
			ack.IDs = slices.Insert(ack.IDs, d.draw("where", len(ack.IDs)), d.drawOther())
		}
	}
	for _, id := range ack.IDs {
		ack.Texts = append(ack.Texts, id.Partition.String()+fmt.Sprint(id.Position))
	}
	if last := len(ack.IDs) - 1; ack.IDs[last].Partition.Topic == "" && d.draw("long", 1) == 1 {
		ack.Texts[last] = strings.Repeat("x", 513)
	}
	return ack
}

// drawOther draws an id that need not be the client's, nor anybody's.
func (d *driver) drawOther() broker.MessageID {
	kind := d.draw("other", 9)
	switch {
	case kind < 7 && len(d.seen) > 0:
		recent := d.seen[max(0, len(d.seen)-30):]
		id := recent[d.draw("seen", len(recent)-1)]
		if kind > 4 {
			id.Position++ // there may be none
		}
		return id
	case kind < 9:
		names := fakeNames()
		return broker.MessageID{Partition: names[d.draw("partition", len(names)-1)], Position: uint64(d.draw("position", 30))}
	}
	return broker.MessageID{}
}

func describeEvent(event Event) string {
	if e, ok := event.(Polled); ok {
		var words []string
		for _, event := range e.Events {
			if m, ok := event.(broker.EventMessages); ok {
				var positions []string
				for _, message := range m.Messages {
					positions = append(positions, fmt.Sprintf("%d(%d bytes)", message.Position, message.Size()))
				}
				words = append(words, fmt.Sprintf("messages %v %v", m.Partition, positions))
				continue
			}
			words = append(words, fmt.Sprintf("%T%v", event, event))
		}
		return strings.Join(words, "; ")
	}
	return fmt.Sprintf("%T%+v", event, event)
}

func describeNotHeld(e NotHeld) string {
	return fmt.Sprintf("c%d <- notice NOT_HELD %d %v", e.Client, e.Count, e.IDs)
}

// clientOf is whom an effect tells something.
func clientOf(effect Effect) ClientID {
	switch e := effect.(type) {
	case Subscribed:
		return e.Client
	case Withdrawn:
		return e.Client
	case Trouble:
		return e.Client
	case Recovered:
		return e.Client
	case NotHeld:
		return e.Client
	case Notice:
		return e.Client
	case End:
		return e.Client
	}
	return 0
}
