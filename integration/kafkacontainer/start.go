package kafkacontainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"

	"github.com/messageproxy/messageproxy/tools/kafkaimage"
)

const (
	// Below the ports that systems give to outgoing connections: there, a client
	// that dials a stopped Kafka could be given Kafka's own port, and even connect
	// to itself.
	firstPort, lastPort = 20000, 29999

	portAttempts = 5
	loopback     = "127.0.0.1"
	kafkaPort    = "9092/tcp"
	dataFolder   = "/tmp/kafka-data" // in the container
)

// Testcontainers reads its settings once, and keeps them in globals.
var prepareOnce sync.Once

// Start starts a Kafka in a container of its own and returns when it serves
// clients. It pulls or builds the image if Docker doesn't have it yet. Its error
// says what to install if there is no Docker.
func Start(ctx context.Context, opts Options) (*Kafka, error) {
	image, err := kafkaimage.Ensure(ctx, func(line string) { fmt.Fprintln(os.Stderr, "kafka:", line) })
	if err != nil {
		return nil, err
	}
	prepareOnce.Do(func() { prepareTestcontainers(image) })
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to Docker: %w", err)
	}
	kafka, err := startOn(ctx, docker, image, opts)
	if err != nil {
		return nil, errors.Join(err, docker.Close())
	}
	return kafka, nil
}

// startOn tries ports until one is free on Docker's side too.
func startOn(ctx context.Context, docker *testcontainers.DockerClient, image kafkaimage.Image, opts Options) (*Kafka, error) {
	if image.Built {
		if err := removeOrphans(ctx, docker); err != nil {
			return nil, err
		}
	}
	host, err := dockerHost(ctx)
	if err != nil {
		return nil, err
	}
	if opts.HostNetwork && host != loopback {
		return nil, fmt.Errorf("kafka can't listen on this machine's loopback: Docker is at %s", host)
	}
	for attempt := 1; ; attempt++ {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		address := net.JoinHostPort(host, strconv.Itoa(port))
		container, err := run(ctx, image, address, opts)
		kafka := &Kafka{brokers: []string{address}, container: container, docker: docker}
		if err == nil {
			err = kafka.awaitStarted(ctx)
		}
		if err == nil {
			return kafka, nil
		}
		err = errors.Join(err, testcontainers.TerminateContainer(container))
		if attempt == portAttempts || !isPortTaken(err) {
			return nil, fmt.Errorf("start Kafka from %s: %w", image.Name, err)
		}
	}
}

// prepareTestcontainers sets what Testcontainers reads from the environment, where
// no image can be pulled: it must do without its reaper, and it must not take a
// machine that looks like a container for one.
func prepareTestcontainers(image kafkaimage.Image) {
	log.SetDefault(log.NewNoopLogger())
	if !image.Built {
		return
	}
	for name, value := range map[string]string{
		"TESTCONTAINERS_RYUK_DISABLED": "true",
		"TESTCONTAINERS_HOST_OVERRIDE": loopback,
	} {
		if _, isSet := os.LookupEnv(name); !isSet {
			_ = os.Setenv(name, value) // fails for invalid names only
		}
	}
}

// dockerHost returns where Docker publishes ports.
func dockerHost(ctx context.Context) (string, error) {
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return "", fmt.Errorf("connect to Docker: %w", err)
	}
	host, err := provider.DaemonHost(ctx)
	if host == "localhost" {
		host = loopback // not ::1, which Docker may not publish on
	}
	return host, errors.Join(err, provider.Close())
}

func freePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		listener, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("found no free port between %d and %d", firstPort, lastPort)
}

func isPortTaken(err error) bool {
	return strings.Contains(err.Error(), "port is already allocated") ||
		strings.Contains(strings.ToLower(err.Error()), "address already in use")
}

