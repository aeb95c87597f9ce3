package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/messageproxy/messageproxy/tools/bench/areas"
	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/pgo"
	"github.com/messageproxy/messageproxy/tools/bench/process"
	"github.com/messageproxy/messageproxy/tools/bench/report"
	"github.com/messageproxy/messageproxy/tools/bench/role"
)

// profileSeconds is how long the processor is profiled. The load goes on for longer on
// any machine that is not much faster than most.
const profileSeconds = 4

// measureProfiles writes profiles of the proxy under the loads of the stubs, for each
// shape with one client. It measures no speed: profiling costs some.
func (b *Bench) measureProfiles(ctx context.Context, r *report.Report) error {
	folder := b.options.Profiles
	if folder == "" {
		folder = filepath.Join(b.binaries, "profiles") // is removed in the end
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var processor []string // the names of files
	for _, s := range single {
		produced := b.newName()
		if err := b.kafka.createTopic(ctx, produced, s.partitions); err != nil {
			return err
		}
		consumed, err := b.fill(ctx, s, b.backlog(s.valueBytes))
		if err != nil {
			return err
		}
		for _, spec := range []load.Spec{
			{Kind: load.StreamProduce, Topic: produced, Outstanding: Window, Frame: Frame},
			{Kind: load.StreamConsume, Topic: consumed, Subscription: b.newName()},
		} {
			path := report.Produce
			if spec.Kind == load.StreamConsume {
				path = report.Consume
			}
			spec.Partitions, spec.Clients, spec.ValueBytes = s.partitions, s.clients, s.valueBytes
			spec.Messages = b.messages(s.valueBytes) * 2
			prefix := filepath.Join(folder, fmt.Sprintf("%s-%dB", path, s.valueBytes))
			if err := b.profile(ctx, prefix, spec); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			shares, err := areas.Read(prefix + processorSuffix)
			if err != nil {
				return err
			}
			r.Profiles = append(r.Profiles, report.Profile{Path: path, ValueBytes: s.valueBytes, Shares: shares})
			processor = append(processor, prefix+processorSuffix)
		}
		if err := errors.Join(b.kafka.deleteTopic(ctx, produced), b.kafka.deleteTopic(ctx, consumed)); err != nil {
			return err
		}
	}
	if b.options.PGO == "" {
		return nil
	}
	return pgo.Write(b.options.PGO, processor...)
}

// processorSuffix ends the names of profiles of the processor.
const processorSuffix = ".cpu.pprof"

// profile writes the profiles of one load. How long the processor is watched, and how
// long the scheduler, is said in whole seconds.
func (b *Bench) profile(ctx context.Context, prefix string, spec load.Spec) error {
	proxy, err := role.StartWatched(ctx, role.WatchedOptions{Kafka: b.kafka.brokers, Contention: true})
	if err != nil {
		return err
	}
	loaded := make(chan error, 1)
	go func() {
		_, err := b.load(ctx, spec, proxy.Server)
		loaded <- err
	}()
	err = b.writeProfiles(ctx, proxy, prefix)
	return errors.Join(err, <-loaded, proxy.Stop())
}

func (b *Bench) writeProfiles(ctx context.Context, proxy *role.Watched, prefix string) error {
	if err := awaitBusy(ctx, proxy); err != nil {
		return err
	}
	seconds := max(int(profileSeconds*b.part()), 1)
	for _, profile := range []struct{ path, suffix string }{
		{fmt.Sprintf("profile?seconds=%d", seconds), processorSuffix},
		{"trace?seconds=1", ".trace"},
		{"allocs", ".allocs.pprof"},
		{"mutex", ".mutex.pprof"},
		{"block", ".block.pprof"},
		{"heap", ".heap.pprof"},
	} {
		if err := proxy.Profile(ctx, profile.path, prefix+profile.suffix); err != nil {
			return err
		}
	}
	b.progress("profiles of %s are written", prefix)
	return nil
}

// awaitBusy waits until the proxy has work.
func awaitBusy(ctx context.Context, proxy *role.Watched) error {
	before, err := process.ReadUsage(proxy.PID())
	if err != nil {
		return err
	}
	return poll(ctx, time.Minute, "the proxy to have work", func() (bool, error) {
		now, err := process.ReadUsage(proxy.PID())
		return now.CPU > before.CPU+100*time.Millisecond, err
	})
}
