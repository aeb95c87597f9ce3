package messageproxy

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadyLanesTakeTurns compares the list of ready lanes with a plain one.
func TestReadyLanesTakeTurns(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	l := newLanes(&consumeConfig{})
	var model, running []*lane
	for range 20_000 {
		switch random.IntN(3) {
		case 0: // a message of a partition that may have others
			target := l.of(&Message{Topic: "orders", Partition: int32(random.IntN(20))})
			if !target.busy {
				model = append(model, target)
			}
			l.push(target, task{})
		case 1:
			if len(model) == 0 {
				continue
			}
			next, _, ok := l.pop()
			require.True(t, ok)
			require.Same(t, model[0], next)
			running, model = append(running, next), model[1:]
		case 2:
			if len(running) == 0 {
				continue
			}
			finished := running[0]
			running = running[1:]
			if !finished.empty() {
				model = append(model, finished)
			}
			l.done(finished)
		}
		require.Len(t, l.ready[l.next:], len(model))
	}
	require.LessOrEqual(t, cap(l.ready), 64, "20 lanes need no more")
	require.NotEmpty(t, model)
}