func run(ctx context.Context, image kafkaimage.Image, address string, opts Options) (*testcontainers.DockerContainer, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	customizers := []testcontainers.ContainerCustomizer{
		testcontainers.WithLogger(log.NewNoopLogger()),
		testcontainers.WithLabels(map[string]string{ownerLabel: strconv.Itoa(os.Getpid())}),
		testcontainers.WithEnv(environment(address, opts)),
	}
	if opts.InMemory {
		customizers = append(customizers, testcontainers.WithTmpfs(map[string]string{dataFolder: ""}))
	}
	if opts.HostNetwork {
		customizers = append(customizers, testcontainers.WithHostConfigModifier(func(config *container.HostConfig) {
			config.NetworkMode = network.NetworkHost
		}))
	} else {
		binding := network.PortBinding{HostPort: port} // on every address
		if host == loopback {
			binding.HostIP = netip.MustParseAddr(loopback)
		}
		customizers = append(customizers, testcontainers.WithExposedPorts(kafkaPort),
			testcontainers.WithHostConfigModifier(func(config *container.HostConfig) {
				config.PortBindings = network.PortMap{network.MustParsePort(kafkaPort): {binding}}
			}))
	}
	return testcontainers.Run(ctx, image.Name, customizers...)
}

// listenersOf says where in its network Kafka listens, and its controller.
func listenersOf(address string, opts Options) (broker, controller string) {
	if !opts.HostNetwork {
		return ":9092", "localhost:9093"
	}
	// The ports of others are there too: another one that is as likely to be free.
	host, port, _ := net.SplitHostPort(address) // run has done that
	number, _ := strconv.Atoi(port)
	return address, net.JoinHostPort(host, strconv.Itoa(number-(lastPort-firstPort+1)))
}

// environment turns options into the variables that the image reads.
func environment(address string, opts Options) map[string]string {
	broker, controller := listenersOf(address, opts)
	all := map[string]string{
		"node.id":                        "1",
		"process.roles":                  "broker,controller",
		"log.dirs":                       dataFolder,
		"listeners":                      "PLAINTEXT://" + broker + ",CONTROLLER://" + controller,
		"advertised.listeners":           "PLAINTEXT://" + address,
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.listener.names":      "CONTROLLER",
		"controller.quorum.voters":       "1@" + controller,

		// One broker, and few files to open at start.
		"offsets.topic.replication.factor":         "1",
		"offsets.topic.num.partitions":             "4",
		"transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr":            "1",
		"transaction.state.log.num.partitions":     "2",

		// Tests don't wait for what production spreads over minutes.
		"group.initial.rebalance.delay.ms": "0",
		"group.min.session.timeout.ms":     "1000",
		"log.initial.task.delay.ms":        "1000",
		"log.retention.check.interval.ms":  "1000",
		"log.cleaner.backoff.ms":           "1000",
		"log.segment.delete.delay.ms":      "1000",

		"message.max.bytes": strconv.Itoa(32 << 20),
	}
	maps.Copy(all, opts.Settings)
	env := map[string]string{
		"KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
		// Quick to start, at the price of a peak speed that tests don't need.
		"KAFKA_JVM_PERFORMANCE_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
	}
	if opts.PeakSpeed {
		env["KAFKA_HEAP_OPTS"] = "-Xms1g -Xmx1g" // Kafka's own default
		env["KAFKA_JVM_PERFORMANCE_OPTS"] = "-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35"
	}
	names := strings.NewReplacer("-", "___", "_", "__", ".", "_")
	for name, value := range all {
		env["KAFKA_"+strings.ToUpper(names.Replace(name))] = value
	}
	return env
}

// logTail returns the last that Kafka said.
func (k *Kafka) logTail() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	logs, err := k.container.Logs(ctx)
	if err != nil {
		return ""
	}
	defer logs.Close() //nolint:errcheck // read-only
	said, _ := io.ReadAll(logs)
	const enough = 4000
	return string(said[max(0, len(said)-enough):])
}
