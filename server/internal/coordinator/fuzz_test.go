package coordinator

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// FuzzState feeds a State events in any order, also such as no broker and no loop
// would send: nothing panics, and the invariants hold after every Settle. A program
// is letters with two digits each; see fuzzer.step.
func FuzzState(f *testing.F) {
	f.Add("j00s00o00n04m05m12s00j13s00a02a12s00g00s00m23s00")
	f.Fuzz(func(t *testing.T, program string) {
		if len(program) > 1000 {
			return // more of the same
		}
		newFuzzer(t).run(program)
	})
}

type fuzzer struct {
	t          *testing.T
	state      *State
	lastClient ClientID
	next       [10]uint64 // position, by partition
	ended      map[ClientID]bool
	isOpen     bool // there is a consumer, or will be
}

func newFuzzer(t *testing.T) *fuzzer {
	return &fuzzer{t: t, ended: make(map[ClientID]bool), state: New(Config{
		Subscription: "s", MaxUnackedMessages: 5, MaxUnackedBytes: 12,
		AckTimeout: time.Second, MaxAckTimeout: 5 * time.Second,
	})}
}

func (f *fuzzer) run(program string) {
	for i := 0; i+2 < len(program); i += 3 {
		event := f.event(letterOf(program[i]), int(program[i+1])%10, int(program[i+2])%10)
		if event == nil {
			f.settle()
			continue
		}
		if _, ok := event.(OpenFailed); ok && f.state.phase == opening {
			f.isOpen = false
		}
		f.state.Step(event)
	}
	f.settle()
}

// letterOf gives every byte a meaning.
func letterOf(b byte) byte {
	const letters = "jJlgrabkyofcpqdDnmvzetusmsas"
	if strings.IndexByte(letters, b) >= 0 {
		return b
	}
	return letters[int(b)%len(letters)]
}

// event reads one instruction; nil stands for Settle.
func (f *fuzzer) event(letter byte, x, y int) Event {
	switch letter {
	case 'j':
		f.lastClient++
		return Join{
			Client: f.lastClient, Spec: Spec{Topics: []string{"t"}},
			MaxUnackedMessages: x, AckTimeout: time.Duration(y) * time.Second,
		}
	case 'J':
		f.lastClient++
		return Join{Client: f.lastClient, Spec: Spec{Topics: []string{"t", "u"}, Start: broker.StartPosition(x % 2)}}
	case 'l':
		return Leave{f.client(x)}
	case 'g':
		return Gone{f.client(x)}
	case 'r':
		return Reject{f.client(x), &messageproxyv1.Error{}}
	case 'a':
		return f.ackHeld(f.client(x), 1+y)
	case 'b':
		return Ack{f.client(x), []broker.MessageID{{Partition: f.name(y), Position: uint64(x)}, {}}, []string{"b", ""}}
	case 'k':
		return Tick{time.Duration(10*x+y-5) * 50 * time.Millisecond}
	case 'y':
		return MemoryPressure{Over: x > 0, FairShare: int64(y), Full: x > 2}
	}
	return f.brokerEvent(letter, x, y)
}

func (f *fuzzer) brokerEvent(letter byte, x, y int) Event {
	switch letter {
	case 'o':
		return Opened{}
	case 'f':
		return OpenFailed{f.err(x)}
	case 'c':
		return Closed{}
	case 'p':
		return PollFailed{f.err(x)}
	case 'q':
		return PollRecovered{}
	case 'd':
		return Drain{}
	case 'D':
		return DrainTimeout{}
	case 'n':
		return f.assigned(x, y)
	case 'm':
		return f.messages(x, y)
	case 'v':
		return Polled{broker.Events{broker.EventRevoking{Partitions: f.names(x, y), TimeLeft: time.Second}}}
	case 'z':
		return Polled{broker.Events{broker.EventLost{Partitions: f.names(x, y)}}}
	case 'e':
		return Polled{broker.Events{broker.EventExpired{Partition: f.name(x)}}}
	case 't':
		return Polled{broker.Events{broker.EventAckTrouble{Err: f.err(x)}}}
	case 'u':
		return Polled{broker.Events{broker.EventAckRecovered{}}}
	}
	return nil
}

// client is one that is there, or the number itself.
func (f *fuzzer) client(x int) ClientID {
	if x < len(f.state.order) {
		return f.state.order[x].id
	}
	return ClientID(x)
}

func (f *fuzzer) name(x int) broker.TopicPartition {
	return broker.TopicPartition{Topic: "t", Partition: int32(x)}
}

// names are those from x to y, or x and y.
func (f *fuzzer) names(x, y int) []broker.TopicPartition {
	if x > y {
		return []broker.TopicPartition{f.name(x), f.name(y)}
	}
	var names []broker.TopicPartition
	for i := x; i <= y; i++ {
		names = append(names, f.name(i))
	}
	return names
}

func (f *fuzzer) err(x int) error {
	return parseError([]string{"unavailable", "internal", "topic-not-found"}[x%3])
}

// assigned lets partitions that come back begin earlier.
func (f *fuzzer) assigned(x, y int) Event {
	names := f.names(x, y)
	for _, name := range names {
		if f.state.partitions[name] == nil {
			f.next[name.Partition] /= 2
		}
	}
	return Polled{broker.Events{broker.EventAssigned{Partitions: names}}}
}

func (f *fuzzer) messages(x, y int) Event {
	var list []uint64
	for i := range 1 + y {
		f.next[x] += uint64(1 + i%2)
		list = append(list, f.next[x])
	}
	return Polled{broker.Events{broker.EventMessages{Partition: f.name(x), Messages: messagesAt(list, (x+y)%8)}}}
}

// ackHeld ACKs the first n messages that a client holds of each partition.
func (f *fuzzer) ackHeld(id ClientID, n int) Event {
	ack := Ack{Client: id}
	for _, p := range f.state.sorted {
		if p.holder == nil || p.holder.id != id {
			continue
		}
		for i := p.head; i < p.head+min(n, int(p.next-p.first)); i++ {
			ack.IDs = append(ack.IDs, broker.MessageID{Partition: p.TopicPartition, Position: p.entries[i].position})
			ack.Texts = append(ack.Texts, "")
		}
	}
	return ack
}

func (f *fuzzer) settle() {
	for _, effect := range f.state.Settle() {
		switch e := effect.(type) {
		case Deliver:
			require.False(f.t, f.ended[e.Client], "messages for a client that is gone")
		case Assignment:
			require.False(f.t, f.ended[e.Client], "an assignment for a client that is gone")
		case OpenConsumer:
			require.False(f.t, f.isOpen, "a second consumer")
			f.isOpen = true
		case CloseConsumer:
			require.True(f.t, f.isOpen, "no consumer to close")
			f.isOpen = false
		default:
			require.False(f.t, f.ended[clientOf(effect)], "%s, who is gone", describe(effect))
		}
		if e, ok := effect.(End); ok {
			f.ended[e.Client] = true
		}
	}
	checkInvariants(f.t, f.state)
	require.NotZero(f.t, f.state.Wake(), "wakes for nothing")
}
