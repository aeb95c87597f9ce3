package kafka

import (
	"math/rand/v2"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kgo"
)

// byKey chooses the partition that Kafka's own producers choose for a key: by its
// murmur2 hash. An empty key is a key.
var byKey = kgo.StickyKeyPartitioner(nil).ForTopic("")

// manualPartitioner sends a message to the partition that its outgoing has
// chosen. The choice is made before the client library sees the message, so that
// it can be held back while its partition is in doubt.
type manualPartitioner struct{}

func (p manualPartitioner) ForTopic(string) kgo.TopicPartitioner { return p }

// RequiresConsistency is true: no other partition will do.
func (manualPartitioner) RequiresConsistency(*kgo.Record) bool { return true }

// Partition returns -1, which fails the message, where the library doesn't know
// the partition.
func (manualPartitioner) Partition(r *kgo.Record, n int) int {
	o := r.Context.(*outgoing)
	if int(o.partition) >= n {
		o.misdirected = true
		return -1
	}
	o.inLibrary.Store(true)
	return int(o.partition)
}

// stickiness chooses partitions for messages that have no key and name none: one for a
// while, so that batches are full, and then another; also once nothing is under way to
// it, as there is no batch to fill then. It takes two at random
// and of them the one with less under way, which keeps the load even with hardly
// any work (M. Mitzenmacher, "The Power of Two Choices in Randomized Load
// Balancing", 2001), and keeps off partitions that are slow, or have no leader.
type stickiness struct {
	partition int32
	left      int // bytes until the next choice
}

const stickyBytes = 64 << 10

func (s *stickiness) choose(lanes []*lane, size int) int32 {
	if s.left <= 0 || int(s.partition) >= len(lanes) || lanes[s.partition].isIdleOrBlocked() {
		a, b := anyOpen(lanes), anyOpen(lanes)
		s.partition, s.left = a, stickyBytes
		if lanes[b].load() < lanes[a].load() {
			s.partition = b
		}
	}
	s.left -= size
	return s.partition
}

// anyOpen chooses at random among the lanes that aren't blocked, if there are any.
func anyOpen(lanes []*lane) int32 {
	n := int32(len(lanes))
	start := rand.Int32N(n)
	for i := range n {
		if p := (start + i) % n; !lanes[p].blocked.Load() {
			return p
		}
	}
	return start
}

// partitionOf chooses the message's partition among those of an open topic.
func (t *producerTopic) partitionOf(info *topicInfo, o *outgoing) int32 {
	m := o.message
	switch {
	case m.Partition != broker.AnyPartition:
		return m.Partition
	case m.Key != nil:
		return int32(byKey.Partition(&o.record, int(info.partitions)))
	case info.partitions == 1:
		return 0
	}
	t.stickyMu.Lock()
	defer t.stickyMu.Unlock()
	return t.sticky.choose(info.lanes, m.Size()+recordOverhead)
}

// recordOverhead is about what a record takes besides its payload.
const recordOverhead = 16
