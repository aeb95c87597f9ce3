//go:build synctests

package kafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestConsumeAckCommit(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open()
		c.pollMessages(0, 10)
		assert.Equal(t, numbers(0, 10), values(c.messages[0]))
		c.ack(0, 0, 1, 2, 4)
		assert.EqualValues(t, -1, e.committed(0), "not before the interval is over")
		time.Sleep(DefaultCommitInterval + time.Second)
		assert.EqualValues(t, 3, e.committed(0))
		c.close()
	})
}
