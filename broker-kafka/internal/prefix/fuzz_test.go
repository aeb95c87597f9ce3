package prefix_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker-kafka/internal/prefix"
)

// FuzzTracker reads a program, two bytes a call: which one, and with what. Calls that
// the caller must not make are among them: they panic and change nothing.
func FuzzTracker(f *testing.F) {
	f.Add(int64(0), []byte("d0d0d0a0a1a2c0"))
	f.Add(int64(1<<40), []byte("r8d1d2A0A5k0a1D0C0v9k3k7"))
	f.Fuzz(func(t *testing.T, start int64, program []byte) {
		if start < 0 || start > 1<<62 || len(program) > 300 {
			return // offsets begin at 0, and more of the same tells no more
		}
		p := newPair(start)
		for i := 0; i+1 < len(program); i += 2 {
			p.call(t, program[i], int64(program[i+1]))
			require.NoError(t, p.check(), "after call %d", i/2)
		}
	})
}

// most is how many messages a program may deliver: enough for a ring that has grown
// several times.
const most = 500

func (p *pair) call(t *testing.T, call byte, argument int64) {
	m := p.model
	switch "dgrarAoOkKvDC"[int(call)%13] {
	case 'd':
		p.deliver(argument % 4)
	case 'g':
		p.deliver(argument * argument * 1000) // far away
	case 'r':
		for range min(argument*argument, most-int64(len(m.delivered))) {
			p.deliver(0)
		}
	case 'a': // near the first that isn't ACKed
		require.NoError(t, p.ack(m.position()+argument%16))
	case 'A': // in order, many
		for range argument % 64 {
			if position := m.position(); position == m.end || p.ack(position) != nil {
				break
			}
		}
	case 'o': // near the end
		require.NoError(t, p.ack(m.end-argument%16))
	case 'O': // anywhere, as likely as not where nothing is
		require.NoError(t, p.ack(m.durable-8+argument*argument))
	case 'k':
		p.commit(m.position())
	case 'K': // a part of it
		p.commit(m.durable + (m.position()-m.durable)*argument/256)
	case 'v':
		p.advance(argument%16 - 8)
	case 'D':
		require.Panics(t, func() { p.tracker.Deliver(m.end - 1 - argument) })
	case 'C':
		require.Panics(t, func() { p.tracker.Commit(m.position() + 1 + argument) })
	}
}

// FuzzTrackerEndsEmpty delivers messages with these gaps and ACKs them from both
// sides: a tracker that everything was ACKed and committed to is as good as a new one.
func FuzzTrackerEndsEmpty(f *testing.F) {
	f.Add([]byte{0, 1, 200, 3})
	f.Fuzz(func(t *testing.T, gaps []byte) {
		if len(gaps) <= 300 { // more tells no more
			endEmpty(t, gaps)
		}
	})
}

// A ring so large that it is given back in between.
func TestTrackerEndsEmptyAfterALargeFetch(t *testing.T) { endEmpty(t, make([]byte, 17<<10)) }

func endEmpty(t *testing.T, gaps []byte) {
	tracker := prefix.New(0)
	end := int64(0)
	for range 2 {
		var offsets []int64
		for _, gap := range gaps {
			end += int64(gap) * int64(gap)
			tracker.Deliver(end)
			offsets = append(offsets, end)
			end++
		}
		ackFromBothSides(t, tracker, offsets)
		require.Equal(t, end, tracker.Position())
		tracker.Commit(end)
		require.Zero(t, tracker.Outstanding())
		require.Zero(t, tracker.Held())
	}
}

func ackFromBothSides(t *testing.T, tracker *prefix.Tracker, offsets []int64) {
	for i := range offsets {
		offset := offsets[i/2]
		if i%2 == 1 {
			offset = offsets[len(offsets)-1-i/2]
		}
		require.True(t, tracker.Ack(offset))
		require.False(t, tracker.Ack(offset), "twice")
		inOrder := i/2 + 1
		if i == len(offsets)-1 {
			inOrder = len(offsets)
		}
		require.Equal(t, len(offsets)-inOrder, tracker.Held(), "after %d ACKs", i+1)
	}
}
