package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// commitEvery is how many messages a direct consumer handles between commits: the
// proxy's default.
const commitEvery = 1000

// fill writes messages that order can check, the same number to each partition.
func fill(ctx context.Context, spec Spec, m *meter) (counts, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(spec.Kafka...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return counts{}, err
	}
	defer client.Close()
	const run = 500 // messages in a row for one partition
	values := newValues(spec.ValueBytes, 1)
	next := make([]int64, spec.Partitions)
	all := spec.Warmup + spec.Messages
	for i := range all {
		partition := int32(i / run % int64(spec.Partitions))
		value := values.indexed(next[partition])
		next[partition]++
		client.Produce(ctx, &kgo.Record{Topic: spec.Topic, Partition: partition, Value: value}, func(_ *kgo.Record, err error) {
			if err == nil {
				m.add(1)
			}
		})
	}
	err = client.Flush(ctx)
	return counts{done: m.total.Load()}, err
}

func directProduce(ctx context.Context, spec Spec, m *meter) (counts, error) {
	work, ctx := errgroup.WithContext(ctx)
	for client := range spec.Clients {
		work.Go(func() error { return directProducer(ctx, spec, client, m) })
	}
	err := work.Wait()
	return counts{done: m.total.Load()}, err
}

func directProducer(ctx context.Context, spec Spec, number int, m *meter) error {
	options := []kgo.Opt{kgo.SeedBrokers(spec.Kafka...), kgo.ProducerLinger(0)}
	if spec.Outstanding > 0 {
		options = append(options, kgo.MaxBufferedRecords(spec.Outstanding))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	values := newValues(spec.ValueBytes, uint64(number))
	var failed atomic.Pointer[error]
	records := sync.Pool{New: func() any { return new(kgo.Record) }}
	stored := func(record *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
			return
		}
		records.Put(record)
		m.add(1)
	}
	for range spec.share(number) {
		record := records.Get().(*kgo.Record)
		*record = kgo.Record{Topic: spec.Topic, Value: values.value()}
		client.Produce(ctx, record, stored) // waits while the buffer is full
		if failed.Load() != nil {
			break
		}
	}
	err = client.Flush(ctx)
	if refused := failed.Load(); refused != nil {
		err = errors.Join(fmt.Errorf("a message was not stored: %w", *refused), err)
	}
	return err
}

func directConsume(ctx context.Context, spec Spec, m *meter) (counts, error) {
	seen := newOrder(spec.Partitions, spec.ValueBytes)
	work, ctx := errgroup.WithContext(ctx)
	for range spec.Clients {
		work.Go(func() error { return directConsumer(ctx, spec, seen, m) })
	}
	err := work.Wait()
	return counts{done: m.total.Load(), repeated: seen.repeated.Load()}, err
}

// directConsumer commits as the proxy does: after so many messages, one commit at a
// time, and the next covers everything that came meanwhile.
func directConsumer(ctx context.Context, spec Spec, seen *order, m *meter) error {
	client, commits, err := joinGroup(spec.Kafka, spec.Subscription, spec.Topic)
	if err != nil {
		return err
	}
	defer client.Close()
	polling, stop := m.untilDone(ctx)
	defer stop()
	for polling.Err() == nil {
		fetches := client.PollFetches(polling)
		if fetches.Err0() != nil && polling.Err() != nil {
			break // the measurement is over, or the time is up
		}
		if err := take(fetches, seen, m); err != nil {
			return err
		}
		commits.handled(ctx, client, fetches.NumRecords())
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return commits.finish(ctx, client)
}

// joinGroup makes a client that consumes a topic from its beginning.
func joinGroup(kafka []string, group, topic string) (*kgo.Client, *directCommitter, error) {
	commits := &directCommitter{}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(kafka...),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsRevoked(commits.revoked),
	)
	return client, commits, err
}

// take looks at every message.
func take(fetches kgo.Fetches, seen *order, m *meter) error {
	var problem error
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		problem = errors.Join(problem, p.Err)
		fresh := 0
		for _, record := range p.Records {
			isNew, err := seen.see(p.Partition, record.Value)
			if err != nil {
				problem = errors.Join(problem, err)
				return
			}
			if isNew {
				fresh++
			}
		}
		m.add(fresh)
	})
	return problem
}

// directCommitter commits what was polled.
type directCommitter struct {
	pending int // messages since the last commit began
	running sync.WaitGroup
	busy    atomic.Bool
	failed  atomic.Pointer[error]
	// A commit at a time, so that none is undone by an earlier one.
	committing sync.Mutex
}

func (c *directCommitter) handled(ctx context.Context, client *kgo.Client, n int) {
	c.pending += n
	if c.pending < commitEvery || !c.busy.CompareAndSwap(false, true) {
		return
	}
	c.pending = 0
	c.running.Go(func() {
		defer c.busy.Store(false)
		c.commit(ctx, client)
	})
}

func (c *directCommitter) commit(ctx context.Context, client *kgo.Client) {
	c.committing.Lock()
	defer c.committing.Unlock()
	client.CommitOffsetsSync(ctx, client.UncommittedOffsets(), c.committed)
}

// revoked commits what was polled of partitions that move to another client, which would
// get it once more otherwise.
func (c *directCommitter) revoked(ctx context.Context, client *kgo.Client, _ map[string][]int32) {
	c.commit(ctx, client)
}

func (c *directCommitter) committed(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
	if err == nil {
		for _, topic := range response.Topics {
			for _, partition := range topic.Partitions {
				err = errors.Join(err, kerr.ErrorForCode(partition.ErrorCode))
			}
		}
	}
	if err != nil {
		c.failed.CompareAndSwap(nil, &err)
	}
}

func (c *directCommitter) finish(ctx context.Context, client *kgo.Client) error {
	c.running.Wait()
	c.commit(ctx, client)
	if problem := c.failed.Load(); problem != nil {
		return fmt.Errorf("a commit failed: %w", *problem)
	}
	return nil
}
