package coordinator

import (
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// Effect is something to carry out, in the order in which Settle returns them.
// It is one of the types of this file.
type Effect interface{ isEffect() }

// Subscribed tells a client that it is in, and within which limits.
type Subscribed struct {
	Client             ClientID
	MaxUnackedMessages int
	AckTimeout         time.Duration
}

// Deliver hands messages of one partition to a client.
type Deliver struct {
	Client     ClientID
	Partition  broker.TopicPartition
	Deliveries []Delivery
}

// Delivery is one message on its way to a client.
type Delivery = wire.Delivery

// Assignment tells a client which partitions it owns from now on.
type Assignment struct {
	Client     ClientID
	Partitions []broker.TopicPartition
}

// Withdrawn tells a client that what it holds of these partitions is leaving, or,
// if TimeLeft is 0, has left.
type Withdrawn struct {
	Client     ClientID
	Partitions []broker.TopicPartition
	TimeLeft   time.Duration
}

// Trouble tells a client what is wrong; the stream goes on.
type Trouble struct {
	Client ClientID
	Err    *messageproxyv1.Error
}

// Recovered tells a client that a trouble is over.
type Recovered struct {
	Client ClientID
	Code   messageproxyv1.ErrorCode
}

// Notice tells a client something that needs no recovery.
type Notice struct {
	Client ClientID
	Err    *messageproxyv1.Error
}

// End ends a client's stream: with OK if Err is nil, else with Err. The client is
// forgotten; no effect for it follows.
type End struct {
	Client ClientID
	Err    *messageproxyv1.Error
}

// OpenConsumer opens a consumer. Opened or OpenFailed answers.
type OpenConsumer struct{ Spec Spec }

// CloseConsumer closes the consumer, or gives up opening it. Closed answers, or
// OpenFailed if it had never opened.
type CloseConsumer struct{}

// AckMessages makes ACKs durable. IDs is valid until the next Step or
// Settle.
type AckMessages struct{ IDs []broker.MessageID }

// ReleasePartition answers the broker's wish for a partition.
type ReleasePartition struct{ Partition broker.TopicPartition }

// PausePartition stops fetching a partition.
type PausePartition struct{ Partition broker.TopicPartition }

// ResumePartition goes on fetching it.
type ResumePartition struct{ Partition broker.TopicPartition }

// ToClient is an effect that a client is to be told of.
type ToClient interface {
	Effect
	Recipient() ClientID
}

// Recipient is e.Client.
func (e Subscribed) Recipient() ClientID { return e.Client }

// Recipient is e.Client.
func (e Deliver) Recipient() ClientID { return e.Client }

// Recipient is e.Client.
func (e Assignment) Recipient() ClientID { return e.Client }

// Recipient is e.Client.
func (e Withdrawn) Recipient() ClientID { return e.Client }

// Recipient is e.Client.
func (e Trouble) Recipient() ClientID { return e.Client }

// Recipient is e.Client.
func (e Recovered) Recipient() ClientID { return e.Client }

// Recipient is e.Client.
func (e Notice) Recipient() ClientID { return e.Client }

func (Subscribed) isEffect()       {}
func (Deliver) isEffect()          {}
func (Assignment) isEffect()       {}
func (Withdrawn) isEffect()        {}
func (Trouble) isEffect()          {}
func (Recovered) isEffect()        {}
func (Notice) isEffect()           {}
func (End) isEffect()              {}
func (OpenConsumer) isEffect()     {}
func (CloseConsumer) isEffect()    {}
func (AckMessages) isEffect()      {}
func (ReleasePartition) isEffect() {}
func (PausePartition) isEffect()   {}
func (ResumePartition) isEffect()  {}
