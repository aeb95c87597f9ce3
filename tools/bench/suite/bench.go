// Package suite measures what the proxy costs: it starts everything, lets what is to be
// compared take turns, checks that no message is missing, and reports.
package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/process"
	"github.com/messageproxy/messageproxy/tools/bench/report"
	"github.com/messageproxy/messageproxy/tools/bench/role"
)

const (
	// Frame is how many messages the clients of the generated stubs send at once.
	Frame = 100
	// Window is how many messages are outstanding or unACKed: the proxy's default.
	Window = 1000

	loadTimeout = 5 * time.Minute
	proxyModule = "github.com/messageproxy/messageproxy/server/cmd/messageproxy"
)

// Options say what to measure, and with what.
type Options struct {
	// Kafka is Embedded, Container, or the addresses of one that is there.
	Kafka string
	// Root is the repository's folder.
	Root string
	// Rounds is how often each measurement is made.
	Rounds int
	// Scale is by how much the numbers of messages, of streams and of partitions, and
	// the durations, differ from the full ones.
	Scale float64
	// OtherRounds is how often throughput is measured with the combinations of sizes,
	// partitions and clients that no target is about.
	OtherRounds int
	// Only has names of sections to measure; without any, all are.
	Only []string
	// Languages are those whose SDKs are measured.
	Languages []string
	// Profiles is the folder that profiles of the proxy are written to; if it is empty
	// they aren't kept.
	Profiles string
	// PGO is a file for what the compiler optimizes the proxy with, made of the profiles
	// of the processor; none if it is empty.
	PGO string
	// Progress gets a line for each step.
	Progress func(line string)
}

// Bench is a running benchmark.
type Bench struct {
	options  Options
	kafka    *kafka
	binaries string // a folder with the programs that were built for it
	topics   int    // how many were made, for their names
}

// section is a part of the benchmark that can be run alone.
type section struct {
	name    string
	measure func(*Bench, context.Context, *report.Report) error
}

// sections are measured in this order.
var sections = []section{
	{"produce", (*Bench).measureProduce},
	{"consume", (*Bench).measureConsume},
	{"latency", (*Bench).measureLatency},
	{"memory", (*Bench).measureMemory},
	{"slow", (*Bench).measureSlow},
	{"rebalance", (*Bench).measureRebalance},
	{"sdks", (*Bench).measureSDKs},
	{"profiles", (*Bench).measureProfiles},
}

// SectionNames are the names for Options.Only.
func SectionNames() []string {
	var names []string
	for _, section := range sections {
		names = append(names, section.name)
	}
	return names
}

// Run measures. An error means that something went wrong, not that something is slow.
func Run(ctx context.Context, options Options) (_ *report.Report, err error) {
	chosen, err := choose(options.Only)
	if err != nil {
		return nil, err
	}
	binaries, err := os.MkdirTemp("", "messageproxy-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(binaries)) }()
	b := &Bench{options: options, binaries: binaries}
	b.progress("building the proxy")
	if err := build(ctx, filepath.Join(options.Root, "tools"), b.proxyProgram(), proxyModule); err != nil {
		return nil, err
	}
	b.progress("starting Kafka: %s", options.Kafka)
	if b.kafka, err = startKafka(ctx, options.Kafka, options.Root, binaries); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.kafka.stop()) }()
	b.progress("warming Kafka up")
	if err := b.warmUp(ctx); err != nil {
		return nil, err
	}
	result := report.New(ctx, options.Root, b.kafka.kind, options.Rounds, options.Scale)
	for _, section := range chosen {
		if err := section.measure(b, ctx, result); err != nil {
			return nil, fmt.Errorf("%s: %w", section.name, err)
		}
	}
	result.Finish()
	return result, nil
}

func choose(only []string) ([]section, error) {
	if len(only) == 0 {
		return sections, nil
	}
	var chosen []section
	for _, name := range only {
		i := slices.IndexFunc(sections, func(s section) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no section %q: there are %s", name, strings.Join(SectionNames(), ", "))
		}
		chosen = append(chosen, sections[i])
	}
	return chosen, nil
}

func build(ctx context.Context, module, to, target string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, target)
	cmd.Dir = module
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", target, err, output)
	}
	return nil
}

func (b *Bench) progress(format string, args ...any) {
	b.options.Progress(fmt.Sprintf(format, args...))
}

func (b *Bench) proxyProgram() string { return filepath.Join(b.binaries, "messageproxy") }

// startProxy starts the proxy with its defaults. Nothing of this process's
// environment configures it.
func (b *Bench) startProxy(ctx context.Context) (*process.Server, error) {
	cmd := exec.CommandContext(ctx, b.proxyProgram(), "serve", "--log-format=json", "--log-level=info",
		"--listen=127.0.0.1:0", "--kafka-brokers="+strings.Join(b.kafka.brokers, ","))
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "MESSAGEPROXY_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	return process.StartServer(ctx, cmd, loggedAddress)
}

// loggedAddress finds where the proxy listens in a line of its log.
func loggedAddress(line string) (string, bool) {
	var record struct{ Msg, Addr string }
	if json.Unmarshal([]byte(line), &record) != nil || record.Msg != "listening" {
		return "", false
	}
	return record.Addr, true
}

// load runs a load, on a server or without one, and looks whether the server is there
// afterwards.
func (b *Bench) load(ctx context.Context, spec load.Spec, server *process.Server) (load.Result, error) {
	spec.Kafka = b.kafka.brokers
	spec.Timeout = loadTimeout
	spec.Processes = map[string]int{}
	if b.kafka.pid != 0 {
		spec.Processes[report.Kafka] = b.kafka.pid
	}
	if server != nil {
		spec.Target = server.Address
		spec.Processes[report.Server] = server.PID()
	}
	result, err := role.Load(ctx, spec)
	if server != nil {
		err = errors.Join(err, server.Check())
	}
	return result, err
}

// scaled is a number of messages of this run.
func (b *Bench) scaled(n int64) int64 { return max(int64(float64(n)*b.options.Scale), 1) }

// part is the part of a full run of what doesn't grow beyond that.
func (b *Bench) part() float64 { return min(b.options.Scale, 1) }

// newName is a name for a topic or a subscription that no other run has.
func (b *Bench) newName() string {
	b.topics++
	return fmt.Sprintf("bench-%d-%d", os.Getpid(), b.topics)
}
