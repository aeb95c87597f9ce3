package suite

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/tools/bench/bare"
	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/process"
	"github.com/messageproxy/messageproxy/tools/bench/report"
	"github.com/messageproxy/messageproxy/tools/bench/role"
)

// idleStreams are the numbers of streams; the last is the proxy's limit by default.
var idleStreams = []float64{10, 1000, 10_000}

// memoryRounds is how often memory is measured at most: it varies little.
const memoryRounds = 3

func (b *Bench) measureMemory(ctx context.Context, r *report.Report) error {
	topic := b.newName()
	if err := b.kafka.createTopic(ctx, topic, 8); err != nil {
		return err
	}
	for _, streams := range b.idleStreams() {
		for _, consumers := range []bool{true, false} {
			memory, err := b.idle(ctx, topic, streams, consumers)
			if err != nil {
				return err
			}
			r.Memory = append(r.Memory, memory)
		}
	}
	return b.kafka.deleteTopic(ctx, topic)
}

// idleStreams are the numbers of streams of this run.
func (b *Bench) idleStreams() []int {
	var scaled []int
	for _, full := range idleStreams {
		scaled = append(scaled, max(int(full*b.part()), 10))
	}
	return slices.Compact(scaled)
}

// idle measures the proxy and the bare server in turns.
func (b *Bench) idle(ctx context.Context, topic string, streams int, consumers bool) (report.Memory, error) {
	memory := report.Memory{Streams: streams, StreamsPerConnection: load.StreamsPerConnection, Path: report.Produce}
	if consumers {
		memory.Path = report.Consume
	}
	servers := map[string]func(context.Context) (*process.Server, error){
		report.Stubs: b.startProxy,
		report.Bare: func(ctx context.Context) (*process.Server, error) {
			return role.StartBare(ctx, bare.Options{Frame: Frame}) // no window: it sends nothing
		},
	}
	for range min(b.options.Rounds, memoryRounds) {
		for name, start := range servers {
			server, err := start(ctx)
			if err != nil {
				return memory, err
			}
			result, err := role.Idle(ctx, load.IdleSpec{
				Target: server.Address, PID: server.PID(), Consumers: consumers, Streams: streams,
				Topic: topic, Subscription: b.newName(), Timeout: loadTimeout,
				Step: max(time.Duration(b.part()*float64(time.Second)), 200*time.Millisecond),
			})
			if err = errors.Join(err, server.Check(), server.Stop()); err != nil {
				return memory, err
			}
			memory.Add(name, result)
			b.progress("%d idle streams, %s, %s: %d bytes each", streams, memory.Path, name, (result.Settled-result.First)/int64(max(streams-1, 1)))
		}
	}
	memory.Finish()
	return memory, nil
}
