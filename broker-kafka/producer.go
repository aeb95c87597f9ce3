package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The defaults of broker.ProducerOptions.
const (
	defaultProduceTimeout  = 30 * time.Second
	defaultMaxMessageBytes = 16 << 20
)

// shortestProduceTimeout is about the time that brokers take at best.
const shortestProduceTimeout = time.Millisecond

// maxMaxMessageBytes leaves room below the largest batch that the client library
// builds, 1 GiB.
const maxMaxMessageBytes = 1 << 29

// closeGrace is how long Close waits for answers that are under way.
const closeGrace = time.Second

// producer stores messages. It gives them to the client library, a session, once
// the topic is open (see topicKeeper), and classifies what comes back (see
// outcome).
//
// A message's way: ProduceAsync, producerTopic.accept, perhaps a while in its waiting,
// perhaps a while in its lane's held, pass, the library, answered, done.
type producer struct {
	log             *slog.Logger
	timeout         time.Duration
	maxMessageBytes int
	keeper          *topicKeeper
	stop            context.CancelFunc // of every message's context
	clock           *deadlines
	closing         sync.Once

	mu       sync.Mutex
	closed   bool
	accepted uint64 // how many messages there have been
	// current counts the messages accepted since the last Flush; flushed are those
	// before, in order, that are not all answered.
	current *batch
	flushed []*batch
}

// batch is the messages accepted between two calls of Flush.
type batch struct {
	open int           // accepted and not yet answered
	done chan struct{} // closed when open falls to 0 after a Flush
}

// outgoing is a message on its way. It is its record's context, and so found from
// the record.
type outgoing struct {
	context.Context // ends at the message's deadline, or when the producer is closed
	record          kgo.Record
	message         *broker.OutgoingMessage
	done            func(broker.MessageReceipt, error)
	batch           *batch
	topic           *producerTopic
	number          uint64 // in the order of ProduceAsync

	// Set when the message is given to the client library.
	info        *topicInfo
	partition   int32
	since       uint64      // of the session's ledger
	inLibrary   atomic.Bool // the library has it in its partition
	misdirected bool        // the library doesn't know the partition
}

// NewProducer opens a producer without talking to Kafka.
func (b *Broker) NewProducer(ctx context.Context, opts broker.ProducerOptions) (broker.Producer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := b.checkOpen(); err != nil {
		return nil, err
	}
	if err := checkProducerOptions(opts); err != nil {
		return nil, err
	}
	if opts.Timeout == 0 {
		opts.Timeout = defaultProduceTimeout
	}
	if opts.MaxMessageBytes == 0 {
		opts.MaxMessageBytes = defaultMaxMessageBytes
	}
	return b.newProducer(opts)
}

func checkProducerOptions(opts broker.ProducerOptions) error {
	var what string
	switch {
	case opts.Timeout < 0 || opts.Timeout > 0 && opts.Timeout < shortestProduceTimeout:
		what = fmt.Sprintf("the produce timeout is %v: it must be at least %v, or 0 for the default", opts.Timeout, shortestProduceTimeout)
	case opts.MaxMessageBytes < 0 || opts.MaxMessageBytes > maxMaxMessageBytes:
		what = fmt.Sprintf("the largest message is %d bytes: it must be from 0 to %d", opts.MaxMessageBytes, maxMaxMessageBytes)
	default:
		return nil
	}
	return &broker.Error{Code: broker.CodeInvalidArgument, Partition: broker.AnyPartition, Message: what}
}

func (b *Broker) newProducer(opts broker.ProducerOptions) (*producer, error) {
	ctx, stop := context.WithCancel(context.Background())
	p := &producer{
		log:             b.log,
		timeout:         opts.Timeout,
		maxMessageBytes: opts.MaxMessageBytes,
		stop:            stop,
		clock:           newDeadlines(ctx, opts.Timeout),
		current:         newBatch(),
	}
	keeper, err := newTopicKeeper(b, p)
	if err != nil {
		stop()
		return nil, mapError(err, "", broker.AnyPartition)
	}
	p.keeper = keeper
	keeper.start()
	return p, nil
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// ProduceAsync: see broker.Producer. It takes locks that are held for moments and
// does no I/O.
func (p *producer) ProduceAsync(message *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
	o := &outgoing{message: message, done: done}
	now := time.Now()
	if !p.admit(o, now) {
		done(broker.MessageReceipt{}, broker.ErrClosed)
		return
	}
	if err := checkMessage(message); err != nil {
		p.finish(o, broker.MessageReceipt{}, err)
		return
	}
	o.fillRecord(now)
	for {
		o.topic = p.keeper.topic(message.Topic)
		if o.topic.accept(o, now) {
			return
		}
	}
}

// admit counts a message in, and reports false if the producer is closed.
func (p *producer) admit(o *outgoing, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.accepted++
	o.number = p.accepted
	o.Context = p.clock.contextLocked(now)
	o.batch = p.current
	o.batch.open++
	return true
}

func (o *outgoing) fillRecord(now time.Time) {
	m := o.message
	o.record = kgo.Record{
		Topic: m.Topic, Partition: broker.AnyPartition, Key: m.Key, Value: m.Value, Timestamp: m.Timestamp, Context: o,
	}
	if m.Timestamp.IsZero() {
		o.record.Timestamp = now
	}
	if len(m.Headers) > 0 {
		o.record.Headers = make([]kgo.RecordHeader, len(m.Headers))
		for i, h := range m.Headers {
			o.record.Headers[i] = kgo.RecordHeader(h)
		}
	}
}

// finish answers a message and counts it out.
func (p *producer) finish(o *outgoing, receipt broker.MessageReceipt, err error) {
	o.done(receipt, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	b := o.batch
	b.open--
	if b.open > 0 || b == p.current {
		return
	}
	close(b.done)
	for i := range p.flushed {
		if p.flushed[i] == b {
			p.flushed = append(p.flushed[:i:i], p.flushed[i+1:]...)
			return
		}
	}
}

// fail answers a message that was not given to the library.
func (p *producer) fail(o *outgoing, err *broker.Error) {
	p.finish(o, broker.MessageReceipt{}, err)
}

// Flush: see broker.Producer.
func (p *producer) Flush(ctx context.Context) error {
	for _, b := range p.unanswered() {
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// unanswered begins a new batch and returns those before it.
func (p *producer) unanswered() []*batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current.open > 0 {
		p.flushed = append(p.flushed, p.current)
		p.current = newBatch()
	}
	return append([]*batch(nil), p.flushed...)
}

// Close: see broker.Producer. It gives answers that are under way a second.
func (p *producer) Close() error {
	p.closing.Do(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.stop()
		p.keeper.close()
	})
	return p.Flush(context.Background())
}

func (p *producer) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}
