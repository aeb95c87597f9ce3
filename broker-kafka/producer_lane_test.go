package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// When a topic is created again, what is held for its partitions goes out in the
// order in which it came: messages without a key may get to one partition then.
func TestHeldMessagesMoveInTheOrderInWhichTheyCame(t *testing.T) {
	first, second, third, waiting := &outgoing{number: 1}, &outgoing{number: 2}, &outgoing{number: 3}, &outgoing{number: 4}
	info := &topicInfo{lanes: newLanes(topicID{}, 2)}
	info.lanes[0].held = []*outgoing{second}
	info.lanes[1].held = []*outgoing{first, third}
	info.lanes[1].blocked.Store(true)
	topic := &producerTopic{waiting: []*outgoing{waiting}}
	topic.mu.Lock()
	topic.takeHeldLocked(info)
	topic.mu.Unlock()
	assert.Equal(t, []*outgoing{first, second, third, waiting}, topic.waiting)
	assert.Empty(t, info.lanes[0].held)
	assert.Empty(t, info.lanes[1].held)
	assert.False(t, info.lanes[1].blocked.Load())
}
