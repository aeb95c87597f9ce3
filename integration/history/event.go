package history

import (
	"sync"
	"time"
)

// Event is something that happened: one of the types of this file.
//
// Who does something records it before doing it; who is told something records
// it when told. So an effect is never recorded before its cause: an ACK stands
// before the delivery that it allowed, and before the position that it moved.
type Event interface{ isEvent() }

// Entry is an event and when it was recorded.
type Entry struct {
	At time.Time
	Event
}

// Recorder collects events in the order in which they are recorded. Its methods
// may be called concurrently. The zero Recorder is ready to use.
type Recorder struct {
	mu      sync.Mutex
	entries []Entry
}

// Record adds events, at the current time.
func (r *Recorder) Record(events ...Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, e := range events {
		r.entries = append(r.entries, Entry{At: now, Event: e})
	}
}

// Entries returns what has been recorded so far.
func (r *Recorder) Entries() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries[:len(r.entries):len(r.entries)]
}

// Partition names a partition of one incarnation of a topic.
type Partition struct {
	// Topic is the topic's name; where a test deletes the topic and creates it
	// again, with something that tells the incarnations apart: "orders#2".
	Topic  string
	Number int32
}

// Message is a message of a partition, as it was delivered or stored.
type Message struct {
	// ID is the public id, by which it is ACKed.
	ID string
	// Position is its place in the partition: ascending, with gaps.
	Position int64
	// Token is what its producer wrote into it, unique in the history; empty if it
	// came from elsewhere.
	Token string
	// Size is that of key, value and headers, in bytes; 0: it isn't known.
	Size int
}

// Side is where something was seen. Streams may be observed at either end or at
// both: the ends see different orders, and each is checked by itself.
type Side int

// The sides.
const (
	Client Side = iota // of the stream's client: what arrives, and what is sent
	Server             // of the server: what is handed to gRPC, and what comes from it
)

// -------------------------------------------------------------- producing

// ProduceOpened says that a stream of a client to a server begins. An SDK's
// client, whose streams nobody sees, counts as one stream of its own.
type ProduceOpened struct {
	Stream string
	Server string // empty if it isn't known
}

// Produced says that a message is about to be sent.
type Produced struct {
	Stream   string
	Sequence uint64 // unique in its stream
	Topic    string
	Token    string
}

// Outcome is what became of a produced message, as its producer was told.
type Outcome int

// The outcomes.
const (
	Stored Outcome = iota + 1
	Failed         // certainly not stored
	Unknown
)

// Answered says that a produced message's result came.
type Answered struct {
	Stream    string
	Sequence  uint64
	Outcome   Outcome
	Partition Partition // if it is stored; without a topic if it isn't known in which of one name
	Position  int64     // if it is stored; -1 if it isn't known
	Why       string    // if it is not
}

// ProduceEnded says that a stream has ended.
type ProduceEnded struct {
	Stream string
	// Broken: the stream ended other than by the server answering everything, so
	// messages may be without result.
	Broken bool
	Why    string
}

// -------------------------------------------------------------- consuming

// Subscribed says that a stream of a client is part of a subscription.
type Subscribed struct {
	Side         Side
	Stream       string
	Server       string
	Subscription string
	Window       int // the number of messages that it may hold
	AckTimeout   time.Duration
	// Client is the name that the client gives itself. It tells streams of the SDK's
	// clients by Consuming.Name.
	Client string
}

// Delivered says that a stream got messages of one partition.
type Delivered struct {
	Side      Side
	Stream    string
	Partition Partition
	Messages  []Message
}

// Acked says that a stream's client ACKs messages, whether or not it holds them.
type Acked struct {
	Side   Side
	Stream string
	IDs    []string
}

// NotHeld says that ACKs of these messages were refused.
type NotHeld struct {
	Side   Side
	Stream string
	IDs    []string
}

// Withdrawn says that what a stream holds of partitions goes to another server,
// within TimeLeft, or has gone if that is zero.
type Withdrawn struct {
	Side       Side
	Stream     string
	Partitions []Partition
	TimeLeft   time.Duration
}

// Left says that a client asks for no more messages.
type Left struct {
	Side   Side
	Stream string
}

// ConsumeEnded says that a stream has ended: its client went, or was thrown out.
type ConsumeEnded struct {
	Side   Side
	Stream string
	Code   string // the terminal error's, such as "ACK_TIMEOUT"; empty without one
}

// ExpiryTold says that a stream was told MESSAGES_EXPIRED.
type ExpiryTold struct {
	Side   Side
	Stream string
}

// DrainTold says that a stream was told SHUTTING_DOWN, as a notice: it goes on, and
// gets no more messages.
type DrainTold struct {
	Side   Side
	Stream string
}

