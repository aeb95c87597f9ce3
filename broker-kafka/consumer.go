package kafka

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kgo"
)

// How the consumer works, and where to look.
//
// A consumer is one member of a Kafka consumer group, with one Kafka client of
// its own. The client does what the group protocol asks for and fetches; this
// package decides what of it is told, and commits.
//
// Goroutines (all end with Close, see shutDown):
//
//   - The pump (consumer_pump.go) polls the client, turns records into messages
//     and puts them into the queue that PollMessages empties. It also pauses what
//     is over its window, at once: see hold.
//   - The committer (consumer_commit.go) is the only one that commits. One commit
//     is in flight, ever.
//   - The monitor (consumer_monitor.go) finds out within seconds when a Kafka
//     broker that is needed doesn't answer, which the client hides.
//   - The repairer (consumer_expire.go) finds a new position for partitions whose
//     position is not in the log any more.
//   - The client's own goroutines call the callbacks of consumer_rebalance.go, one
//     at a time, and startPositions (consumer_start.go) between them.
//
// State: everything below mu belongs to mu, the partitions included. A partition
// object is one assignment: a partition that goes and comes back is another
// object, so nothing of the old assignment can leak into the new one.
//
// Lock order: gate, then mu, then the locks inside the client. Nothing that waits
// or does I/O runs under mu. Pausing and resuming in the client does neither, and
// the client holds none of its locks when it calls us.
//
// The race that the gate is for: the pump takes records of a partition from the
// client; before it has put them into the queue, the partition is lost and
// assigned again; then the old records would be delivered first in the new
// assignment, and the client, which reads again from the committed position,
// would deliver the same and earlier ones after them. The client drops what it
// has buffered before it calls back about a revoked partition (at the latest
// before it joins again, about a lost one), and fetches an assigned one only when
// that callback and startPositions have returned; so records of an old
// assignment can only be in the pump's hands. The callback for an assignment
// therefore keeps the pump out (gate.exclude): it interrupts the pump's poll,
// waits until the pump has finished with what it holds, for which the partition is
// not assigned, so that it drops it, and only then makes the partition assigned.
type consumer struct {
	opts           broker.ConsumerOptions
	commitInterval time.Duration
	commitMessages int
	log            *slog.Logger
	client         *kgo.Client
	fetched        *fetched
	maxFetchBytes  int32 // of a fetch as a whole
	successors     *successors

	// topicIDs and topicNames are each other's inverse, and never change.
	topicIDs   map[string]topicID
	topicNames map[topicID]string
	// resolvable has every partition that was ever assigned, by what the ids of its
	// messages begin with. It is replaced, never
	// changed, so that ResolveID needs no lock.
	resolvable atomic.Pointer[map[idPrefix]broker.TopicPartition]

	gate   gate
	health health

	ctx     context.Context // the consumer's lifetime, and its client's
	cancel  context.CancelFunc
	pumping context.Context // ends before ctx: Close stops delivering first
	stop    context.CancelFunc
	wg      sync.WaitGroup
	closed  chan struct{} // closed when Close has done its work

	wake       chan struct{} // for PollMessages: there is something to tell
	commitWake chan struct{} // for the committer: look at the schedule again
	repairWake chan struct{} // for the repairer: a partition needs it
	windowWake chan struct{} // for the pump: a window that it waits for is free

	mu            sync.Mutex
	partitions    map[broker.TopicPartition]*partition
	topicFailures map[string]*failure // of topics as a whole, whoever has their partitions
	awaited       []*partition        // the pump waits for their windows
	closing       bool
	closeErr      error
	queue         queue
	trouble       trouble
	commits       commits
}

// The defaults of broker.ConsumerOptions.
const (
	defaultPartitionWindow = 1000
	defaultHandoverTimeout = 10 * time.Second
)

