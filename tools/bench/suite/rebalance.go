package suite

import (
	"context"
	"errors"

	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/report"
	"github.com/messageproxy/messageproxy/tools/bench/role"
)

const (
	rebalanceClients    = 1000
	rebalancePartitions = 10_000
	rebalanceLeavers    = 10
)

func (b *Bench) measureRebalance(ctx context.Context, r *report.Report) error {
	scale := b.part()
	spec := load.RebalanceSpec{
		Kafka: b.kafka.brokers, Topic: b.newName(), Timeout: loadTimeout,
		Clients:    max(int(rebalanceClients*scale), 2*rebalanceLeavers),
		Partitions: max(int(rebalancePartitions*scale), 20*rebalanceLeavers),
		Leavers:    rebalanceLeavers,
	}
	b.progress("creating %d partitions", spec.Partitions)
	if err := b.kafka.createTopic(ctx, spec.Topic, spec.Partitions); err != nil {
		return err
	}
	result := report.Rebalance{Clients: spec.Clients, Partitions: spec.Partitions}
	// The first time doesn't count: Kafka is busy for a while with the partitions that it
	// has just made.
	for round := range 1 + min(b.options.Rounds, memoryRounds) {
		proxy, err := b.startProxy(ctx)
		if err != nil {
			return err
		}
		spec.Target, spec.Subscription = proxy.Address, b.newName()
		moves, err := role.Rebalance(ctx, spec)
		if err = errors.Join(err, proxy.Check(), proxy.Stop()); err != nil {
			return err
		}
		if round == 0 {
			continue
		}
		for _, move := range moves {
			result.Add(move)
			b.progress("%s: %.2f s, %d partitions moved, at least %d had to", move.What, move.Seconds, move.Moved, move.Least)
		}
	}
	result.Finish()
	r.Rebalance = append(r.Rebalance, result)
	return b.kafka.deleteTopic(ctx, spec.Topic)
}
