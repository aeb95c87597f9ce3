package membroker

import (
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// Options configure a Broker. The zero value is a broker without topics.
type Options struct {
	// Topics are created at the start: name to number of partitions.
	Topics map[string]int
	// CreateTopics creates unknown topics when they are first produced to or
	// subscribed to.
	CreateTopics bool
	// DefaultPartitions is the number of partitions of a topic created by
	// CreateTopics. Zero means 1.
	DefaultPartitions int
	// MaxMessageBytes is the largest message (key, value, headers) that the broker
	// stores. Zero means 64 MiB.
	MaxMessageBytes int
	// DiscardAcked drops messages that every subscription which has a position in
	// their partition has ACKed, so that a benchmark can run for long.
	DiscardAcked bool

	// AckDelay is how long after Ack an ACK becomes durable, if its partition isn't
	// released and the consumer isn't closed before. Zero means at once.
	AckDelay time.Duration
	// PrefixAcks keeps one position per partition, as brokers of Kafka's kind do:
	// only the longest prefix of delivered messages that are all ACKed is durable,
	// and whatever comes after it is delivered again when the partition moves. By
	// default each ACK is kept by itself.
	PrefixAcks bool

	// FetchMessages is the most messages of a partition that one poll returns. Zero
	// means 1,000.
	FetchMessages int
	// FetchBytes is the most bytes of a partition that one poll returns, if that is
	// at least one message. Zero means 1 MiB.
	FetchBytes int
	// OvershootWindow lets a fetch bring more messages than the partition's window
	// has room for, as real brokers do. By default the window is exact.
	OvershootWindow bool

	// RetryInterval is the time between two failing polls of one consumer, after
	// the first, which fails at once. Zero means 100 milliseconds.
	RetryInterval time.Duration
	// TroubleInterval is the time between two EventAckTrouble of one consumer, after
	// the first, which comes at once. Zero means 5 seconds.
	TroubleInterval time.Duration

	// Without names the features that this broker denies.
	Without broker.Features
}

func (o Options) withDefaults() Options {
	setDefault(&o.DefaultPartitions, 1)
	setDefault(&o.MaxMessageBytes, 64<<20)
	setDefault(&o.FetchMessages, 1000)
	setDefault(&o.FetchBytes, 1<<20)
	setDefault(&o.RetryInterval, 100*time.Millisecond)
	setDefault(&o.TroubleInterval, 5*time.Second)
	return o
}

func setDefault[T int | time.Duration](value *T, byDefault T) {
	if *value == 0 {
		*value = byDefault
	}
}
