package suite

import (
	"context"
	"errors"
	"fmt"

	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/process"
	"github.com/messageproxy/messageproxy/tools/bench/report"
	"github.com/messageproxy/messageproxy/tools/bench/role"
)

const (
	latencyWarmup  = 3  // seconds
	latencySeconds = 10 // that are measured
	latencyBytes   = 100
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
		latency := report.Latency{Rate: rate, ValueBytes: latencyBytes, Partitions: 8}
		for round := range b.options.Rounds {
			for turn := range latencyMeans {
				m := latencyMeans[(round+turn)%len(latencyMeans)]
				result, err := b.latency(ctx, rate, m.means)
				if err != nil {
					return fmt.Errorf("%d messages/s, %s: %w", rate, m.name, err)
				}
				latency.Add(m.name, result)
				b.progress("latency at %d messages/s %-16s round %d of %d: p50 %.2f ms, p99 %.2f ms", rate, m.name, round+1, b.options.Rounds, result.P50, result.P99)
			}
		}
		latency.Finish()
		r.Latency = append(r.Latency, latency)
	}
	return nil
}

func (b *Bench) latency(ctx context.Context, rate int, means load.Means) (load.LatencyResult, error) {
	seconds := latencySeconds * b.part()
	spec := load.LatencySpec{
		Means: means, Kafka: b.kafka.brokers, Topic: b.newName(), Subscription: b.newName(), ValueBytes: latencyBytes,
		Rate: rate, Warmup: latencyWarmup * rate, Messages: max(int(seconds*float64(rate)), 100), Timeout: loadTimeout,
	}
	if err := b.kafka.createTopic(ctx, spec.Topic, 8); err != nil {
		return load.LatencyResult{}, err
	}
	var server *process.Server
	if means != load.ByDirect {
		var err error
		if server, err = b.startProxy(ctx); err != nil {
			return load.LatencyResult{}, err
		}
		spec.Target = server.Address
	}
	result, err := role.Latency(ctx, spec)
	if server != nil {
		err = errors.Join(err, server.Check(), server.Stop())
	}
	return result, errors.Join(err, b.kafka.deleteTopic(ctx, spec.Topic))
}
