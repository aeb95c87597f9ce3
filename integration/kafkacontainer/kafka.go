package kafkacontainer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

const (
	// EnvBrokers names the environment variable with the brokers (comma-separated)
	// of a Kafka to use instead of a container, where a test needn't control it.
	EnvBrokers = "MESSAGEPROXY_TEST_KAFKA"

	startTimeout = 2 * time.Minute
	stopTimeout  = 30 * time.Second
)

// ErrNotControlled is returned by the methods that start and stop Kafka if it is
// not one that this package started.
var ErrNotControlled = errors.New("this Kafka was there before (" + EnvBrokers + "), so it can't be started or stopped")

// Options configure a Kafka. The zero value is right for most tests.
type Options struct {
	// Settings are added to Kafka's server.properties, over those of this package.
	Settings map[string]string
	// PeakSpeed has Kafka run as fast as it can under load, as in production, instead
	// of being there soon with little memory.
	PeakSpeed bool
	// HostNetwork has Kafka listen on this machine's loopback itself. Otherwise Docker's relay
	// passes on every byte, which takes processor time and wakes a process more for each.
	// It needs a Docker that runs on this machine's own Linux.
	HostNetwork bool
	// InMemory has Kafka keep its data in memory: it loses all when it is stopped, and
	// no slow disk, which it would wait for when topics are created, holds up a test.
	InMemory bool
}

// Kafka is a Kafka cluster of one broker. Brokers may be called concurrently with
// everything; the other methods are called by one goroutine at a time.
type Kafka struct {
	brokers   []string
	container *testcontainers.DockerContainer // nil: not controlled
	docker    *testcontainers.DockerClient
	starts    int // how many times Kafka has said that it has started
	removed   bool
}

// Connect returns the Kafka that EnvBrokers names, or starts one if it is empty.
func Connect(ctx context.Context, opts Options) (*Kafka, error) {
	var brokers []string
	for broker := range strings.SplitSeq(os.Getenv(EnvBrokers), ",") {
		if broker = strings.TrimSpace(broker); broker != "" {
			brokers = append(brokers, broker)
		}
	}
	if len(brokers) == 0 {
		return Start(ctx, opts)
	}
	for _, broker := range brokers {
		if err := probe(ctx, broker); err != nil {
			return nil, fmt.Errorf("the Kafka that %s names can't be reached: %w", EnvBrokers, err)
		}
	}
	return &Kafka{brokers: brokers}, nil
}

func probe(ctx context.Context, address string) error {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Brokers returns the addresses for clients to dial. They stay the same as long as
// this Kafka exists.
func (k *Kafka) Brokers() []string { return k.brokers }

// Controlled reports whether this Kafka can be started and stopped.
func (k *Kafka) Controlled() bool { return k.container != nil }

// Stop shuts Kafka down in order. Its data and address stay reserved for Start.
func (k *Kafka) Stop(ctx context.Context) error {
	if !k.Controlled() {
		return ErrNotControlled
	}
	timeout := stopTimeout
	return k.container.Stop(ctx, &timeout)
}

// Start starts a Kafka that was stopped or killed, with the data that it had, and
// returns when it serves clients again.
func (k *Kafka) Start(ctx context.Context) error {
	if !k.Controlled() {
		return ErrNotControlled
	}
	if err := k.container.Start(ctx); err != nil {
		return fmt.Errorf("start Kafka again: %w", err)
	}
	return k.awaitStarted(ctx)
}

// Kill ends Kafka without notice, as a crash would.
func (k *Kafka) Kill(ctx context.Context) error {
	if !k.Controlled() {
		return ErrNotControlled
	}
	if _, err := k.docker.ContainerKill(ctx, k.container.ID, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		return fmt.Errorf("kill Kafka: %w", err)
	}
	return wait.ForExit().WithExitTimeout(stopTimeout).WaitUntilReady(ctx, k.container)
}

// Pause freezes Kafka: its connections stay open and nothing answers.
func (k *Kafka) Pause(ctx context.Context) error {
	if !k.Controlled() {
		return ErrNotControlled
	}
	_, err := k.docker.ContainerPause(ctx, k.container.ID, client.ContainerPauseOptions{})
	return err
}

// Unpause lets a paused Kafka go on.
func (k *Kafka) Unpause(ctx context.Context) error {
	if !k.Controlled() {
		return ErrNotControlled
	}
	_, err := k.docker.ContainerUnpause(ctx, k.container.ID, client.ContainerUnpauseOptions{})
	return err
}

// Terminate removes the container and its data. It may be called twice, and does
// nothing to a Kafka that isn't controlled.
func (k *Kafka) Terminate(ctx context.Context) error {
	if !k.Controlled() || k.removed {
		return nil
	}
	k.removed = true
	return errors.Join(k.container.Terminate(ctx, testcontainers.StopTimeout(0)), k.docker.Close())
}

// awaitStarted waits until Kafka has said once more than before that it has
// started: the container's log goes on over restarts.
func (k *Kafka) awaitStarted(ctx context.Context) error {
	k.starts++
	started := wait.ForLog("Kafka Server started").WithOccurrence(k.starts).WithStartupTimeout(startTimeout)
	if err := started.WaitUntilReady(ctx, k.container); err != nil {
		return fmt.Errorf("kafka did not start: %w\n%s", err, k.logTail())
	}
	return nil
}
