package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// chosen are the partitions of so many messages of a size.
func chosen(s *stickiness, lanes []*lane, messages, size int) map[int32]int {
	chosen := make(map[int32]int)
	for range messages {
		chosen[s.choose(lanes, size)]++
	}
	return chosen
}

func busyLanes(n int32) []*lane {
	lanes := newLanes(topicID{}, n)
	for _, l := range lanes {
		l.sent.Store(1)
	}
	return lanes
}

func TestMessagesWithoutAKeyFillBatches(t *testing.T) {
	lanes := busyLanes(8)
	var s stickiness
	assert.Len(t, chosen(&s, lanes, 64, stickyBytes/64), 1, "while something is under way")
	assert.Greater(t, len(chosen(&s, lanes, 100, stickyBytes)), 4)
}

// A slow producer's messages fill no batches, so its consumers get their shares at once.
func TestMessagesWithoutAKeyGoEverywhereWhereNothingIsUnderWay(t *testing.T) {
	assert.Greater(t, len(chosen(&stickiness{}, newLanes(topicID{}, 8), 100, 10)), 4)
}

func TestMessagesWithoutAKeyKeepOffBlockedPartitions(t *testing.T) {
	lanes := busyLanes(8)
	var s stickiness
	first := s.choose(lanes, 1)
	lanes[first].blocked.Store(true)
	assert.NotContains(t, chosen(&s, lanes, 100, stickyBytes), first)
}
