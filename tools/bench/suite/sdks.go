package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/program"
	"github.com/messageproxy/messageproxy/tools/bench/report"
)

// sdkShape is what the SDKs of other languages are compared with.
var sdkShape = shape{valueBytes: 100, partitions: 8, clients: 1}

// longer is how many times the usual number of messages the measurement of memory has.
const longer = 6

// language is one whose SDK is compared with its own stubs. So many messages take a few
// seconds, and as many come before them: these languages compile what runs often.
type language struct {
	name     string
	messages int64
}

var languages = []language{{"typescript", 300_000}, {"python", 100_000}, {"java", 1_000_000}}

// Languages are the names for Options.Languages.
func Languages() []string {
	var names []string
	for _, language := range languages {
		names = append(names, language.name)
	}
	return names
}

// sdkPaths are what an SDK and the stubs do.
var sdkPaths = []struct {
	path       string
	sdk, stubs load.Kind
}{
	{report.Produce, load.SDKProduce, load.StreamProduce},
	{report.Consume, load.SDKConsume, load.StreamConsume},
}

func (b *Bench) measureSDKs(ctx context.Context, r *report.Report) error {
	chosen := slices.DeleteFunc(slices.Clone(languages), func(l language) bool {
		return !slices.Contains(b.options.Languages, l.name)
	})
	if len(chosen) == 0 {
		return nil
	}
	var most int64
	for _, l := range chosen {
		most = max(most, b.scaled(l.messages)*longer)
	}
	backlog, err := b.fill(ctx, sdkShape, most*2)
	if err != nil {
		return err
	}
	for _, l := range chosen {
		if err := b.measureSDK(ctx, r, l, backlog); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", l.name, err), b.kafka.deleteTopic(ctx, backlog))
		}
	}
	return b.kafka.deleteTopic(ctx, backlog)
}

// measureSDK lets the SDK and the stubs of a language take turns, and looks at the SDK's
// memory for a longer while.
func (b *Bench) measureSDK(ctx context.Context, r *report.Report, l language, backlog string) error {
	b.progress("building the load program for %s", l.name)
	runs, err := program.Build(ctx, b.options.Root, l.name)
	if err != nil {
		return err
	}
	if r.Environment.Runtimes[l.name], err = runs.Version(ctx); err != nil {
		return err
	}
	messages := b.scaled(l.messages)
	for _, p := range sdkPaths {
		cost := report.SDKCost{Language: l.name, Path: p.path, ValueBytes: sdkShape.valueBytes}
		for round := range b.options.Rounds {
			kinds := []load.Kind{p.sdk, p.stubs}
			if round%2 == 1 {
				slices.Reverse(kinds)
			}
			results := map[load.Kind]load.Result{}
			for _, kind := range kinds {
				result, err := b.runProgram(ctx, runs, kind, messages, messages, backlog)
				if err != nil {
					return err
				}
				b.progress("%-12s %-16s round %d of %d: %8.0f messages/s", l.name, kind, round+1, b.options.Rounds, result.Rate())
				results[kind] = result.Result
			}
			cost.Add(results[p.sdk], results[p.stubs])
		}
		long, err := b.runProgram(ctx, runs, p.sdk, messages, messages*longer, backlog)
		if err != nil {
			return err
		}
		cost.Finish(long.Resident)
		b.progress("%-12s %-16s memory: %s", l.name, p.sdk, strings.Join(cost.MemoryInWords(), ", "))
		r.SDKs = append(r.SDKs, cost)
	}
	return ctx.Err()
}

// runProgram measures once, with a proxy and a topic or a subscription of its own.
func (b *Bench) runProgram(ctx context.Context, runs program.Program, kind load.Kind, warmup, messages int64, backlog string) (program.Result, error) {
	spec := load.Spec{
		Kind: kind, Topic: backlog, Subscription: b.newName(), Partitions: sdkShape.partitions, Clients: sdkShape.clients,
		ValueBytes: sdkShape.valueBytes, Warmup: warmup, Messages: messages, Outstanding: Window, Frame: Frame,
		Timeout: loadTimeout,
	}
	produces := kind == load.SDKProduce || kind == load.StreamProduce
	if produces {
		spec.Topic = b.newName()
		if err := b.kafka.createTopic(ctx, spec.Topic, spec.Partitions); err != nil {
			return program.Result{}, err
		}
	}
	server, err := b.startProxy(ctx)
	if err != nil {
		return program.Result{}, err
	}
	spec.Target = server.Address
	result, err := runs.Run(ctx, spec)
	if err := errors.Join(err, server.Check(), server.Stop()); err != nil {
		return result, err
	}
	if !produces {
		return result, b.awaitCommitted(ctx, spec, result.Done)
	}
	return result, b.checkStored(ctx, spec.Topic, result.Done)
}
