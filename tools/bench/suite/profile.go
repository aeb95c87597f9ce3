package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

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
// shape with one client. It measures nothing: profiling costs speed.
func (b *Bench) measureProfiles(ctx context.Context, _ *report.Report) error {
	if b.options.Profiles == "" {
		return errors.New("name the folder that profiles are written to with -profiles")
	}
	if err := os.MkdirAll(b.options.Profiles, 0o755); err != nil {
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
		for path, spec := range map[string]load.Spec{
			report.Produce: {Kind: load.StreamProduce, Topic: produced, Outstanding: Window, Frame: Frame},
			report.Consume: {Kind: load.StreamConsume, Topic: consumed, Subscription: b.newName()},
		} {
			spec.Partitions, spec.Clients, spec.ValueBytes = s.partitions, s.clients, s.valueBytes
			spec.Messages = b.messages(s.valueBytes) * 2
			name := fmt.Sprintf("%s-%dB", path, s.valueBytes)
			if err := b.profile(ctx, name, spec); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			processor = append(processor, filepath.Join(b.options.Profiles, name+processorSuffix))
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
func (b *Bench) profile(ctx context.Context, name string, spec load.Spec) error {
	proxy, err := role.StartWatched(ctx, role.WatchedOptions{Kafka: b.kafka.brokers, Contention: true})
	if err != nil {
		return err
	}
	loaded := make(chan error, 1)
	go func() {
		_, err := b.load(ctx, spec, proxy.Server)
		loaded <- err
	}()
	err = b.writeProfiles(ctx, proxy, filepath.Join(b.options.Profiles, name))
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
