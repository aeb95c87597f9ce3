package coordinator

import (
	"slices"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/sharding"
)

// Config holds the figures of a subscription. All must be positive.
type Config struct {
	// Subscription is the name, for error messages.
	Subscription string
	// MaxUnackedMessages and MaxUnackedBytes are what a client may hold (C2).
	MaxUnackedMessages int
	MaxUnackedBytes    int64
	// AckTimeout is how long a client may hold its oldest message (C6); a client may
	// ask for up to MaxAckTimeout.
	AckTimeout    time.Duration
	MaxAckTimeout time.Duration
}

// State is the consume side of one subscription. Package consume's loop owns it:
// it is not safe for concurrent use.
type State struct {
	cfg Config
	now time.Duration // the clock: the sum of all ticks

	clients map[ClientID]*client
	order   []*client // by ClientID; Invariant: the values of clients

	partitions map[broker.TopicPartition]*partition
	sorted     []*partition // by name; Invariant: the values of partitions
	attempts   attempts

	phase       phase
	spec        Spec // of the consumer, unless phase is idle
	reopenAt    time.Duration
	reopenDelay time.Duration

	consumeTrouble trouble
	ackTrouble     trouble

	ring *sharding.Ring

	draining bool
	// drainOver: the drain timeout is over.
	drainOver bool

	memory MemoryPressure
	bytes  int64 // Invariant: the sum of the partitions' backlog.bytes
	// messages are those that are not ACKed.
	// Invariant: the sum of the partitions' backlog.held().
	messages int

	// ownershipDirty: clients or partitions have changed since the last sharing out.
	ownershipDirty bool
	// ready are the clients to whom something may be deliverable, each once.
	ready []*client
	// nextTimeout is not after the first time at which a client can be stuck.
	nextTimeout time.Duration

	// acks are those since the last Settle; Invariant: acks[:handedOn] are in effects.
	acks     []broker.MessageID
	handedOn int
	effects  []Effect
	// settled: effects were returned, and are done with at the next call.
	settled bool
}

// client is one stream. It is in State.clients from Join to End.
type client struct {
	id   ClientID
	spec Spec

	maxUnacked int
	ackTimeout time.Duration

	accepted   bool    // told that it is subscribed
	early      NotHeld // of ACKs that came before it was
	left       bool    // wants no more messages; owns nothing
	told       bool    // was told an assignment
	owned      int     // number of partitions owned
	unacked    int     // Invariant: the sum of backlog.inFlight of the partitions held
	bytes      int64
	assignment []broker.TopicPartition // as told
	// shareChanged: a partition has come or gone since then. Invariant: only of clients
	// that are accepted.
	shareChanged bool

	queue   queue // Invariant after Settle, unless draining: owned and deliverable
	isReady bool  // in State.ready

	spans []span // what it was handed, in order; the first may be partly ACKed
	// oldestSince is when spans[0].from became the oldest unACKed message.
	oldestSince time.Duration
}

// partition is one assigned partition.
type partition struct {
	broker.TopicPartition
	backlog

	// owner gets the messages that wait; nil if nobody can.
	owner *client
	// holder has messages in flight; Invariant: nil if and only if inFlight == 0.
	holder *client
	// queuedFor is the client in whose queue the partition is, or nil.
	queuedFor            *client
	nextInQ, previousInQ *partition

	revoking bool // leaving for another server; Invariant: then nothing waits
	gone     bool // no longer in State.partitions
	paused   bool // for the memory budget
}

// span is a run of numbers of a partition's backlog.
type span struct {
	partition *partition
	from, to  uint64
}

// New returns the state of a subscription that nobody has joined.
func New(cfg Config) *State {
	return &State{
		cfg:            cfg,
		clients:        make(map[ClientID]*client),
		partitions:     make(map[broker.TopicPartition]*partition),
		attempts:       make(attempts),
		consumeTrouble: trouble{code: messageproxyv1.ErrorCode_ERROR_CODE_CONSUME_FAILED},
		ackTrouble:     trouble{code: messageproxyv1.ErrorCode_ERROR_CODE_ACK_FAILED},
		ring:           sharding.NewRing(),
		nextTimeout:    never,
	}
}

// never is a time that doesn't come.
const never = time.Duration(1<<63 - 1)

// Step takes an event. Feed a Tick before the events of a moment, and call Settle
// after them.
func (s *State) Step(event Event) {
	s.forgetEffects()
	switch e := event.(type) {
	case Tick:
		s.tick(e)
	case Join:
		s.join(e)
	case Ack:
		s.ack(e)
	case Leave:
		s.leave(e)
	case Gone:
		s.end(e.Client, nil)
	case Reject:
		s.end(e.Client, e.Err)
	case Opened:
		s.opened()
	case OpenFailed:
		s.openFailed(e)
	case Polled:
		s.polled(e)
	case PollFailed:
		s.pollFailed(e)
	case PollRecovered:
		s.pollRecovered()
	case Closed:
		s.closed()
	case MemoryPressure:
		s.memoryPressure(e)
	case Drain:
		s.drain()
	case DrainTimeout:
		s.drainOver = true
	}
}

// Settle draws the conclusions from the events since the last call and returns
// what is to be done. The result is valid until the next Step or Settle.
func (s *State) Settle() []Effect {
	s.forgetEffects()
	s.endDrained()
	s.reviewConsumer()
	if s.ownershipDirty {
		s.shareOut()
	}
	s.deliverAll()
	s.flushAcks()
	s.settled = true
	return s.effects
}

// forgetEffects makes room for the next ones, if the last ones are done with.
func (s *State) forgetEffects() {
	if !s.settled {
		return
	}
	clear(s.effects) // they refer to messages
	s.effects = s.effects[:0]
	s.acks, s.handedOn = s.acks[:0], 0
	s.settled = false
}

// Idle reports whether nobody is connected and nothing is open: the state can be
// forgotten.
func (s *State) Idle() bool { return len(s.clients) == 0 && s.phase == idle }

// Bytes is the size of all messages that the state holds.
func (s *State) Bytes() int64 { return s.bytes }

// Messages is how many these are.
func (s *State) Messages() int { return s.messages }

// Partitions is how many partitions are assigned.
func (s *State) Partitions() int { return len(s.partitions) }

// Wake is how long it may take until the next Tick, or a negative duration if none
// is needed.
func (s *State) Wake() time.Duration {
	next := s.nextTimeout
	if s.phase == waiting {
		next = min(next, s.reopenAt)
	}
	next = min(next, s.consumeTrouble.repeatAt(), s.ackTrouble.repeatAt())
	if next == never {
		return -1
	}
	// Well below maxTick, which is as far as the clock advances at once.
	return min(max(next-s.now, 0), maxTick/2)
}

func (s *State) emit(e Effect) { s.effects = append(s.effects, e) }

func (s *State) addPartition(name broker.TopicPartition) {
	if _, ok := s.partitions[name]; ok {
		return
	}
	p := &partition{TopicPartition: name}
	s.partitions[name] = p
	i, _ := slices.BinarySearchFunc(s.sorted, name, comparePartition)
	s.sorted = slices.Insert(s.sorted, i, p)
	s.ownershipDirty = true
	s.reviewPause(p)
}

func comparePartition(p *partition, name broker.TopicPartition) int {
	return p.Compare(name)
}
