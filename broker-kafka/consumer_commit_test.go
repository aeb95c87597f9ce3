//go:build synctests

package kafka

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitLog has what commits the cluster saw.
type commitLog struct {
	mu       sync.Mutex
	requests []*kmsg.OffsetCommitRequest
}

func (l *commitLog) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.requests)
}

func watchCommits(e *env) *commitLog {
	l := &commitLog{}
	e.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.KeepControl()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.requests = append(l.requests, cloneCommit(req.(*kmsg.OffsetCommitRequest)))
		return nil, nil, false
	})
	return l
}

// cloneCommit: the cluster changes requests while it handles them.
func cloneCommit(req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitRequest {
	clone := *req
	clone.Topics = slices.Clone(req.Topics)
	return &clone
}

func TestCommitAfterTheInterval(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		e.produce(0, 0, 10)
		e.produce(1, 0, 10)
		commits := watchCommits(e)
		c := e.open()
		c.pollMessages(0, 10)
		c.pollMessages(1, 10)
		begin := time.Now()
		c.ack(0, 0)
		time.Sleep(time.Second)
		c.ack(0, 1)
		c.ack(1, 1) // moves no prefix
		time.Sleep(DefaultCommitInterval - 1100*time.Millisecond)
		assert.Zero(e, commits.count())
		time.Sleep(200 * time.Millisecond)
		require.Equal(e, 1, commits.count(), "%v after the first ACK", time.Since(begin))
		assert.EqualValues(e, 2, e.committed(0))
		require.Len(e, commits.requests[0].Topics, 1)
		assert.Len(e, commits.requests[0].Topics[0].Partitions, 1, "only partitions whose prefix moved")
		time.Sleep(time.Minute)
		assert.Equal(e, 1, commits.count(), "nothing to commit, no commit")
	})
}

func TestCommitAfterSoManyMessages(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		e.produce(0, 0, 700)
		e.produce(1, 0, 700)
		commits := watchCommits(e)
		c := e.open()
		c.pollMessages(0, 700)
		c.pollMessages(1, 700)
		c.ack(0, positions(0, 500)...)
		c.ack(1, positions(0, 499)...)
		time.Sleep(100 * time.Millisecond)
		assert.Zero(e, commits.count(), "999 messages of the subscription")
		c.ack(1, 499)
		time.Sleep(100 * time.Millisecond)
		assert.Equal(e, 1, commits.count(), "1,000 of them")
		assert.EqualValues(e, 500, e.committed(0))
		assert.EqualValues(e, 500, e.committed(1))
	})
}

// While a commit is under way, ACKs gather for the next one, and no other commit
// is sent.
func TestOneCommitInFlight(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 5000)
		answer := make(chan struct{})
		inFlight, most := 0, 0
		e.cluster.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
			e.cluster.KeepControl()
			inFlight++
			most = max(most, inFlight)
			e.cluster.SleepControl(func() { <-answer })
			inFlight--
			return nil, nil, false
		})
		c := e.open(withWindow(10_000))
		c.pollMessages(0, 5000)
		for i := range uint64(5) {
			c.ack(0, positions(1000*i, 1000*(i+1))...)
			time.Sleep(100 * time.Millisecond)
		}
		answer <- struct{}{}
		time.Sleep(100 * time.Millisecond)
		assert.EqualValues(e, 1000, e.committed(0))
		answer <- struct{}{}
		time.Sleep(100 * time.Millisecond)
		assert.EqualValues(e, 5000, e.committed(0), "the next one covers everything ACKed meanwhile")
		assert.Equal(e, 1, most)
		close(answer)
	})
}

func TestCommitsAreRetriedAndTroubleIsTold(t *testing.T) {
	for _, fault := range []*kerr.Error{
		kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.RebalanceInProgress,
		kerr.UnknownServerError, kerr.RequestTimedOut, kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed,
	} {
		t.Run(fault.Message, func(t *testing.T) {
			inBubble(t, 1, func(e *env) {
				e.produce(0, 0, 10)
				c := e.open()
				c.pollMessages(0, 10)
				handle := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: fault, Count: -1})
				c.ack(0, 0, 1, 2)
				c.pollFor(DefaultCommitInterval)
				begin := time.Now() // of the first attempt
				c.pollUntil("trouble is told", func() bool { return len(eventsOf[broker.EventAckTrouble](c)) > 0 })
				assert.Less(e, time.Since(begin), 10*time.Second)
				c.pollFor(time.Minute)
				assert.GreaterOrEqual(e, len(eventsOf[broker.EventAckTrouble](c)), 6, "at least every 10 s")
				assert.Empty(e, eventsOf[broker.EventAckRecovered](c))
				e.produce(0, 10, 5)
				c.pollMessages(0, 15) // delivery goes on
				c.ack(0, 3)

				handle.Remove()
				c.pollUntil("recovered", func() bool { return len(eventsOf[broker.EventAckRecovered](c)) == 1 })
				assert.EqualValues(e, 4, e.committed(0))
				told := len(eventsOf[broker.EventAckTrouble](c))
				c.pollFor(time.Minute)
				assert.Len(e, eventsOf[broker.EventAckTrouble](c), told)
				assert.Len(e, eventsOf[broker.EventAckRecovered](c), 1)
				assert.Zero(e, c.errs, "messages could be received all the time")
			})
		})
	}
}

