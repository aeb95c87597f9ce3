package kafka

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The client library fails a message when its own bookkeeping allows it to, and
// that is not the same as knowing that the message isn't stored: an attempt whose
// answer was lost may have stored it, and so may one that the broker answered
// with "I am no longer the leader" after it had written the message down. The
// library forgets such attempts as soon as a later one is answered. The ledger
// doesn't. It follows the produce requests on their way to the brokers and back
// (see tappedConn), a few operations for each request, none for a message.

// wirePartition names a partition the way a produce request does: by the topic's
// id since version 13 of the request, by its name before.
type wirePartition struct {
	id        topicID
	name      string
	partition int32
}

// wireState is what the ledger knows of a partition. Times are of ledger.clock.
type wireState struct {
	open    int    // requests with the partition that are written and not answered
	written uint64 // when a request with the partition was last written
	doubted uint64 // when an attempt last ended that may have stored its messages without saying so
	refused uint64 // when an attempt was last answered with an error
	refusal int16  // that error's code

	writtenBefore uint64 // written, before the latest request

	waitingSince time.Time // for the next answer; meaningless unless open
	stalled      bool      // that is long ago

	// Where the topic has the brokers' clocks stamp messages: the stamps, by
	// ascending offset, that messages not yet answered may need.
	stamps []stamp
}

// stamp is the time that a broker gave to the messages of a batch.
type stamp struct {
	offset int64 // of the batch's first message
	time   time.Time
}

// ledger is what one Kafka client of a producer has written to brokers, and what
// came back. Its methods may be called concurrently.
type ledger struct {
	clock    atomic.Uint64 // ticks with every request written, answered or lost
	doubts   atomic.Uint64 // how often anything was doubted, or stalled
	stamping atomic.Bool   // whether there has ever been a stamp

	mu         sync.Mutex
	partitions map[wirePartition]*wireState
	ids        map[topicID]struct{} // of all topics written to by id
	names      map[string]struct{}  // of all topics written to by name
}

func newLedger() *ledger {
	return &ledger{
		partitions: make(map[wirePartition]*wireState), ids: make(map[topicID]struct{}), names: make(map[string]struct{}),
	}
}

// now is a time that every later event is after.
func (l *ledger) now() uint64 { return l.clock.Load() }

// begin notes that a request with these partitions is about to be written.
func (l *ledger) begin(partitions []wirePartition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tick, now := l.clock.Add(1), time.Now()
	for _, p := range partitions {
		s := l.partitions[p]
		if s == nil {
			s = &wireState{}
			l.partitions[p] = s
		}
		if s.open == 0 {
			s.waitingSince = now
		}
		s.open++
		s.writtenBefore, s.written = s.written, tick
		if p.id != (topicID{}) {
			l.ids[p.id] = struct{}{}
		} else {
			l.names[p.name] = struct{}{}
		}
	}
}

// unsent takes back the latest begin: nothing of the request was written after
// all.
func (l *ledger) unsent(partitions []wirePartition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range partitions {
		s := l.partitions[p]
		s.open--
		s.written = s.writtenBefore
	}
}

// lost notes that the answer to a request will never come.
func (l *ledger) lost(partitions []wirePartition) {
	l.end(partitions, func(*wireState, wirePartition) bool { return true })
}

// answered notes a request's answer.
func (l *ledger) answered(partitions []wirePartition, resp *kmsg.ProduceResponse) {
	answers := make(map[wirePartition]*kmsg.ProduceResponseTopicPartition, len(partitions))
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			answers[wirePartition{t.TopicID, t.Topic, p.Partition}] = p
		}
	}
	l.end(partitions, func(s *wireState, p wirePartition) bool {
		answer := answers[p]
		if answer == nil {
			return true
		}
		if answer.ErrorCode != 0 {
			s.refused, s.refusal = l.clock.Load(), answer.ErrorCode
		}
		if answer.ErrorCode == 0 && answer.LogAppendTime >= 0 {
			l.stamping.Store(true)
			s.stamps = append(s.stamps, stamp{answer.BaseOffset, time.UnixMilli(answer.LogAppendTime)})
		}
		return leavesDoubt(answer.ErrorCode)
	})
}

func (l *ledger) end(partitions []wirePartition, doubtful func(*wireState, wirePartition) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tick, now := l.clock.Add(1), time.Now()
	for _, p := range partitions {
		s := l.partitions[p]
		s.open--
		s.waitingSince, s.stalled = now, false
		if doubtful(s, p) {
			s.doubted = tick
			l.doubts.Add(1)
		}
	}
}

