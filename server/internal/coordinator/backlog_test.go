package coordinator

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/messageproxy/messageproxy/broker"
)

// listedMessage is one message of a naive backlog, which is a list.
type listedMessage struct {
	position uint64
	size     int64
	held     bool
	attempts uint32
}

// backlogPair does the same to a backlog and to a list, and compares.
type backlogPair struct {
	t       require.TestingT
	backlog backlog
	list    []listedMessage // that aren't ACKed
	last    uint64          // position
	seen    []uint64        // positions handed out, ever
}

// run does what the letters of a program say; each takes a digit.
func (b *backlogPair) run(program string) {
	for i := 0; i+1 < len(program); i++ {
		digit := int(program[i+1]) % 10
		switch program[i] {
		case 'p':
			b.push(digit + 1)
		case 'P':
			b.push(100 * digit)
		case 't':
			b.take(digit, 1<<30, false)
		case 'T':
			b.take(1000, 1<<30, false)
		case 'b':
			b.take(1000, int64(digit), true)
		case 'a': // a recent one, counted from the last
			b.ackSeen(len(b.seen) - 1 - digit)
		case 'A': // an old one
			b.ackSeen(digit)
		case 'f': // in order, several
			for range 10 * digit {
				b.ackFirst()
			}
		case 'n':
			b.ack(b.last - uint64(digit)) // possibly not handed out, or none
		case 'r':
			b.reclaim()
		case 'd':
			b.dropWaiting()
		default:
			continue
		}
		i++
		b.compare()
	}
}

func (b *backlogPair) push(n int) {
	if n == 0 {
		return
	}
	messages := make([]broker.Message, n)
	for i := range messages {
		b.last += uint64(1 + (n+i)%3%2) // gaps here and there
		messages[i] = broker.Message{Position: b.last, Value: make([]byte, (n+i)%5)}
		b.list = append(b.list, listedMessage{position: b.last, size: int64(len(messages[i].Value))})
	}
	b.backlog.push(messages)
}

func (b *backlogPair) take(maxMessages int, maxBytes int64, evenTooLarge bool) {
	var want []listedMessage
	var wantBytes int64
	for i := range b.list {
		m := &b.list[i]
		fits := wantBytes < maxBytes && wantBytes+m.size <= maxBytes || evenTooLarge && len(want) == 0
		if m.held {
			continue
		}
		if len(want) == maxMessages || !fits {
			break
		}
		m.held = true
		m.attempts++
		wantBytes += m.size
		want = append(want, *m)
		b.seen = append(b.seen, m.position)
	}
	deliveries, bytes := b.backlog.take(maxMessages, maxBytes, evenTooLarge)
	require.Len(b.t, deliveries, len(want))
	require.Equal(b.t, wantBytes, bytes)
	for i, m := range want {
		require.Equal(b.t, m.position, deliveries[i].Message.Position)
		require.Equal(b.t, m.attempts, deliveries[i].Attempt)
	}
}

func (b *backlogPair) ackSeen(i int) {
	if i >= 0 && i < len(b.seen) {
		b.ack(b.seen[i])
	}
}

func (b *backlogPair) ackFirst() {
	for _, m := range b.list {
		if m.held {
			b.ack(m.position)
			return
		}
	}
}

func (b *backlogPair) ack(position uint64) {
	wantSize, want := int64(0), false
	for i, m := range b.list {
		if m.position == position && m.held {
			wantSize, want = m.size, true
			b.list = append(b.list[:i], b.list[i+1:]...)
			break
		}
	}
	size, ok := b.backlog.ack(position)
	require.Equal(b.t, want, ok, "ACK of %d", position)
	require.Equal(b.t, wantSize, size)
}

func (b *backlogPair) reclaim() {
	for i := range b.list {
		b.list[i].held = false
	}
	b.backlog.reclaim()
}

func (b *backlogPair) dropWaiting() {
	var kept []listedMessage
	for _, m := range b.list {
		if m.held {
			kept = append(kept, m)
		}
	}
	b.list = kept
	b.backlog.dropWaiting()
}

