package simulation

import (
	"time"
)

// Plan is what a simulation consists of and what happens in it. Names mean what
// they do in the steps: proxies are p1, p2; brokers b0, b1, ...; topics,
// subscriptions and clients have names of their own. A step that can't be carried
// out any more (its client has gone, its topic is deleted) does nothing, so that
// any plan remains a plan when parts of it are left out.
type Plan struct {
	// Seed is where all randomness of the world comes from: which partition a message
	// names, in which order a client ACKs. Go's scheduling stays random.
	Seed int64
	// Proxies are started at the beginning; 1 or 2. Brokers are those of the Kafka
	// cluster.
	Proxies, Brokers int
	// Lasts is how long it takes, at least, until everything is healed. Default: until
	// the last step. What a step does for a while, it does until then at most.
	Lasts         time.Duration
	Settings      Settings
	Topics        []Topic
	Subscriptions []Subscription
	// Steps in the order of their time; those of one time in the order given.
	Steps []Step
}

// Settings are those of every proxy. Zero means the proxy's default, which for
// the session timeout is 6 s here, the shortest that Kafka accepts.
type Settings struct {
	Window          int // of a client, in messages
	WindowBytes     int
	PartitionWindow int
	BufferedBytes   int // of a proxy, all partitions
	AckTimeout      time.Duration
	HandoverTimeout time.Duration
	EvictionGrace   time.Duration
	CloseTimeout    time.Duration
	CommitInterval  time.Duration
	CommitMessages  int
	SessionTimeout  time.Duration
	ProduceTimeout  time.Duration
	Outstanding     int // messages of a stream that produces
	DrainTimeout    time.Duration
}

// Topic is a topic that exists at the beginning.
type Topic struct {
	Name       string
	Partitions int
	Compacted  bool
}

// Subscription is a subscription that clients may join.
type Subscription struct {
	Name   string
	Topics []string
	Latest bool // it starts at the latest message
}

// Step is something that happens, so long after the beginning.
type Step struct {
	At     time.Duration
	Action Action
}

// Action is one of the action types of this package, as a value.
// The first field is what it happens to. Zero in any field means "not given".
type Action interface{ action() }

// ------------------------------------------------------------- producing

// Produce sends messages, all at once. A bare client opens a stream if it has none,
// an SDK client is one for all its messages.
type Produce struct {
	Client string
	SDK    bool
	Proxy  string // that a bare client connects to; default: one that runs
	Topic  string
	Count  int
	// Keys is how many different keys the messages have; 0: none have a key.
	Keys int
	// Explicit: each message names a partition.
	Explicit bool
	Size     int // bytes of each value, at least; default: a few
}

// EndProducer ends a client that produces.
type EndProducer struct {
	Client string
	How    EndOfProducer
}

// EndOfProducer is how a producer ends.
type EndOfProducer string

// The ends of producers. HalfClose of an SDK client is Flush and Close.
const (
	HalfClose   EndOfProducer = "half-close"   // and reads every result
	Cancel      EndOfProducer = "cancel"       // the stream; an SDK client is closed
	StopReading EndOfProducer = "stop-reading" // its results; bare clients only
)

// Transact produces messages in a transaction, by a Kafka client of its own, next to
// the proxy.
type Transact struct {
	Topic string
	Count int
	Abort bool
	Open  time.Duration // how long it stays open after its messages
}

// ------------------------------------------------------------- consuming

// Consume connects a client to a subscription. A client that is connected ends its
// stream first.
type Consume struct {
	Client       string
	SDK          bool
	Subscription string
	Proxy        string // that a bare client connects to; default: one that runs
	Window       int    // asked for; default: the server's
	AckTimeout   time.Duration
	Manner       Manner
	Delay        time.Duration // of the manner
	// Again: a bare client whose stream ends connects again, a second later. (An SDK
	// client always does.)
	Again bool
	// KeyWorkers of an SDK client; default: it handles by partition.
	KeyWorkers int
}

// Behave changes the manner of a client that consumes.
type Behave struct {
	Client string
	Manner Manner
	Delay  time.Duration
}

// Manner is how a client treats its messages.
type Manner string

// The manners. Those of SDK clients are of their handlers.
const (
	Fast      Manner = "fast"        // ACKs a batch when it comes; handles at once
	Slow      Manner = "slow"        // ACKs one message each Delay; handles for Delay
	Stuck     Manner = "stuck"       // ACKs nothing; handlers end with their contexts
	Shuffled  Manner = "shuffled"    // ACKs what it holds in random order, a few each Delay
	AllButOne Manner = "all-but-one" // ACKs everything but the first of each partition
	Giant     Manner = "giant"       // ACKs everything in one list each Delay, every id three times
	Foreign   Manner = "foreign"     // ACKs as Fast, and ids of other clients, old ids, no ids
	Deaf      Manner = "deaf"        // never reads; bare clients only
	Stubborn  Manner = "stubborn"    // handlers take Delay, whatever their contexts say; SDK clients only
	Failing   Manner = "failing"     // handlers fail now and then; SDK clients only
)