// standing is what the ledger can say of a message.
type standing struct {
	sent     bool  // it may have been written to a broker
	doubtful bool  // an attempt that is over may have stored it without saying so
	open     bool  // an attempt may be under way
	refusal  int16 // the code of the error that an attempt was last answered with, or 0
}

// standing says how a message of a partition stands that was accepted at the
// time since. Where the ledger can't tell partitions apart (the topic was made
// anew, and the library writes to it by another id), it errs on the side of
// doubt.
func (l *ledger) standing(id topicID, name string, partition int32, since uint64) standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clock.Load() > since && !l.knowsLocked(id, name) {
		return standing{sent: true, doubtful: true, open: true}
	}
	var st standing
	for _, p := range [...]wirePartition{{id: id, partition: partition}, {name: name, partition: partition}} {
		if s := l.partitions[p]; s != nil {
			st.sent = st.sent || s.written > since
			st.doubtful = st.doubtful || s.doubted > since
			st.open = st.open || s.open > 0
			if s.refused > since {
				st.refusal = s.refusal
			}
		}
	}
	return st
}

// knowsLocked reports whether all that was written to the topic is found by its id
// and its name.
func (l *ledger) knowsLocked(id topicID, name string) bool {
	_, byID := l.ids[id]
	_, byName := l.names[name]
	return byID || byName && len(l.ids) == 0
}

// noticeStalls looks for partitions that have waited longer than limit for an
// answer: it may never come.
func (l *ledger) noticeStalls(now time.Time, limit time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.partitions {
		if s.open > 0 && !s.stalled && now.Sub(s.waitingSince) >= limit {
			s.stalled = true
			l.doubts.Add(1)
		}
	}
}

// doubtedAt is when an answer of the partition's was last lost, or left doubt;
// stalled, whether one is overdue.
func (l *ledger) doubtedAt(id topicID, name string, partition int32) (at uint64, stalled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range [...]wirePartition{{id: id, partition: partition}, {name: name, partition: partition}} {
		if s := l.partitions[p]; s != nil {
			at, stalled = max(at, s.doubted), stalled || s.stalled
		}
	}
	return at, stalled
}

// writtenByID reports whether messages were written to the topic by this id: then
// whatever was stored in a topic of its name was stored in this one.
func (l *ledger) writtenByID(id topicID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.ids[id]
	return ok
}

// stampOf returns the time that a broker stamped a stored message with, and
// forgets those of earlier messages: answers of a partition come in order.
func (l *ledger) stampOf(id topicID, partition int32, offset int64) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.partitions[wirePartition{id: id, partition: partition}]
	if s == nil {
		return time.Time{}, false
	}
	for len(s.stamps) > 1 && s.stamps[1].offset <= offset {
		s.stamps = s.stamps[1:]
	}
	if len(s.stamps) == 0 || s.stamps[0].offset > offset {
		return time.Time{}, false
	}
	return s.stamps[0].time, true
}

// refusals are the errors by which a broker says that this attempt stored
// nothing. All others leave doubt: a broker that loses its leadership, or
// replicas, while it waits for them has written the messages down already.
var refusals = map[int16]struct{}{
	kerr.CorruptMessage.Code:              {},
	kerr.UnknownTopicOrPartition.Code:     {},
	kerr.UnknownTopicID.Code:              {},
	kerr.InconsistentTopicID.Code:         {},
	kerr.InvalidTopicException.Code:       {},
	kerr.MessageTooLarge.Code:             {},
	kerr.RecordListTooLarge.Code:          {},
	kerr.NotEnoughReplicas.Code:           {},
	kerr.InvalidRequiredAcks.Code:         {},
	kerr.TopicAuthorizationFailed.Code:    {},
	kerr.ClusterAuthorizationFailed.Code:  {},
	kerr.InvalidTimestamp.Code:            {},
	kerr.UnsupportedForMessageFormat.Code: {},
	kerr.UnsupportedCompressionType.Code:  {},
	kerr.UnsupportedVersion.Code:          {},
	kerr.PolicyViolation.Code:             {},
	kerr.InvalidRecord.Code:               {},
	kerr.OutOfOrderSequenceNumber.Code:    {},
	kerr.InvalidProducerEpoch.Code:        {},
	kerr.InvalidProducerIDMapping.Code:    {},
	kerr.UnknownProducerID.Code:           {},
	kerr.InvalidTxnState.Code:             {},
	kerr.ThrottlingQuotaExceeded.Code:     {},
}

func leavesDoubt(code int16) bool {
	_, refused := refusals[code]
	return code != 0 && !refused
}
