package messageproxy

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUnansweredIsAMapBySequence compares it with one: answers come in any order, some
// after a long time, some for what was never sent.
func TestUnansweredIsAMapBySequence(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		var u unanswered
		model := map[uint64]*pending{}
		most, sequence := 1+random.IntN(300), uint64(0)
		peak := 0
		for range 3000 {
			if len(model) < most && random.IntN(100) < 55 {
				sequence++
				m := &pending{sequence: sequence}
				u.put(m)
				model[sequence] = m
			} else {
				at := uint64(random.Int64N(int64(sequence) + 2))
				if random.IntN(10) > 0 { // one of the latest
					at = sequence - min(sequence, uint64(random.IntN(20)))
				}
				require.Same(t, model[at], u.take(at), "seed %d", seed)
				delete(model, at)
			}
			peak = max(peak, len(model))
			require.Equal(t, len(model), u.inRing+len(u.late), "seed %d", seed)
		}
		want := make([]*pending, 0, len(model))
		for _, at := range slices.Sorted(maps.Keys(model)) {
			want = append(want, model[at])
		}
		require.Equal(t, want, u.all(), "seed %d", seed)
		require.LessOrEqual(t, len(u.ring), max(minRing, 4*peak), "seed %d", seed)
	}
}

func TestALateAnswerTakesNoMemoryOfThoseThatPass(t *testing.T) {
	var u unanswered
	first := &pending{sequence: 1}
	u.put(first)
	for sequence := uint64(2); sequence < 100_000; sequence++ {
		u.put(&pending{sequence: sequence})
		require.NotNil(t, u.take(sequence))
	}
	require.Len(t, u.ring, minRing)
	require.Equal(t, []*pending{first}, u.all())
	require.Same(t, first, u.take(1))
	require.Nil(t, u.take(1))
	require.Empty(t, u.all())
}
