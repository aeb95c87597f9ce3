package suite

import (
	"context"
	"errors"
	"fmt"

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
	{report.BareDirect, load.ByBareDirect},
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
				b.progress("latency at %d messages/s %-24s round %d of %d: p50 %.2f ms, p99 %.2f ms", rate, m.name, round+1, b.options.Rounds, result.P50, result.P99)
			}
		}
		latency.Finish()
		r.Latency = append(r.Latency, latency)
	}
	return nil
}

func (b *Bench) latencySpec(rate int, means load.Means) load.LatencySpec {
	seconds := latencySeconds * b.part()
	return load.LatencySpec{
		Means: means, Kafka: b.kafka.brokers, Topic: b.newName(), Subscription: b.newName(), ValueBytes: latencyBytes,
		Rate: rate, Warmup: latencyWarmup * rate, Messages: max(int(seconds*float64(rate)), 100), Timeout: loadTimeout,
	}
}

// latency measures with a topic, and a server if there is one, that nobody used before.
func (b *Bench) latency(ctx context.Context, spec load.LatencySpec) (result load.LatencyResult, err error) {
	if err := b.kafka.createTopic(ctx, spec.Topic, latencyPartitions); err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, b.kafka.deleteTopic(ctx, spec.Topic)) }()
	which := proxyServer
	switch spec.Means {
	case load.ByDirect:
		return role.Latency(ctx, spec)
	case load.ByBareDirect:
		which = bareServer
	}
	server, err := b.start(ctx, which, spec.ValueBytes)
	if err != nil {
		return result, err
	}
	spec.Target = server.Address
	result, err = role.Latency(ctx, spec)
	return result, errors.Join(err, server.Check(), server.Stop())
}