func TestShortCommitTroubleIsNotTold(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open()
		c.pollMessages(0, 10)
		e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.NotCoordinator, Count: 2})
		c.ack(0, 0, 1, 2)
		c.pollFor(time.Minute)
		assert.EqualValues(e, 3, e.committed(0))
		assert.Empty(e, eventsOf[broker.EventAckTrouble](c))
		assert.Empty(e, eventsOf[broker.EventAckRecovered](c))
	})
}

func TestCommitsFollowTheCoordinator(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 100)
		c := e.open()
		c.pollMessages(0, 100)
		for i := range uint64(20) {
			e.cluster.RehashCoordinators()
			c.ack(0, i)
			c.pollFor(2 * DefaultCommitInterval)
			assert.EqualValues(e, i+1, e.committed(0))
		}
	}, kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094))
}

// A commit whose answer doesn't come is carried out much later, after a newer
// one: Kafka must refuse it then.
func TestLateCommitTakesNothingBack(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		var lost *kmsg.OffsetCommitRequest
		e.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			lost = cloneCommit(req.(*kmsg.OffsetCommitRequest))
			return nil, nil, true // no answer, ever
		})
		c := e.open()
		c.pollMessages(0, 10)
		c.ack(0, 0, 1, 2)
		c.pollUntil("trouble is told", func() bool { return len(eventsOf[broker.EventAckTrouble](c)) > 0 })
		c.ack(0, 3, 4)
		c.pollUntil("recovered", func() bool { return len(eventsOf[broker.EventAckRecovered](c)) > 0 })
		require.EqualValues(e, 5, e.committed(0))
		assert.Equal(e, []int32{0}, c.assigned)
		assert.Empty(e, eventsOf[broker.EventLost](c), "the partition stays")

		resp, err := lost.RequestWith(e.Context(), e.client)
		require.NoError(e, err)
		assert.Equal(e, kerr.IllegalGeneration.Code, resp.Topics[0].Partitions[0].ErrorCode)
		assert.EqualValues(e, 5, e.committed(0))
	})
}

// The same when the connection breaks instead: whatever closed it may have sent the
// commit on.
func TestLateCommitOfABrokenConnectionTakesNothingBack(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		broken := make(chan *kmsg.OffsetCommitRequest, 1)
		e.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			broken <- cloneCommit(req.(*kmsg.OffsetCommitRequest))
			return nil, errReset, true // closes the connection
		})
		c := e.open()
		c.pollMessages(0, 10)
		c.ack(0, 0, 1, 2)
		c.pollFor(DefaultCommitInterval + time.Millisecond)
		lost := <-broken
		c.ack(0, 3, 4)
		c.pollFor(3 * DefaultCommitInterval)
		require.EqualValues(e, 5, e.committed(0))
		assert.Empty(e, eventsOf[broker.EventAckTrouble](c), "it was short")
		assert.Empty(e, eventsOf[broker.EventLost](c), "the partition stays")

		resp, err := lost.RequestWith(e.Context(), e.client)
		require.NoError(e, err)
		assert.Equal(e, kerr.IllegalGeneration.Code, resp.Topics[0].Partitions[0].ErrorCode)
		assert.EqualValues(e, 5, e.committed(0))
	})
}

func TestUnknownMemberRejoins(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open()
		c.pollMessages(0, 10)
		e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.UnknownMemberID})
		c.ack(0, 0, 1, 2)
		c.pollFor(3 * DefaultCommitInterval)
		assert.EqualValues(e, 3, e.committed(0))
	})
}

// A commit has the leader epoch of the message at its position, or of the last
// one before it, so that a log that is cut off shows and one that isn't doesn't.
func TestCommitsCarryLeaderEpochs(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		c := e.open()
		var epochs []int32
		for i := range 4 {
			require.NoError(e, e.cluster.MoveTopicPartition(testTopic, 0, int32((i+1)%2)))
			epochs = append(epochs, e.cluster.PartitionInfo(testTopic, 0).Epoch)
			e.produce(0, 2*i, 2)
		}
		require.NotEqual(e, epochs[0], epochs[1])
		c.pollMessages(0, 8)
		for i := range uint64(8) {
			c.ack(0, i)
			c.pollFor(2 * DefaultCommitInterval)
			offsets, err := e.admin.FetchOffsets(e.Context(), "billing")
			require.NoError(e, err)
			o, _ := offsets.Lookup(testTopic, 0)
			assert.EqualValues(e, i+1, o.At)
			assert.Equal(e, epochs[min(i+1, 7)/2], o.LeaderEpoch, "at %d", o.At)
		}
		c.close()
		e.produce(0, 8, 2)
		c = e.open()
		c.pollMessages(0, 2)
		assert.Equal(e, numbers(8, 2), values(c.messages[0]))
		assert.Empty(e, eventsOf[broker.EventLost](c))
	}, kfake.NumBrokers(2), kfake.Ports(9092, 9093))
}