// EndConsumer ends a client that consumes.
type EndConsumer struct {
	Client string
	How    EndOfConsumer
}

// EndOfConsumer is how a consumer ends.
type EndOfConsumer string

// The ends of consumers. SDK clients know Stop, Cut and Vanish.
const (
	Close             EndOfConsumer = "close"      // its stream is cancelled
	Cut               EndOfConsumer = "cut"        // its connection is reset
	Vanish            EndOfConsumer = "vanish"     // its connection falls silent for good
	HalfCloseConsumer EndOfConsumer = "half-close" // and reads to the end
	Leave             EndOfConsumer = "leave"      // asks for no more, ACKs what it holds, half-closes
	Stop              EndOfConsumer = "stop"       // in good order, of an SDK client
)

// --------------------------------------------------------------- networks

// Disturb disturbs the network of a node: a client's, a proxy's to Kafka, a
// broker's.
type Disturb struct {
	Node  string
	How   Disturbance
	For   time.Duration // default: until everything heals
	Delay time.Duration // of Delayed: for each direction
	Rate  int           // of Throttled: bytes per second in each direction
}

// Disturbance is what is wrong with a network.
type Disturbance string

// The disturbances.
const (
	Reset     Disturbance = "reset"    // its connections break, once
	Refused   Disturbance = "refused"  // they break, and new ones are refused
	Stalled   Disturbance = "stalled"  // nothing passes, and nobody is told
	Delayed   Disturbance = "delayed"  // everything takes Delay longer
	Throttled Disturbance = "throttle" // few bytes pass
)

// Requests has Kafka, or the network to it, do something to requests of proxies.
type Requests struct {
	API    API
	Effect Effect
	Proxy  string        // whose; default: all
	Count  int           // how many; default: 1, with For: all
	For    time.Duration // for how long; default: until Count is reached
	Delay  time.Duration // of Late and SlowAnswer
	Error  string        // of Fail, Kafka's name for it; default: one that the request may get
}

// API is a kind of request to Kafka.
type API string

// The kinds of requests.
const (
	ProduceAPI     API = "produce"
	FetchAPI       API = "fetch"
	ListOffsets    API = "list-offsets"
	Metadata       API = "metadata"
	Commit         API = "commit"
	FetchPositions API = "fetch-positions"
	Coordinator    API = "find-coordinator"
	Join           API = "join"
	Sync           API = "sync"
	Heartbeat      API = "heartbeat"
	LeaveGroup     API = "leave-group"
	InitProducer   API = "init-producer"
)

// Effect is what becomes of a request.
type Effect string

// The effects.
const (
	Fail       Effect = "fail"        // it is answered with an error, and not carried out
	LoseAnswer Effect = "lose-answer" // it is carried out; the connection breaks before the answer
	NoAnswer   Effect = "no-answer"   // it is carried out; the connection stays silent
	SlowAnswer Effect = "slow-answer" // it is carried out; the answer comes after Delay
	Late       Effect = "late"        // it arrives after Delay, though its sender may have given up
	Break      Effect = "break"       // the connection breaks before it arrives
)

// ------------------------------------------------------------------ Kafka

// MoveLeader makes another broker the leader of a partition.
type MoveLeader struct {
	Topic     string
	Partition int
	Broker    string
}

// MoveCoordinators gives groups other coordinators.
type MoveCoordinators struct {
	// Times is how often, a second apart; default: once.
	Times int
}

// Kick has Kafka throw a proxy out of the group of a subscription.
type Kick struct {
	Proxy        string
	Subscription string
}

// Expire deletes the oldest messages of a partition, as retention does.
type Expire struct {
	Topic     string
	Partition int
	Keep      int // how many are left
}

// Compact compacts all compacted topics.
type Compact struct{}

// AddPartitions adds partitions to a topic.
type AddPartitions struct {
	Topic string
	Count int
}

// Recreate deletes a topic and creates it again after Gap.
type Recreate struct {
	Topic string
	Gap   time.Duration
}

// ---------------------------------------------------------------- proxies

// Start starts a proxy that doesn't run.
type Start struct{ Proxy string }

// Drain has a proxy shut down in good order.
type Drain struct{ Proxy string }

// Kill kills a proxy: its connections break, nothing is flushed.
type Kill struct{ Proxy string }

// Freeze stops everything between a proxy and everybody else, both ways. Its clocks
// go on, which is all that can be done in a bubble.
type Freeze struct {
	Proxy string
	For   time.Duration
}

func (Produce) action()          {}
func (EndProducer) action()      {}
func (Transact) action()         {}
func (Consume) action()          {}
func (Behave) action()           {}
func (EndConsumer) action()      {}
func (Disturb) action()          {}
func (Requests) action()         {}
func (MoveLeader) action()       {}
func (MoveCoordinators) action() {}
func (Kick) action()             {}
func (Expire) action()           {}
func (Compact) action()          {}
func (AddPartitions) action()    {}
func (Recreate) action()         {}
func (Start) action()            {}
func (Drain) action()            {}
func (Kill) action()             {}
func (Freeze) action()           {}