func (b *backlogPair) compare() {
	inFlight, waiting, bytes, inFlightBytes := 0, 0, int64(0), int64(0)
	for _, m := range b.list {
		bytes += m.size
		if m.held {
			inFlight++
			inFlightBytes += m.size
		} else {
			waiting++
		}
	}
	require.Equal(b.t, inFlight, b.backlog.inFlight, "in flight")
	require.Equal(b.t, waiting, b.backlog.waiting(), "waiting")
	require.Equal(b.t, bytes, b.backlog.bytes, "bytes")
	require.Equal(b.t, inFlightBytes, b.backlog.inFlightBytes, "bytes in flight")
	unacked := 0
	for number := b.backlog.first; number < b.backlog.next; number++ {
		if b.backlog.isUnacked(number) {
			unacked++
		}
	}
	require.Equal(b.t, inFlight, unacked, "numbers in flight")
	require.False(b.t, b.backlog.isUnacked(b.backlog.next), "what waits is not in flight")
	inUse := len(b.backlog.entries) - b.backlog.head
	for _, e := range b.backlog.entries[:b.backlog.head] {
		require.Nil(b.t, e.message, "what is done with is let go")
	}
	for _, e := range b.backlog.entries[len(b.backlog.entries):cap(b.backlog.entries)] {
		require.Nil(b.t, e.message, "what is done with is let go")
	}
	require.GreaterOrEqual(b.t, inUse, inFlight+waiting)
}

func TestBacklogAgainstList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		program := rapid.SliceOfN(rapid.SampledFrom([]string{"p", "P", "t", "T", "b", "a", "A", "f", "n", "r", "d"}), 0, 60)
		text := ""
		for _, letter := range program.Draw(t, "program") {
			text += letter + rapid.SampledFrom([]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}).Draw(t, "digit")
		}
		(&backlogPair{t: t}).run(text)
	})
}

func FuzzBacklog(f *testing.F) {
	f.Add("p4t3a0p2T0r0T0f1")
	f.Fuzz(func(t *testing.T, program string) {
		if len(program) > 500 {
			return // more of the same
		}
		(&backlogPair{t: t}).run(program)
	})
}

// Everything in flight waits again, in order and before what waited, and the holes
// of what was ACKed are gone.
func TestReclaimWithHoles(t *testing.T) {
	var b backlog
	b.push(messagesAt([]uint64{2, 3, 5, 8, 13, 21}, 1))
	b.take(5, 100, false)
	for _, position := range []uint64{3, 8} {
		_, ok := b.ack(position)
		require.True(t, ok)
	}
	b.reclaim()
	require.Equal(t, 0, b.inFlight)
	require.Len(t, b.entries[b.head:], 4, "no holes are left")
	deliveries, _ := b.take(100, 100, false)
	var positions []uint64
	var attempts []uint32
	for _, d := range deliveries {
		positions = append(positions, d.Message.Position)
		attempts = append(attempts, d.Attempt)
	}
	require.Equal(t, []uint64{2, 5, 13, 21}, positions)
	require.Equal(t, []uint32{2, 2, 2, 1}, attempts)
}

func TestFindOnlyWhatWasHandedOut(t *testing.T) {
	var b backlog
	b.push(messagesAt([]uint64{10, 20, 30}, 1))
	b.take(2, 100, false)
	for _, position := range []uint64{0, 9, 11, 15, 21, 30, 31} {
		_, ok := b.ack(position)
		require.False(t, ok, "position %d", position)
	}
	for _, position := range []uint64{20, 10} {
		_, ok := b.ack(position)
		require.True(t, ok, "position %d", position)
		_, ok = b.ack(position)
		require.False(t, ok, "position %d again", position)
	}
}

// A partition through which messages flow needs room for those that it holds, and
// no more for each that passes.
func TestBacklogReusesItsSpace(t *testing.T) {
	var b backlog
	b.push(messagesAt(positions(0, 100), 1))
	b.take(100, 1<<30, false)
	moved := 0
	for position := uint64(100); position < 100_000; position++ {
		before := b.head
		b.push(messagesAt([]uint64{position}, 1))
		if b.head < before {
			moved += len(b.entries)
		}
		b.take(1, 1<<30, false)
		_, ok := b.ack(position - 100)
		require.True(t, ok)
		require.LessOrEqual(t, cap(b.entries), 400)
	}
	require.Less(t, moved, 2*100_000, "entries moved: a constant number for each that was pushed")
}

// After a fetch that was much larger than others, the room for it is given back.
func TestBacklogGivesBackItsSpace(t *testing.T) {
	var b backlog
	b.push(messagesAt(positions(0, 100_000), 1))
	b.take(100_000, 1<<30, false)
	for position := range uint64(100_000) {
		b.ack(position)
	}
	require.LessOrEqual(t, cap(b.entries), keptEntries)
}

func positions(from, to uint64) []uint64 {
	var positions []uint64
	for position := from; position < to; position++ {
		positions = append(positions, position)
	}
	return positions
}
