package suite

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/report"
	"github.com/messageproxy/messageproxy/tools/bench/role"
)

const (
	latencyWarmup  = 3  // seconds
	latencySeconds = 10 // that are measured
	latencyBytes   = 100

	latencyPartitions = 8
)

var latencyRates = []int{1000, 20_000}

// means are compared with each other.
var latencyMeans = []struct {
	name  string
	means load.Means
}{
	{report.Direct, load.ByDirect},
	{report.Stubs, load.ByStubs},
	{report.SDK, load.BySDK},
}

func (b *Bench) measureLatency(ctx context.Context, r *report.Report) error {
	for _, rate := range latencyRates {
		latency := report.Latency{Rate: rate, ValueBytes: latencyBytes, Partitions: latencyPartitions}
		for round := range b.options.Rounds {
			for turn := range latencyMeans {
				m := latencyMeans[(round+turn)%len(latencyMeans)]
				result, err := b.latency(ctx, b.latencySpec(rate, m.means))
				if err != nil {
					return fmt.Errorf("%d messages/s, %s: %w", rate, m.name, err)
				}
				latency.Add(m.name, result)
				b.progress("latency at %d messages/s %-16s round %d of %d: p50 %.2f ms, p99 %.2f ms", rate, m.name, round+1, b.options.Rounds, result.P50, result.P99)
			}
			direct, bare, err := b.beside(ctx, rate)
			if err != nil {
				return fmt.Errorf("%d messages/s, direct beside a bare stream: %w", rate, err)
			}
			latency.AddBeside(direct, bare)
			b.progress("latency at %d messages/s beside each other  round %d of %d: p50 %.2f and %.2f ms", rate, round+1, b.options.Rounds, direct.P50, bare.P50)
		}
		latency.Finish()
		r.Latency = append(r.Latency, latency)
	}
	return nil
}

// latency measures one way on a topic and a server of its own.
func (b *Bench) latency(ctx context.Context, spec load.LatencySpec) (load.LatencyResult, error) {
	switch spec.Means {
	case load.ByBare:
		return b.latencyOn(ctx, bareServer, spec)
	case load.ByDirect:
		return b.latencyOn(ctx, onlyKafka, spec)
	default:
		return b.latencyOn(ctx, proxyServer, spec)
	}
}

func (b *Bench) latencySpec(rate int, means load.Means) load.LatencySpec {
	seconds := latencySeconds * b.part()
	return load.LatencySpec{
		Means: means, Kafka: b.kafka.brokers, Topic: b.newName(), Subscription: b.newName(), ValueBytes: latencyBytes,
		Rate: rate, Warmup: latencyWarmup * rate, Messages: max(int(seconds*float64(rate)), 100), Timeout: loadTimeout,
	}
}

// latencyOn measures with a fresh server, and a topic if Kafka is in the way.
func (b *Bench) latencyOn(ctx context.Context, which servers, spec load.LatencySpec) (result load.LatencyResult, err error) {
	if which != bareServer {
		if err := b.kafka.createTopic(ctx, spec.Topic, latencyPartitions); err != nil {
			return result, err
		}
		defer func() { err = errors.Join(err, b.kafka.deleteTopic(ctx, spec.Topic)) }()
	}
	if which == onlyKafka {
		return role.Latency(ctx, spec)
	}
	server, err := b.start(ctx, which, spec.ValueBytes)
	if err != nil {
		return result, err
	}
	spec.Target = server.Address
	result, err = role.Latency(ctx, spec)
	return result, errors.Join(err, server.Check(), server.Stop())
}

// beside measures a direct client and a bare stream at the same time.
func (b *Bench) beside(ctx context.Context, rate int) (direct, bare load.LatencyResult, err error) {
	directSpec, bareSpec := b.latencySpec(rate, load.ByDirect), b.latencySpec(rate, load.ByBare)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() (err error) {
		direct, err = b.latency(ctx, directSpec)
		return err
	})
	work.Go(func() (err error) {
		bare, err = b.latency(ctx, bareSpec)
		return err
	})
	return direct, bare, work.Wait()
}
