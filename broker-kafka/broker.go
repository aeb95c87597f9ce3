package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Broker is a Kafka cluster seen through the broker contract. It keeps one Kafka
// client, for Ping, from the first Ping to Close; producers and consumers have
// their own.
type Broker struct {
	opts Options
	log  *slog.Logger
	// dial is how the options' clients dial.
	dial        dialFunc
	fetchMemory *fetchMemory
	successors  *successors

	mu     sync.Mutex
	pinger *kgo.Client // nil before the first Ping
	closed bool
}

var _ broker.Broker = (*Broker)(nil)

// New makes a Broker. It checks the options and does no I/O: whether the cluster
// can be reached shows in the first use. The error names every option that is
// not valid.
func New(opts Options) (*Broker, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	b := &Broker{opts: opts, log: opts.Logger, fetchMemory: newFetchMemory(opts.MaxFetchBytes), successors: newSuccessors()}
	if err := kgo.ValidateOpts(b.clientOptions()...); err != nil {
		return nil, fmt.Errorf("kafka: the client options contradict each other or are not valid: %w", err)
	}
	if b.dial, err = dialer(b.clientOptions()); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return b, nil
}

// Features says that the backend has everything in the contract that is optional.
func (b *Broker) Features() broker.Features {
	return broker.Features{ExplicitPartition: true, StartLatest: true, SharedSubscriptions: true}
}

// newPartitionsWithin is how soon consumers find partitions that were added to a
// topic, unless Options.ClientOptions say otherwise.
const newPartitionsWithin = time.Minute

// clientOptions are what every Kafka client of this backend is made with. What a
// producer or a consumer needs on top comes after them.
func (b *Broker) clientOptions() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(b.opts.Brokers...),
		kgo.ClientID("messageproxy"),
		kgo.WithLogger(newClientLogger(b.log)),
		// Brokers may ask clients for metrics (KIP-714); closing would wait for the last.
		kgo.DisableClientMetrics(),
		kgo.MetadataMaxAge(newPartitionsWithin),
		kgo.MetadataMinAge(time.Second),
	}
	return append(opts, b.opts.ClientOptions...)
}

// Ping asks any broker of the cluster for a sign of life: an ApiVersions request
// that is answered from memory.
func (b *Broker) Ping(ctx context.Context) error {
	cl, err := b.pingClient()
	if err != nil {
		return err
	}
	_, err = ask(ctx, cl, kmsg.NewPtrApiVersionsRequest().RequestWith)
	if err != nil {
		return mapError(err, "", broker.AnyPartition)
	}
	return nil
}

func (b *Broker) pingClient() (*kgo.Client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, broker.ErrClosed
	}
	if b.pinger == nil {
		cl, err := kgo.NewClient(b.clientOptions()...)
		if err != nil {
			return nil, mapError(err, "", broker.AnyPartition)
		}
		b.pinger = cl
	}
	return b.pinger, nil
}

// checkOpen returns ErrClosed after Close.
func (b *Broker) checkOpen() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return broker.ErrClosed
	}
	return nil
}

// Close ends the connection of Ping. Producers and consumers stay open.
func (b *Broker) Close() error {
	b.mu.Lock()
	cl := b.pinger
	b.pinger, b.closed = nil, true
	b.mu.Unlock()
	if cl != nil {
		cl.Close()
	}
	return nil
}
