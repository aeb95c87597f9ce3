package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/tools/bench/bare"
	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/process"
	"github.com/messageproxy/messageproxy/tools/bench/report"
)

// servers are what a variant's clients connect to.
type servers int

const (
	onlyKafka servers = iota
	bareServer
	proxyServer
)

// variant is one of the ways that are compared with each other.
type variant struct {
	name        string
	kind        load.Kind
	server      servers
	outstanding int
	times       int64 // how many times the usual number of messages it measures
}

var (
	produceVariants = []variant{
		{report.DirectUnlimited, load.DirectProduce, onlyKafka, 0, 1},
		{report.Direct, load.DirectProduce, onlyKafka, Window, 1},
		{report.Bare, load.StreamProduce, bareServer, Window, 1},
		{report.Stubs, load.StreamProduce, proxyServer, Window, 1},
		{report.SDK, load.SDKProduce, proxyServer, Window, 1},
	}
	consumeVariants = []variant{
		{report.Direct, load.DirectConsume, onlyKafka, 0, 2},
		{report.Bare, load.StreamConsume, bareServer, Window, 1},
		{report.Stubs, load.StreamConsume, proxyServer, Window, 1},
		{report.SDK, load.SDKConsume, proxyServer, Window, 1},
	}
)

// shape is what a comparison is about.
type shape struct{ valueBytes, partitions, clients int }

// The shapes that targets are about.
var (
	single = []shape{{100, 8, 1}, {1024, 8, 1}}
	many   = []shape{{100, 64, 8}, {100, 64, 64}}
)

// otherPart is the part of the usual messages that the other combinations are measured with.
const otherPart = 3

// targeted are the shapes that targets are about.
func targeted() []shape { return slices.Concat(single, many) }

// others are all the other combinations.
func others() []shape {
	var all []shape
	for _, size := range []int{100, 1024} {
		for _, partitions := range []int{1, 8, 64} {
			for _, clients := range []int{1, 8, 64} {
				if s := (shape{size, partitions, clients}); !slices.Contains(targeted(), s) {
					all = append(all, s)
				}
			}
		}
	}
	return all
}

// compareAll compares the variants in every shape of this run.
func (b *Bench) compareAll(ctx context.Context, r *report.Report, path string, variants []variant, measure func(shape, variant) (load.Result, error)) error {
	for _, part := range []struct {
		shapes []shape
		rounds int
		to     *[]report.Throughput
	}{{targeted(), b.options.Rounds, &r.Throughput}, {others(), b.options.OtherRounds, &r.OtherThroughput}} {
		if part.rounds == 0 {
			continue
		}
		for _, s := range part.shapes {
			t, err := b.compare(ctx, path, s, part.rounds, variants, func(v variant) (load.Result, error) { return measure(s, v) })
			if err != nil {
				return err
			}
			*part.to = append(*part.to, t)
		}
	}
	return nil
}

// shapeMessages is how many messages a shape is measured with.
func (b *Bench) shapeMessages(s shape) int64 {
	messages := b.messages(s.valueBytes)
	if !slices.Contains(targeted(), s) {
		messages = max(messages/otherPart, 1)
	}
	return messages
}

// messages is how many messages of a size make a measurement of seconds.
func (b *Bench) messages(valueBytes int) int64 {
	if valueBytes <= 100 {
		return b.scaled(1_500_000)
	}
	return b.scaled(500_000)
}

// warmup is how many messages come before those.
func warmup(messages int64) int64 { return messages / 5 }

func (b *Bench) measureProduce(ctx context.Context, r *report.Report) error {
	return b.compareAll(ctx, r, report.Produce, produceVariants, func(s shape, v variant) (load.Result, error) {
		return b.produce(ctx, s, v)
	})
}

// compare lets the variants take turns, each round beginning with another.
func (b *Bench) compare(ctx context.Context, path string, s shape, rounds int, variants []variant, measure func(variant) (load.Result, error)) (report.Throughput, error) {
	t := report.Throughput{Path: path, ValueBytes: s.valueBytes, Partitions: s.partitions, Clients: s.clients}
	results := make([][]load.Result, len(variants))
	for round := range rounds {
		for turn := range variants {
			i := (round + turn) % len(variants)
			result, err := measure(variants[i])
			if err != nil {
				return t, fmt.Errorf("%s, %s: %w", t.Name(), variants[i].name, err)
			}
			b.progress("%-44s %-24s round %d of %d: %8.0f messages/s", t.Name(), variants[i].name, round+1, rounds, result.Rate())
			results[i] = append(results[i], result)
		}
	}
	for i, v := range variants {
		t.Add(v.name, results[i])
	}
	t.Compare()
	return t, ctx.Err()
}

// produce measures one variant once, on a topic and a server of its own.
func (b *Bench) produce(ctx context.Context, s shape, v variant) (load.Result, error) {
	messages := b.shapeMessages(s) * v.times
	spec := load.Spec{
		Kind: v.kind, Topic: b.newName(), Partitions: s.partitions, Clients: s.clients, ValueBytes: s.valueBytes,
		Warmup: warmup(messages), Messages: messages, Outstanding: v.outstanding, Frame: Frame,
	}
	if v.server == bareServer {
		return b.onServer(ctx, v.server, spec)
	}
	if err := b.kafka.createTopic(ctx, spec.Topic, spec.Partitions); err != nil {
		return load.Result{}, err
	}
	result, err := b.onServer(ctx, v.server, spec)
	if err != nil {
		return result, err
	}
	return result, b.checkStored(ctx, spec.Topic, result.Done)
}