// NewConsumer joins the subscription: see broker.Broker.
func (b *Broker) NewConsumer(ctx context.Context, opts broker.ConsumerOptions) (broker.Consumer, error) {
	if err := b.checkOpen(); err != nil {
		return nil, err
	}
	if err := checkConsumerOptions(&opts); err != nil {
		return nil, err
	}
	c := b.makeConsumer(opts)
	client, err := kgo.NewClient(append(b.clientOptions(), c.clientOptions(b)...)...)
	if err != nil {
		c.cancel()
		return nil, mapError(err, "", broker.AnyPartition)
	}
	c.client = client
	if err := c.resolveTopics(ctx, b); err != nil {
		c.shutDown()
		return nil, err
	}
	c.start()
	// Only now: the client joins the group as soon as it has topics.
	client.AddConsumeTopics(opts.Topics...)
	return c, nil
}

func checkConsumerOptions(opts *broker.ConsumerOptions) error {
	invalid := func(message string) error {
		return &broker.Error{Code: broker.CodeInvalidArgument, Partition: broker.AnyPartition, Message: message}
	}
	switch {
	case opts.Subscription == "":
		return invalid("the subscription has no name")
	case len(opts.Topics) == 0:
		return invalid("the subscription has no topics")
	case opts.PartitionWindow < 0:
		return invalid("the partition window is negative")
	case opts.Start != broker.StartEarliest && opts.Start != broker.StartLatest:
		return invalid("the start position is none that is known")
	case opts.HandoverTimeout < 0:
		return invalid("the handover timeout is negative")
	}
	if opts.PartitionWindow == 0 {
		opts.PartitionWindow = defaultPartitionWindow
	}
	if opts.HandoverTimeout == 0 {
		opts.HandoverTimeout = defaultHandoverTimeout
	}
	return nil
}

