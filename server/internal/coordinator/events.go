package coordinator

import (
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// ClientID names one stream of one client. Numbers begin at 1 and are never used
// again.
type ClientID uint64

// Spec is what all clients of a subscription must agree on.
type Spec struct {
	// Topics are sorted and without repetitions.
	Topics []string
	Start  broker.StartPosition
}

// Event is something that happened. It is one of the types of this file.
type Event interface{ isEvent() }

// Tick says that time has passed since the last Tick. The clocks advance by at
// most a second, however long it was: time that the process didn't see is not
// held against clients.
type Tick struct{ Elapsed time.Duration }

// Join says that a client subscribed.
type Join struct {
	Client ClientID
	Spec   Spec
	// MaxUnackedMessages is what the client asks for, or 0 for the server's limit.
	MaxUnackedMessages int
	// AckTimeout is what the client asks for, or 0 for the server's default.
	AckTimeout time.Duration
}

// Ack says that a client is done with messages.
type Ack struct {
	Client ClientID
	// IDs[i] is the message that Texts[i] names. Its topic is empty if Texts[i]
	// names no message.
	IDs   []broker.MessageID
	Texts []string
}

// Leave says that a client wants no more messages.
type Leave struct{ Client ClientID }

// Gone says that a client's stream has ended, or that the client has half-closed.
type Gone struct{ Client ClientID }

// Reject says that a client broke the protocol and gets Err as its end.
type Reject struct {
	Client ClientID
	Err    *messageproxyv1.Error
}

// Opened says that the consumer that OpenConsumer asked for is there.
type Opened struct{}

// OpenFailed says that it can't be had now.
type OpenFailed struct{ Err error }

// Polled is what the consumer reported.
type Polled struct{ Events broker.Events }

// PollFailed says that messages can't be received now.
type PollFailed struct{ Err error }

// PollRecovered says that they can again.
type PollRecovered struct{}

// Closed says that the consumer that CloseConsumer named has closed.
type Closed struct{}

// MemoryPressure says whether the messages that the server holds come near its
// budget, or reach it.
type MemoryPressure struct {
	Over bool
	// FairShare is what a partition may hold, in bytes, while Over.
	FairShare int64
	// Full: there is no room for anybody, so nothing is fetched. It implies Over.
	Full bool
}

// Drain says that the server shuts down.
type Drain struct{}

// DrainTimeout says that the server waits no longer for ACKs.
type DrainTimeout struct{}

func (Tick) isEvent()           {}
func (Join) isEvent()           {}
func (Ack) isEvent()            {}
func (Leave) isEvent()          {}
func (Gone) isEvent()           {}
func (Reject) isEvent()         {}
func (Opened) isEvent()         {}
func (OpenFailed) isEvent()     {}
func (Polled) isEvent()         {}
func (PollFailed) isEvent()     {}
func (PollRecovered) isEvent()  {}
func (Closed) isEvent()         {}
func (MemoryPressure) isEvent() {}
func (Drain) isEvent()          {}
func (DrainTimeout) isEvent()   {}
