package kafka

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// session is one Kafka client of a producer. Almost always there is only one. A
// topic moves to a new session where the client library can't go on with it in
// the old one: its limits changed, it was deleted and made anew, or the session's
// producer id is beyond repair. It moves when everything sent in the old session
// is answered, so order is kept, and it never moves back: a producer id numbers a
// partition's batches, and beginning again would make brokers take new messages
// for repetitions of old ones.
type session struct {
	cl     *kgo.Client
	ledger *ledger
	opened time.Time

	broken     atomic.Bool // no message can be produced in this session any more
	inspecting atomic.Bool

	mu sync.Mutex
	// batchBytes has the size limit of every topic that ever was in this session.
	batchBytes map[string]int32

	// Of the keeper's goroutine alone.
	topics    int  // now in this session
	begun     bool // it has a producer id
	beginning *beginning
}

// beginning is a request for a session's producer id that is under way.
type beginning struct {
	over chan struct{} // closed when err is there
	err  error
}

func (b *Broker) newSession(maxMessageBytes int) (*session, error) {
	s := &session{ledger: newLedger(), opened: time.Now(), batchBytes: make(map[string]int32)}
	cl, err := kgo.NewClient(append(b.clientOptions(),
		kgo.Dialer(tap(b.dial, s.ledger)),
		kgo.DialTLSConfig(nil), // is part of dial
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0), // batches form while requests are under way
		// The default compression, snappy where all brokers know it, stays: it costs
		// little, and every consumer reads it.
		kgo.RecordPartitioner(manualPartitioner{}),
		kgo.ProducerBatchMaxBytesFn(s.maxBatchBytes),
		kgo.BrokerMaxWriteBytes(int32(max(defaultMaxWriteBytes, 2*maxMessageBytes))),
		// The server bounds what is outstanding; ProduceAsync never blocks.
		kgo.MaxBufferedRecords(math.MaxInt),
		kgo.MetadataMinAge(metadataPause),
		kgo.RetryBackoffFn(retryBackoff),
		kgo.UnknownTopicRetries(unknownTopicRetries),
		// A broker that starts or ends behind a load balancer or a published port closes
		// new connections at once. Messages have deadlines of their own to wait for it.
		kgo.AlwaysRetryEOF(),
		kgo.AllowIdempotentProduceCancellation(), // see outgoing.Done
	)...)
	if err != nil {
		return nil, err
	}
	s.cl = cl
	return s, nil
}

const (
	defaultMaxWriteBytes = 100 << 20
	// metadataPause is between two looks of the library's at what topics there are.
	metadataPause = 250 * time.Millisecond
	// unknownTopicRetries: a topic that one broker knew and others don't is given up
	// after this many looks.
	unknownTopicRetries = int(topicGrace / metadataPause)
)

// retryBackoff is shorter than the library's own: messages' deadlines are looked
// at when it is over.
func retryBackoff(tries int) time.Duration {
	const first, longest = 50 * time.Millisecond, time.Second
	backoff := min(first<<min(tries, 10), longest)
	return backoff/2 + rand.N(backoff/2)
}

// maxBatchBytes is called by the client library when it meets a partition.
func (s *session) maxBatchBytes(topic string) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.batchBytes[topic]; ok {
		return n
	}
	return defaultMaxBatchBytes
}

// enter lets a topic into the session, and reports whether it could: one that was
// in it before can't.
func (s *session) enter(topic string, batchBytes int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, was := s.batchBytes[topic]; was || s.broken.Load() {
		return false
	}
	s.batchBytes[topic] = batchBytes
	return true
}

// isBeyondRepair asks for the producer id, and reports whether the client library
// has given up on it.
func (s *session) isBeyondRepair(ctx context.Context) bool {
	_, _, err := s.cl.ProducerID(ctx)
	return isFinal(err)
}

// isFinal: the library doesn't ask brokers for a producer id again after an answer that
// isn't worth retrying, though the next might be good.
func isFinal(err error) bool {
	_, isKafkas := errors.AsType[*kerr.Error](err)
	return isKafkas && !kgo.IsRetryableBrokerErr(err)
}
