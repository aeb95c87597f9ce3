// Package kafkadev starts an embedded Kafka for development and for trying
// things out: kfake, the in-process Kafka of franz-go's author. It is one broker
// that speaks Kafka's protocol on a TCP port, so Kafka's own tools work with it
// too. It is not for production: it has no replicas, and acknowledged messages
// may be lost when the machine (rather than the process) crashes.
package kafkadev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// The defaults of Options.
const (
	DefaultListen         = "127.0.0.1:0"
	DefaultPartitions     = 8
	DefaultPartitionBytes = 64 << 20
	// DefaultPartitionBytesOnDisk is the default with a DataDir.
	DefaultPartitionBytesOnDisk = 1 << 30
)

// maxMessageBytes is what a topic takes in one batch unless it is configured
// otherwise: enough for the largest message that the proxy takes by default.
const maxMessageBytes = 32 << 20

// retentionInterval is how often old messages are deleted.
const retentionInterval = time.Minute

// Options configure Start. The zero value is fine.
type Options struct {
	// DataDir is the folder that keeps topics, messages and positions. It is made
	// if it doesn't exist, and locked: one Cluster at a time can use it. Default:
	// nothing is kept.
	DataDir string
	// Listen is the address to listen on, "host:port", which clients are told too;
	// so the host must not be 0.0.0.0 or [::]. Port 0 takes any free port. Whoever
	// can reach the address can read and write everything. Default:
	// "127.0.0.1:0".
	Listen string
	// DefaultPartitions is how many partitions a topic gets that is created without
	// saying how many, as on first use. Default: 8.
	DefaultPartitions int
	// PartitionBytes is how much a partition may hold: within a minute the oldest
	// messages above it are deleted, and so are those older than 7 days, unless the
	// topic is configured otherwise. Default: 64 MiB, and 1 GiB with a DataDir.
	PartitionBytes int64
	// Logger receives what goes wrong inside. Default: nothing is logged.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Listen == "" {
		o.Listen = DefaultListen
	}
	if o.DefaultPartitions == 0 {
		o.DefaultPartitions = DefaultPartitions
	}
	if o.PartitionBytes == 0 && o.DataDir == "" {
		o.PartitionBytes = DefaultPartitionBytes
	}
	if o.PartitionBytes == 0 {
		o.PartitionBytes = DefaultPartitionBytesOnDisk
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, o.validate()
}

func (o Options) validate() error {
	var errs []error
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		errs = append(errs, fmt.Errorf("the listen address %q is not of the form host:port", o.Listen))
	} else if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		errs = append(errs, fmt.Errorf("the listen address %q names no host that clients could be told: use 127.0.0.1 or an address of this machine", o.Listen))
	}
	if o.DefaultPartitions < 0 {
		errs = append(errs, fmt.Errorf("the default number of partitions is %d: it must not be negative", o.DefaultPartitions))
	}
	if o.PartitionBytes < 0 {
		errs = append(errs, fmt.Errorf("the bytes that a partition may hold are %d: they must not be negative", o.PartitionBytes))
	}
	return errors.Join(errs...)
}

// Cluster is a running embedded Kafka. Its methods may be called concurrently.
type Cluster struct {
	kafka   *kfake.Cluster
	brokers []string
	lock    *dirLock // nil without a DataDir

	cancel context.CancelFunc
	wg     sync.WaitGroup
	close  func() error
}

// Start starts an embedded Kafka; it accepts connections when Start returns. An
// error names the option that is not valid, the folder that another process has
// locked, or the address that can't be listened on.
func Start(opts Options) (*Cluster, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("embedded Kafka: %w", err)
	}
	c := &Cluster{}
	if opts.DataDir != "" {
		if c.lock, err = lockDir(opts.DataDir); err != nil {
			return nil, fmt.Errorf("embedded Kafka: %w", err)
		}
	}
	if c.kafka, err = startKafka(opts); err != nil {
		return nil, errors.Join(fmt.Errorf("embedded Kafka: %w", err), c.lock.release())
	}
	c.brokers = c.kafka.ListenAddrs()
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.close = sync.OnceValue(c.shutDown)
	c.wg.Go(func() { c.deleteOldMessages(ctx) })
	return c, nil
}

func startKafka(opts Options) (*kfake.Cluster, error) {
	kopts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("messageproxy-dev"),
		kfake.AllowAutoTopicCreation(),
		kfake.DefaultNumPartitions(opts.DefaultPartitions),
		kfake.WithLogger(logger{opts.Logger}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			l, err := net.Listen(network, opts.Listen)
			if err != nil {
				return nil, fmt.Errorf("listening on %s: %w", opts.Listen, err)
			}
			return l, nil
		}),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes":   strconv.Itoa(maxMessageBytes),
			"log.retention.bytes": strconv.FormatInt(opts.PartitionBytes, 10),
		}),
	}
	if opts.DataDir != "" {
		kopts = append(kopts, kfake.DataDir(opts.DataDir))
	}
	return kfake.NewCluster(kopts...)
}

// Brokers returns the addresses to reach the cluster by.
func (c *Cluster) Brokers() []string { return append([]string(nil), c.brokers...) }

// Close stops the cluster, writes what is to be kept and unlocks the data folder.
// It may be called twice.
func (c *Cluster) Close() error { return c.close() }

func (c *Cluster) shutDown() error {
	c.cancel()
	c.wg.Wait()
	c.kafka.Close()
	return c.lock.release()
}

func (c *Cluster) deleteOldMessages(ctx context.Context) {
	ticker := time.NewTicker(retentionInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.kafka.Compact() // applies retention too
		case <-ctx.Done():
			return
		}
	}
}

// logger passes on what kfake logs; requests that it refuses are no news to
// anybody but their client.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	slogLevel := slog.LevelDebug
	if level == kfake.LogLevelError {
		slogLevel = slog.LevelError
	}
	if ctx := context.Background(); l.log.Enabled(ctx, slogLevel) && level <= kfake.LogLevelWarn {
		l.log.Log(ctx, slogLevel, fmt.Sprintf(format, args...), "component", "embedded-kafka")
	}
}
