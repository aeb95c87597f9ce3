package prefix_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/messageproxy/messageproxy/broker-kafka/internal/prefix"
)

// The shapes of a partition: how far the next offset is from message i.
var benchGaps = []struct {
	name string
	gap  func(i int) int64
}{
	{"no gaps", func(int) int64 { return 1 }},
	{"markers of batches", func(i int) int64 { return 1 + int64(i%50)/49 }},
	{"compacted everywhere", func(i int) int64 { return 1 + int64(i*7919%13) }},
}

// BenchmarkTracker delivers, ACKs and commits windows of messages. One operation is
// one message.
func BenchmarkTracker(b *testing.B) {
	for _, gaps := range benchGaps {
		for _, order := range []string{"in order", "reversed", "shuffled"} {
			b.Run(fmt.Sprintf("1000 %s, %s", order, gaps.name), func(b *testing.B) {
				benchmarkTracker(b, gaps.gap, benchOrder(order, 1000))
			})
		}
	}
	// What one fetch brings at most.
	b.Run("100000 shuffled, no gaps", func(b *testing.B) {
		benchmarkTracker(b, benchGaps[0].gap, benchOrder("shuffled", 100_000))
	})
}

// benchOrder is the order in which the messages of a window are ACKed.
func benchOrder(name string, window int) []int {
	order := rand.New(rand.NewPCG(1, 2)).Perm(window)
	if name != "shuffled" {
		slices.Sort(order)
	}
	if name == "reversed" {
		slices.Reverse(order)
	}
	return order
}

func benchmarkTracker(b *testing.B, gap func(i int) int64, order []int) {
	offsets := make([]int64, len(order))
	tracker := prefix.New(0)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		i := n % len(order)
		if i == 0 {
			next := tracker.Position()
			for i := range offsets {
				next += gap(i)
				offsets[i] = next
				tracker.Deliver(next)
			}
		}
		tracker.Ack(offsets[order[i]])
		if i == len(order)-1 {
			tracker.Commit(tracker.Position())
		}
	}
}

// BenchmarkAckOfNothing is for ACKs that don't count: a client can send as many as it
// likes.
func BenchmarkAckOfNothing(b *testing.B) {
	const window = 1000
	tracker := prefix.New(0)
	for i := range int64(window) {
		tracker.Deliver(2 * i)
	}
	tracker.Ack(0)
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		if tracker.Ack(2*(n%(2*window)) + 1) {
			b.Fatal("there is no such message")
		}
	}
}
