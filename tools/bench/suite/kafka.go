package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/messageproxy/messageproxy/tools/bench/process"
	"github.com/messageproxy/messageproxy/tools/bench/role"
)

// The kinds of Kafka that can be asked for by name; anything else is an address.
const (
	Embedded  = "embedded"
	Container = "container"
)

// topicTimeout is for ten thousand partitions.
const topicTimeout = 5 * time.Minute

// embeddedPartitionBytes is far more than a measurement puts into a partition.
const embeddedPartitionBytes = 8 << 30

// kafka is the Kafka that everything is measured with.
type kafka struct {
	brokers []string
	kind    string
	pid     int             // 0 if it can't be known
	server  *process.Server // nil for one that was there before
	client  *kgo.Client
	admin   *kadm.Client
}

func startKafka(ctx context.Context, kind, root, binaries string) (*kafka, error) {
	k := &kafka{kind: kind}
	var err error
	switch kind {
	case Embedded:
		k.server, err = role.StartKafka(ctx, role.KafkaOptions{PartitionBytes: embeddedPartitionBytes})
	case Container:
		k.server, err = startContainer(ctx, root, binaries)
	default:
		k.brokers = strings.Split(kind, ",")
		k.kind = "given"
	}
	if err != nil {
		return nil, err
	}
	if k.server != nil {
		k.brokers = strings.Split(k.server.Address, ",")
	}
	if k.client, err = kgo.NewClient(kgo.SeedBrokers(k.brokers...)); err != nil {
		return nil, errors.Join(err, k.stop())
	}
	k.admin = kadm.NewClient(k.client)
	if err := k.client.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("Kafka at %s can't be reached: %w", strings.Join(k.brokers, ","), err), k.stop())
	}
	k.pid = k.findProcess()
	return k, nil
}

func startContainer(ctx context.Context, root, binaries string) (*process.Server, error) {
	program := filepath.Join(binaries, "kafka")
	if err := build(ctx, filepath.Join(root, "integration"), program, "./kafkacontainer/cmd"); err != nil {
		return nil, err
	}
	arguments := []string{"-peak-speed"}
	if runtime.GOOS == "linux" { // elsewhere Docker has a network of its own
		arguments = append(arguments, "-host-network")
	}
	return process.StartServer(ctx, exec.CommandContext(ctx, program, arguments...), role.Address)
}

// findProcess returns the process of a Kafka of this run. One in a container is
// recognized by the address that it was told to advertise; where the container's
// processes can't be seen it is 0.
func (k *kafka) findProcess() int {
	switch k.kind {
	case Embedded:
		return k.server.PID()
	case Container:
		advertised := []byte("KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://" + k.brokers[0] + "\x00")
		environments, _ := filepath.Glob("/proc/[0-9]*/environ") // fails for bad patterns only
		for _, name := range environments {
			environment, err := os.ReadFile(name)
			if err != nil || !bytes.Contains(environment, advertised) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err == nil && isJava(pid) {
				return pid
			}
		}
	}
	return 0
}

func isJava(pid int) bool {
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	program, _, _ := bytes.Cut(command, []byte{0})
	return err == nil && filepath.Base(string(program)) == "java"
}

func (k *kafka) stop() error {
	if k.client != nil {
		k.client.Close()
	}
	if k.server == nil {
		return nil
	}
	return k.server.Stop()
}

// partitionsAtOnce is how many partitions are asked for in a request: Kafka refuses
// 10,000.
const partitionsAtOnce = 5000

func (k *kafka) createTopic(ctx context.Context, name string, partitions int) error {
	there := min(partitions, partitionsAtOnce)
	if _, err := k.admin.CreateTopic(ctx, int32(there), -1, nil, name); err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	for ; there < partitions; there += partitionsAtOnce {
		if err := k.awaitTopic(ctx, name, there); err != nil {
			return err
		}
		grown, err := k.admin.UpdatePartitions(ctx, min(partitions, there+partitionsAtOnce), name)
		if err = errors.Join(err, grown.Error()); err != nil {
			return fmt.Errorf("grow topic %s: %w", name, err)
		}
	}
	return k.awaitTopic(ctx, name, partitions)
}

// awaitTopic waits until Kafka's metadata show the whole topic with its leaders:
// creating it is not done when the request is answered.
func (k *kafka) awaitTopic(ctx context.Context, name string, partitions int) error {
	return poll(ctx, topicTimeout, "topic "+name+" to be there", func() (bool, error) {
		topics, err := k.admin.ListTopics(ctx, name)
		if err != nil {
			return false, err
		}
		ready := 0
		for _, partition := range topics[name].Partitions {
			if partition.Err == nil && partition.Leader >= 0 {
				ready++
			}
		}
		return ready == partitions, nil
	})
}

func (k *kafka) deleteTopic(ctx context.Context, name string) error {
	_, err := k.admin.DeleteTopic(ctx, name)
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	return nil
}

// stored is how many messages a topic has.
func (k *kafka) stored(ctx context.Context, topic string) (int64, error) {
	ends, err := k.admin.ListEndOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return 0, err
	}
	var sum int64
	ends.Each(func(end kadm.ListedOffset) { sum += end.Offset })
	return sum, nil
}

// committed is how many messages of a topic a group has committed.
func (k *kafka) committed(ctx context.Context, group, topic string, partitions int) (int64, error) {
	var sum int64
	err := k.eachCommitted(ctx, group, topic, partitions, func(_ int32, committed int64) { sum += committed })
	return sum, err
}

// eachCommitted calls visit with what a group has committed of each partition: 0 if it
// never did.
func (k *kafka) eachCommitted(ctx context.Context, group, topic string, partitions int, visit func(partition int32, committed int64)) error {
	offsets, err := k.admin.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		err = nil // nobody has committed anything yet
	}
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return fmt.Errorf("what %s has committed: %w", group, err)
	}
	for partition := range int32(partitions) {
		visit(partition, max(offsets[topic][partition].At, 0))
	}
	return nil
}

// poll asks until the answer is yes. What Kafka can't say just now is asked again.
func poll(ctx context.Context, timeout time.Duration, what string, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if yes, err := ask(); yes || err != nil && !kerr.IsRetriable(err) {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %v in vain for %s", timeout, what)
		}
	}
}
