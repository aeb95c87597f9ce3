// Package role has the parts that the benchmark's program plays in processes of their
// own: it starts itself again, with the name of the part and its options as JSON.
package role

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"

	"google.golang.org/grpc"

	"github.com/messageproxy/messageproxy/broker-kafka/kafkadev"
	"github.com/messageproxy/messageproxy/tools/bench/bare"
	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/process"
)

// flag is the first argument of a process that plays a part.
const flag = "-role"

// listening begins the line by which a server says where it listens.
const listening = "listening on "

// roles are the parts: each gets its options, and serves until stdin ends.
var roles = map[string]func(ctx context.Context, options []byte, stdin io.Reader, stdout io.Writer) error{
	"bare":      playBare,
	"kafka":     playKafka,
	"watched":   playWatched,
	"load":      once(load.Run),
	"idle":      once(load.Idle),
	"latency":   once(load.Latency),
	"slow":      once(load.Slow),
	"rebalance": once(load.Rebalance),
}

// once is a part that does one thing and prints what came of it as JSON.
func once[S, R any](do func(context.Context, S) (R, error)) func(context.Context, []byte, io.Reader, io.Writer) error {
	return func(ctx context.Context, options []byte, _ io.Reader, stdout io.Writer) error {
		var spec S
		if err := json.Unmarshal(options, &spec); err != nil {
			return err
		}
		result, err := do(ctx, spec)
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(result)
	}
}

// Play plays a part if args, without the program's name, ask for it, and reports
// whether they did.
func Play(ctx context.Context, args []string) (asked bool, err error) {
	if len(args) != 3 || args[0] != flag {
		return false, nil
	}
	play, ok := roles[args[1]]
	if !ok {
		return true, fmt.Errorf("there is no part %q", args[1])
	}
	return true, play(ctx, []byte(args[2]), os.Stdin, os.Stdout)
}

// command is this program in a part.
func command(ctx context.Context, part string, options any) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, program, flag, part, string(text)), nil
}

// Load runs a load in a process of its own, as the functions below do with theirs.
func Load(ctx context.Context, spec load.Spec) (load.Result, error) {
	return outcome[load.Result](ctx, "load", spec)
}

// Idle opens idle streams.
func Idle(ctx context.Context, spec load.IdleSpec) (load.IdleResult, error) {
	return outcome[load.IdleResult](ctx, "idle", spec)
}

// Latency measures latency.
func Latency(ctx context.Context, spec load.LatencySpec) (load.LatencyResult, error) {
	return outcome[load.LatencyResult](ctx, "latency", spec)
}

// Slow is a slow consumer.
func Slow(ctx context.Context, spec load.SlowSpec) (load.SlowResult, error) {
	return outcome[load.SlowResult](ctx, "slow", spec)
}

// Rebalance has clients join and leave.
func Rebalance(ctx context.Context, spec load.RebalanceSpec) ([]load.Move, error) {
	return outcome[[]load.Move](ctx, "rebalance", spec)
}

// outcome runs a part that prints what came of it as JSON.
func outcome[R any](ctx context.Context, part string, options any) (result R, err error) {
	cmd, err := command(ctx, part, options)
	if err != nil {
		return result, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return result, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return result, json.Unmarshal(stdout.Bytes(), &result)
}

// StartBare starts a bare server.
func StartBare(ctx context.Context, options bare.Options) (*process.Server, error) {
	return startServer(ctx, "bare", options)
}

func startServer(ctx context.Context, part string, options any) (*process.Server, error) {
	cmd, err := command(ctx, part, options)
	if err != nil {
		return nil, err
	}
	return process.StartServer(ctx, cmd, Address)
}

// Address returns the address in the line by which a part says where it listens.
func Address(line string) (string, bool) { return strings.CutPrefix(line, listening) }

func playBare(_ context.Context, text []byte, stdin io.Reader, stdout io.Writer) error {
	var options bare.Options
	if err := json.Unmarshal(text, &options); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	bare.Register(server, options)
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // until it ends
		server.Stop()
	}()
	fmt.Fprintln(stdout, listening+listener.Addr().String())
	return server.Serve(listener)
}

// KafkaOptions configure an embedded Kafka.
type KafkaOptions struct {
	// PartitionBytes is how much a partition may hold.
	PartitionBytes int64
}

// StartKafka starts an embedded Kafka.
func StartKafka(ctx context.Context, options KafkaOptions) (*process.Server, error) {
	return startServer(ctx, "kafka", options)
}

func playKafka(_ context.Context, text []byte, stdin io.Reader, stdout io.Writer) error {
	var options KafkaOptions
	if err := json.Unmarshal(text, &options); err != nil {
		return err
	}
	cluster, err := kafkadev.Start(kafkadev.Options{PartitionBytes: options.PartitionBytes})
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, listening+strings.Join(cluster.Brokers(), ","))
	_, _ = io.Copy(io.Discard, stdin) // until it ends
	return cluster.Close()
}
