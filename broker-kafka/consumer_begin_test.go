//go:build synctests

package kafka

import (
	"sync/atomic"
	"testing"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The client gives up asking where a partition begins after a few seconds, and says
// so once. Such a partition stays silent for as long as there is this consumer.
func TestPartitionWhoseBeginningIsNotFoundEndsTheConsumer(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		var found atomic.Bool
		e.cluster.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			e.cluster.KeepControl()
			if found.Load() {
				return nil, nil, false
			}
			return unknownTopicIDs(req.(*kmsg.OffsetFetchRequest)), nil, true
		})
		c := e.open()
		c.pollUntil("it fails for good", func() bool { return c.err != nil && !broker.IsRetryable(c.err) })
		c.close()
		found.Store(true)
		c = e.open()
		c.pollMessages(0, 10)
		assert.Equal(e, numbers(0, 10), values(c.messages[0]))
	})
}

// unknownTopicIDs answers that the topics are others by now.
func unknownTopicIDs(req *kmsg.OffsetFetchRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	for _, g := range req.Groups {
		rg := kmsg.NewOffsetFetchResponseGroup()
		rg.Group = g.Group
		for _, t := range g.Topics {
			rt := kmsg.NewOffsetFetchResponseGroupTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, number := range t.Partitions {
				rp := kmsg.NewOffsetFetchResponseGroupTopicPartition()
				rp.Partition, rp.Offset, rp.ErrorCode = number, -1, kerr.UnknownTopicID.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			rg.Topics = append(rg.Topics, rt)
		}
		resp.Groups = append(resp.Groups, rg)
	}
	return resp
}
