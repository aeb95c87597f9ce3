package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The defaults of Options.
const (
	DefaultCommitInterval = 5 * time.Second
	DefaultCommitMessages = 1000
	DefaultSessionTimeout = 15 * time.Second
	DefaultMaxFetchBytes  = 64 << 20
)

// Options configure the Kafka backend. The zero value of every field but
// Brokers means its default.
type Options struct {
	// Brokers are the addresses to reach the Kafka cluster by, "host:port" each.
	// Any of them leads to all brokers of the cluster. Required.
	Brokers []string
	// CommitInterval is how long ACKs may wait for their commit. Default: 5 s.
	CommitInterval time.Duration
	// CommitMessages is how many ACKed messages of a subscription make it commit
	// before CommitInterval is over. Default: 1,000.
	CommitMessages int
	// SessionTimeout is how long the partitions of a consumer that vanished without
	// a word wait until Kafka gives them to others. Kafka accepts 6 s to 30 min
	// unless configured otherwise. Default: 15 s.
	SessionTimeout time.Duration
	// MaxFetchBytes is how many bytes all consumers together may have fetched and not
	// yet handed out, as Kafka sends them (compressed, if they are). Consumers wait in
	// line when there is more; an answer of Kafka's that is larger gets through alone.
	// Default: 64 MiB.
	MaxFetchBytes int64
	// CreateTopics creates a topic that doesn't exist when it is produced to or
	// subscribed to, with the number of partitions and replicas that the Kafka
	// cluster has as its defaults. Default: such a topic is an error.
	CreateTopics bool
	// Logger receives what an operator should know, and never a message's content.
	// Default: nothing is logged.
	Logger *slog.Logger
	// ClientOptions are given to every Kafka client, after the backend's own: how
	// to dial, TLS, SASL. They must not be options of consumer groups or
	// of transactions.
	ClientOptions []kgo.Opt
}

// withDefaults returns a copy with the defaults filled in, or an error that
// names every field that is not valid.
func (o Options) withDefaults() (Options, error) {
	o.Brokers = slices.Clone(o.Brokers)
	o.ClientOptions = slices.Clone(o.ClientOptions)
	if err := o.validate(); err != nil {
		return Options{}, err
	}
	if o.CommitInterval == 0 {
		o.CommitInterval = DefaultCommitInterval
	}
	if o.CommitMessages == 0 {
		o.CommitMessages = DefaultCommitMessages
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = DefaultSessionTimeout
	}
	if o.MaxFetchBytes == 0 {
		o.MaxFetchBytes = DefaultMaxFetchBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func (o Options) validate() error {
	var errs []error
	if len(o.Brokers) == 0 {
		errs = append(errs, errors.New("no Kafka broker is named: give at least one address, host:port"))
	}
	for _, address := range o.Brokers {
		errs = append(errs, validateAddress(address))
	}
	if o.CommitInterval < 0 {
		errs = append(errs, fmt.Errorf("the commit interval is %v: it must not be negative", o.CommitInterval))
	}
	if o.CommitMessages < 0 {
		errs = append(errs, fmt.Errorf("the number of messages to commit after is %d: it must not be negative", o.CommitMessages))
	}
	if o.SessionTimeout < 0 {
		errs = append(errs, fmt.Errorf("the session timeout is %v: it must not be negative", o.SessionTimeout))
	}
	if o.MaxFetchBytes < 0 {
		errs = append(errs, fmt.Errorf("the bytes that may be fetched at once are %d: they must not be negative", o.MaxFetchBytes))
	}
	return errors.Join(errs...)
}

func validateAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("the Kafka broker address %q is not of the form host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("the Kafka broker address %q has the port %q: it must be a number from 1 to 65535", address, port)
	}
	return nil
}