func (b *Broker) makeConsumer(opts broker.ConsumerOptions) *consumer {
	c := &consumer{
		opts:           opts,
		commitInterval: b.opts.CommitInterval,
		commitMessages: b.opts.CommitMessages,
		log:            b.log.With("subscription", opts.Subscription),
		fetched:        newFetched(b.fetchMemory),
		maxFetchBytes:  int32(min(fetchBytes, max(b.opts.MaxFetchBytes/4, fetchPartitionBytes))),
		successors:     b.successors,
		partitions:     make(map[broker.TopicPartition]*partition),
		topicFailures:  make(map[string]*failure),
		closed:         make(chan struct{}),
		wake:           make(chan struct{}, 1),
		commitWake:     make(chan struct{}, 1),
		repairWake:     make(chan struct{}, 1),
		windowWake:     make(chan struct{}, 1),
		gate:           newGate(),
		health:         newHealth(),
		commits:        commits{settled: make(chan struct{})},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.pumping, c.stop = context.WithCancel(c.ctx)
	c.resolvable.Store(&map[idPrefix]broker.TopicPartition{})
	return c
}

// What a fetch brings. A partition's share is small, since one fetch is what its
// window can be overshot by; Kafka sends a larger message all the same, alone.
const (
	fetchPartitionBytes = 256 << 10
	fetchBytes          = 16 << 20
	// fetchWait is how long Kafka holds back its answer while there is nothing to
	// send. The client has one request at a time under way to each Kafka broker: a
	// partition that is resumed while the others are idle waits until it is answered.
	fetchWait = 250 * time.Millisecond
)

// finalCommitTimeout is how long a revoked partition waits for its last commit.
const finalCommitTimeout = 5 * time.Second

// clientOptions are what the consumer needs on top of the backend's options.
func (c *consumer) clientOptions(b *Broker) []kgo.Opt {
	sessionTimeout := b.opts.SessionTimeout
	return []kgo.Opt{
		kgo.Dialer(meter(b.dial, c.fetched)),
		kgo.DialTLSConfig(nil), // is part of dial
		kgo.WithContext(c.ctx),
		kgo.WithHooks((*clientHooks)(c)),
		kgo.ConsumerGroup(c.opts.Subscription),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(sessionTimeout / 3),
		// The other members wait this long for us to give partitions up.
		kgo.RebalanceTimeout(c.opts.HandoverTimeout + finalCommitTimeout + 15*time.Second),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(c.onAssigned),
		kgo.OnPartitionsRevoked(c.onRevoked),
		kgo.OnPartitionsLost(c.onLost),
		kgo.OnOffsetsFetched(c.onOffsetsFetched),
		kgo.AdjustFetchOffsetsFn(c.startPositions),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxPartitionBytes(fetchPartitionBytes),
		kgo.FetchMaxBytes(c.maxFetchBytes),
		kgo.FetchMaxWait(fetchWait),
		// Control records are not delivered, but a position can be behind them.
		kgo.KeepControlRecords(),
		kgo.KeepRetryableFetchErrors(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		// A position that is not in the log is for the repairer, never passed over.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	}
}

func (c *consumer) resolveTopics(ctx context.Context, b *Broker) error {
	ids, err := b.ensureTopics(ctx, c.client, c.opts.Topics)
	if err != nil {
		return err
	}
	c.topicIDs, c.topicNames = ids, make(map[topicID]string, len(ids))
	for name, id := range ids {
		if id == (topicID{}) {
			return &broker.Error{
				Code: broker.CodeUnsupported, Topic: name, Partition: broker.AnyPartition,
				Message: "the Kafka cluster has no topic ids; use Kafka 2.8 or newer",
			}
		}
		c.topicNames[id] = name
	}
	return nil
}

func (c *consumer) start() {
	c.wg.Go(c.pump)
	c.wg.Go(c.commitLoop)
	c.wg.Go(c.monitor)
	c.wg.Go(c.repairLoop)
}

// ResolveID: see broker.Consumer.
func (c *consumer) ResolveID(id string) (broker.MessageID, bool) {
	offset, ok := parseOffset(id)
	if !ok {
		return broker.MessageID{}, false
	}
	p, ok := (*c.resolvable.Load())[idPrefix(id[:idPartitionChars])]
	return broker.MessageID{Partition: p, Position: uint64(offset)}, ok
}

// makeResolvableLocked keeps what was there: messages of partitions that are gone
// resolve too, and their ACKs are ignored.
func (c *consumer) makeResolvableLocked(ps []*partition) {
	known := *c.resolvable.Load()
	var next map[idPrefix]broker.TopicPartition
	for _, p := range ps {
		if _, ok := known[p.ids]; ok {
			continue
		}
		if next == nil {
			next = maps.Clone(known)
		}
		next[p.ids] = p.id
	}
	if next != nil {
		c.resolvable.Store(&next)
	}
}

// Ack: see broker.Consumer.
func (c *consumer) Ack(ids ...broker.MessageID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var p *partition
	for i := range ids {
		if p == nil || p.id != ids[i].Partition {
			if p = c.partitions[ids[i].Partition]; p == nil {
				continue
			}
		}
		if p.tracker == nil || !p.tracker.Ack(int64(ids[i].Position)) {
			continue
		}
		c.commits.acked++
		if p.isHeldBack() && p.held() <= c.opts.PartitionWindow/2 {
			c.ackedToHalfLocked(p)
		}
	}
	c.scheduleCommitLocked()
}

// PausePartitions: see broker.Consumer.
func (c *consumer) PausePartitions(ids ...broker.TopicPartition) { c.setCallerPause(ids, true) }

// ResumePartitions: see broker.Consumer.
func (c *consumer) ResumePartitions(ids ...broker.TopicPartition) { c.setCallerPause(ids, false) }

func (c *consumer) setCallerPause(ids []broker.TopicPartition, paused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var changed []*partition
	for _, id := range ids {
		if p := c.partitions[id]; p != nil {
			p.pauses.set(pausedByCaller, paused)
			changed = append(changed, p)
		}
	}
	c.applyPausesLocked(changed...)
}
