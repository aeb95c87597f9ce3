package suite

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/report"
	"github.com/messageproxy/messageproxy/tools/bench/role"
)

const (
	slowRate     = 1000
	slowDuration = 30 * time.Second
	slowSample   = 100 * time.Millisecond
	slowBacklog  = 500_000 // messages
)

// measureSlow has a consumer read a long backlog slowly, and looks at what the proxy
// fetches meanwhile. That is no question of speed: once is enough.
func (b *Bench) measureSlow(ctx context.Context, r *report.Report) error {
	for _, s := range []shape{{100, 8, 1}, {1024, 8, 1}, {100, 1, 1}} {
		slow, err := b.slow(ctx, s)
		if err != nil {
			return err
		}
		r.Slow = append(r.Slow, slow)
	}
	return nil
}

func (b *Bench) slow(ctx context.Context, s shape) (report.Slow, error) {
	slow := report.Slow{ValueBytes: s.valueBytes, Partitions: s.partitions, Rate: slowRate}
	topic, err := b.fill(ctx, s, max(b.scaled(slowBacklog), slowBacklog/5))
	if err != nil {
		return slow, err
	}
	proxy, err := role.StartWatched(ctx, role.WatchedOptions{Kafka: b.kafka.brokers})
	if err != nil {
		return slow, err
	}
	spec := load.SlowSpec{
		Target: proxy.Address, Topic: topic, Subscription: b.newName(), Partitions: s.partitions, ValueBytes: s.valueBytes,
		Rate: slowRate, Duration: max(time.Duration(b.part()*float64(slowDuration)), 3*time.Second),
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- b.watchOutstanding(watching, proxy, spec, &slow) }()
	result, err := role.Slow(ctx, spec)
	stop()
	err = errors.Join(err, <-watched)
	fetched, err2 := proxy.Fetched(ctx)
	if err = errors.Join(err, err2, proxy.Check(), proxy.Stop(), b.kafka.deleteTopic(ctx, topic)); err != nil {
		return slow, err
	}
	slow.Add(result, fetched.Messages, fetched.Next)
	b.progress("slow consumer of %d B messages, %d partitions: %d ACKed, %d fetched, %d different ones", s.valueBytes, s.partitions, slow.ACKed, slow.Fetched, slow.Different)
	return slow, nil
}

// watchOutstanding looks again and again how far what was fetched of each partition is
// ahead of what is committed, until ctx ends.
func (b *Bench) watchOutstanding(ctx context.Context, proxy *role.Watched, spec load.SlowSpec, slow *report.Slow) error {
	ticker := time.NewTicker(slowSample)
	defer ticker.Stop()
	for {
		fetched, err := proxy.Fetched(ctx)
		if err == nil {
			err = b.kafka.eachCommitted(ctx, spec.Subscription, spec.Topic, spec.Partitions, func(partition int32, committed int64) {
				slow.MostOutstanding = max(slow.MostOutstanding, fetched.Next[partition]-committed)
			})
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !kerr.IsRetriable(err) {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