// Sent says that the last send on a stream, of what a server's stream recorded
// last, has returned. It is needed only of sends that took time, because the client
// doesn't read: what a server records after it was decided while the send waited.
type Sent struct {
	Stream string
}

// Consuming says that a call of an SDK's Consume begins.
type Consuming struct {
	Client       string // as in Handling
	Subscription string
	// Name is what the client calls itself in its streams. It may be empty, and is if
	// several calls of one client consume at once: then it isn't known which streams
	// are whose.
	Name string
	// ByKey: messages are handled in the order of their keys, so several of a
	// partition at once.
	ByKey bool
}

// Handling says that an SDK's handler is called with a message.
type Handling struct {
	Client    string // one call of Consume
	Partition Partition
	Message   Message
}

// Handled says that such a call has returned.
type Handled struct {
	Client    string
	Partition Partition
	Message   Message
	// OK: the message will be ACKed, because the handler returned no error or because
	// it is to be skipped.
	OK bool
}

// ---------------------------------------------------------------- servers

// Gained says that the broker gave a server partitions of a subscription.
type Gained struct {
	Server       string
	Subscription string
	Partitions   []Partition
}

// Lost says that a server doesn't have partitions any more.
type Lost struct {
	Server       string
	Subscription string
	Partitions   []Partition
}

// Fetched says that a server has fetched messages of a partition that it has.
type Fetched struct {
	Server       string
	Subscription string
	Partition    Partition
	Messages     []Message
}

// Draining says that a server was asked to shut down in good order.
type Draining struct{ Server string }

// Stopped says that a server is gone, killed or after a drain: it has no
// streams and no partitions from now on.
type Stopped struct{ Server string }

// ----------------------------------------------------------------- broker

// NoPosition is the position of a subscription that has none in a partition.
const NoPosition = -1

// PositionRead says where a subscription durably stood: what is below Position
// is done with.
type PositionRead struct {
	Subscription string
	Partition    Partition
	Position     int64 // or NoPosition
}

// Expired says that the broker is about to delete the messages of a partition
// below a position, whoever has had them or not.
type Expired struct {
	Partition Partition
	Before    int64
}

// Added says that a topic is about to get partitions, numbered from From on.
type Added struct {
	Topic string
	From  int32
}

// Deleted says that a topic, of one incarnation, is about to be deleted.
type Deleted struct{ Topic string }

// Healed says that nothing disturbs the proxy any more: no fault from here on.
type Healed struct{}

// Calm says that from here on nothing disturbs servers and the broker, until
// Disturbed says that something does. Clients may do what they like. Then less is
// forgiven: what was done isn't done again, and nothing fails.
type Calm struct {
	// ProduceTimeout is how long the broker, which may be slow, has for a message.
	ProduceTimeout time.Duration
}

// Disturbed says that servers or the broker are about to be disturbed.
type Disturbed struct{}

// Expected says that from here to the end of the history a subscription has clients
// that ACK what they get, so that everything in these partitions must be done with
// when the history has settled. Without any Expected, that is so of every subscription
// and of all partitions of the topics of which it has read something.
type Expected struct {
	Subscription string
	Partitions   []Partition
}

// Log is a partition as it was in the end: everything that a consumer can read.
type Log struct {
	Partition Partition
	Messages  []Message // by position
	// Compacted: messages may be missing in between, because newer ones of their
	// keys replaced them.
	Compacted bool
}

func (ProduceOpened) isEvent() {}
func (Produced) isEvent()      {}
func (Answered) isEvent()      {}
func (ProduceEnded) isEvent()  {}
func (Subscribed) isEvent()    {}
func (Delivered) isEvent()     {}
func (Acked) isEvent()         {}
func (NotHeld) isEvent()       {}
func (Withdrawn) isEvent()     {}
func (Left) isEvent()          {}
func (ConsumeEnded) isEvent()  {}
func (ExpiryTold) isEvent()    {}
func (DrainTold) isEvent()     {}
func (Sent) isEvent()          {}
func (Consuming) isEvent()     {}
func (Handling) isEvent()      {}
func (Handled) isEvent()       {}
func (Gained) isEvent()        {}
func (Lost) isEvent()          {}
func (Fetched) isEvent()       {}
func (Draining) isEvent()      {}
func (Stopped) isEvent()       {}
func (PositionRead) isEvent()  {}
func (Expired) isEvent()       {}
func (Added) isEvent()         {}
func (Deleted) isEvent()       {}
func (Healed) isEvent()        {}
func (Calm) isEvent()          {}
func (Disturbed) isEvent()     {}
func (Expected) isEvent()      {}
func (Log) isEvent()           {}