// checkStored checks that Kafka has all that was produced to a topic, and deletes it.
func (b *Bench) checkStored(ctx context.Context, topic string, produced int64) error {
	stored, err := b.kafka.stored(ctx, topic)
	if err == nil && stored != produced {
		err = fmt.Errorf("%d messages were produced, and Kafka has %d", produced, stored)
	}
	return errors.Join(err, b.kafka.deleteTopic(ctx, topic))
}

// onServer runs a load on a fresh server.
func (b *Bench) onServer(ctx context.Context, which servers, spec load.Spec) (load.Result, error) {
	if which == onlyKafka {
		return b.load(ctx, spec, nil)
	}
	server, err := b.start(ctx, which, spec.ValueBytes)
	if err != nil {
		return load.Result{}, err
	}
	result, err := b.load(ctx, spec, server)
	return result, errors.Join(err, server.Stop())
}

// start starts a server, the bare one with values of a size.
func (b *Bench) start(ctx context.Context, which servers, valueBytes int) (*process.Server, error) {
	if which == bareServer {
		return startBare(ctx, valueBytes)
	}
	return b.startProxy(ctx)
}

func (b *Bench) measureConsume(ctx context.Context, r *report.Report) error {
	topics := map[shape]string{} // filled ones, by size and partitions
	err := b.compareAll(ctx, r, report.Consume, consumeVariants, func(s shape, v variant) (load.Result, error) {
		of := shape{valueBytes: s.valueBytes, partitions: s.partitions}
		if topics[of] == "" {
			topic, err := b.fill(ctx, of, b.backlog(of.valueBytes))
			if err != nil {
				return load.Result{}, err
			}
			topics[of] = topic
		}
		return b.consume(ctx, s, v, topics[of])
	})
	errs := []error{err}
	for _, topic := range topics {
		errs = append(errs, b.kafka.deleteTopic(ctx, topic))
	}
	return errors.Join(errs...)
}

// backlog is more messages than any variant measures: Kafka's client reads ahead, and
// is to do so when the measurement ends as when it began.
func (b *Bench) backlog(valueBytes int) int64 {
	var most int64
	for _, v := range consumeVariants {
		most = max(most, b.messages(valueBytes)*v.times)
	}
	return most + warmup(most) + most*3/10
}

// warmUp has Kafka write and read for a while: it gets faster as it runs, and it makes
// the topic for what groups commit when the first one asks.
func (b *Bench) warmUp(ctx context.Context) error {
	s := single[0]
	messages := b.messages(s.valueBytes)
	topic, err := b.fill(ctx, s, messages)
	if err != nil {
		return err
	}
	for _, spec := range []load.Spec{
		{Kind: load.DirectConsume, Messages: messages},
		{Kind: load.DirectProduce, Messages: messages, Outstanding: Window},
	} {
		spec.Topic, spec.Subscription = topic, b.newName()
		spec.Partitions, spec.Clients, spec.ValueBytes = s.partitions, s.clients, s.valueBytes
		if _, err := b.load(ctx, spec, nil); err != nil {
			return err
		}
	}
	return b.kafka.deleteTopic(ctx, topic)
}

// fill makes a topic with so many messages.
func (b *Bench) fill(ctx context.Context, s shape, messages int64) (string, error) {
	topic := b.newName()
	if err := b.kafka.createTopic(ctx, topic, s.partitions); err != nil {
		return "", err
	}
	result, err := b.load(ctx, load.Spec{
		Kind: load.Fill, Topic: topic, Partitions: s.partitions, ValueBytes: s.valueBytes, Clients: 1, Messages: messages,
	}, nil)
	b.progress("filled a topic with %d messages of %d B", result.Done, s.valueBytes)
	return topic, err
}

// consume measures one variant once, with a subscription and a server of its own.
func (b *Bench) consume(ctx context.Context, s shape, v variant, topic string) (load.Result, error) {
	messages := b.shapeMessages(s) * v.times
	spec := load.Spec{
		Kind: v.kind, Topic: topic, Subscription: b.newName(), Partitions: s.partitions, Clients: s.clients,
		ValueBytes: s.valueBytes, Warmup: warmup(messages), Messages: messages,
	}
	if v.server == bareServer {
		spec.Partitions = bare.PartitionsPerStream * s.clients
		return b.onServer(ctx, v.server, spec)
	}
	result, err := b.onServer(ctx, v.server, spec)
	if err != nil {
		return result, err
	}
	return result, b.awaitCommitted(ctx, spec, result.Done)
}

// awaitCommitted waits until as many messages of a subscription are committed as were ACKed.
func (b *Bench) awaitCommitted(ctx context.Context, spec load.Spec, acked int64) error {
	var committed int64
	err := poll(ctx, 20*time.Second, "all ACKs to be committed", func() (bool, error) {
		var err error
		committed, err = b.kafka.committed(ctx, spec.Subscription, spec.Topic, spec.Partitions)
		return committed == acked, err
	})
	if err != nil {
		return fmt.Errorf("%d messages were ACKed and %d committed: %w", acked, committed, err)
	}
	return nil
}
