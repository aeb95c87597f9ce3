package prefix_test

import (
	"math/rand/v2"
	"testing"

	"github.com/messageproxy/messageproxy/broker-kafka/internal/prefix"
)

// BenchmarkTracker delivers, ACKs in random order and commits windows of 1,000
// messages. One operation is one message.
func BenchmarkTracker(b *testing.B) {
	for name, gap := range map[string]func(i int) int64{
		"no gaps":              func(int) int64 { return 1 },
		"markers of batches":   func(i int) int64 { return 1 + int64(i%50)/49 },
		"compacted everywhere": func(i int) int64 { return 1 + int64(i*7919%13) },
	} {
		b.Run(name, func(b *testing.B) { benchmarkTracker(b, gap) })
	}
}

func benchmarkTracker(b *testing.B, gap func(i int) int64) {
	const window = 1000
	order := rand.New(rand.NewPCG(1, 2)).Perm(window)
	offsets := make([]int64, window)
	tracker := prefix.New(0)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		i := n % window
		if i == 0 {
			next := tracker.Position()
			for i := range offsets {
				next += gap(i)
				offsets[i] = next
				tracker.Deliver(next)
			}
		}
		tracker.Ack(offsets[order[i]])
		if i == window-1 {
			tracker.Commit(tracker.Position())
		}
	}
}
