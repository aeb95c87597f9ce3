// Package kafkatest has what tests of the Kafka backend share: the harnesses by
// which brokertest.Run checks it, on the embedded Kafka and on a real one, and a
// Network with faults to put between a client and a Kafka cluster.
package kafkatest

import (
	"log/slog"
	"os"
	"strings"
	"sync"

	kafka "github.com/messageproxy/messageproxy/broker-kafka"
	"github.com/messageproxy/messageproxy/broker/brokertest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// EnvBrokers names the environment variable with the addresses, comma-separated,
// of a Kafka cluster to test with. Tests create topics and groups of their own
// there, with random names, and delete none of them.
const EnvBrokers = "MESSAGEPROXY_TEST_KAFKA"

// EnvLog names the environment variable that, if it isn't empty, has the backend
// log to standard error.
const EnvLog = "MESSAGEPROXY_TEST_LOG"

const (
	// maxBatchBytes is what the topics of the suite take in one batch: Kafka's
	// default.
	maxBatchBytes = 1<<20 + 12
	// tooLarge is the size of a message that they don't take.
	tooLarge = 2 << 20
	// fetchBytes is what the backend asks for in one fetch of a partition.
	fetchBytes = 256 << 10
)

// Brokers returns the addresses in EnvBrokers.
func Brokers() []string {
	var brokers []string
	for b := range strings.SplitSeq(os.Getenv(EnvBrokers), ",") {
		if b = strings.TrimSpace(b); b != "" {
			brokers = append(brokers, b)
		}
	}
	return brokers
}

// OnEmbedded returns a harness that gives every check a cluster of its own, of the
// embedded Kafka, on TCP.
func OnEmbedded() brokertest.Harness {
	return harness(openEmbedded)
}

// OnKafka returns a harness for the Kafka cluster at these addresses. The checks
// share it, and disturb nothing but their own connections, topics and groups.
func OnKafka(brokers []string) brokertest.Harness {
	h := harness(func(t brokertest.T) brokertest.Backend {
		return open(t, brokers)
	})
	h.Cannot = map[brokertest.Capability]string{
		brokertest.CanFailAcks: "a real Kafka can't be told to refuse a group's commits; the check runs on the embedded one",
	}
	return h
}

func harness(open func(brokertest.T) brokertest.Backend) brokertest.Harness {
	return brokertest.Harness{
		Open: open,
		// Brokers don't cut batches: the first of a fetch comes whatever its size, and
		// so may one that only begins within the limit.
		Overshoot: func(size int) int { return (fetchBytes + 2*maxBatchBytes) / max(size, 1) },
	}
}

// openEmbedded starts an embedded Kafka and opens the backend on it.
func openEmbedded(t brokertest.T) brokertest.Backend {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatalf("embedded Kafka: %v", err)
	}
	t.Cleanup(k.Close)
	b := open(t, k.ListenAddrs())
	b.FailAcks = (&commitFaults{kafka: k, by: make(map[string]*kfake.FaultHandle)}).set
	return b
}

// commitFaults make an embedded Kafka refuse commits.
type commitFaults struct {
	kafka *kfake.Cluster

	mu sync.Mutex
	by map[string]*kfake.FaultHandle // group
}

func (f *commitFaults) set(_ brokertest.T, group string, fail bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.by[group]; h != nil {
		h.Remove()
		delete(f.by, group)
	}
	if fail {
		f.by[group] = f.kafka.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.CoordinatorNotAvailable, Count: -1,
		})
	}
}

// open opens the backend, twice, on a Kafka cluster, with a network of its own.
func open(t brokertest.T, brokers []string) brokertest.Backend {
	t.Helper()
	n, c := NewNetwork(nil), connect(t, brokers)
	return brokertest.Backend{
		Broker:             openBackend(t, brokers, n),
		Another:            openBackend(t, brokers, n),
		TooLarge:           tooLarge,
		CreateTopic:        c.createTopic,
		DeleteTopic:        c.deleteTopic,
		AddPartitions:      c.addPartitions,
		DeleteBefore:       c.deleteBefore,
		LosePartition:      c.losePartition,
		BreakConsumers:     c.breakConsumers,
		SetReachable:       func(_ brokertest.T, reachable bool) { n.SetReachable(reachable) },
		LoseProduceAnswers: func(_ brokertest.T, lose bool) { n.LoseProduceAnswers(lose) },
	}
}

func openBackend(t brokertest.T, brokers []string, n *Network) *kafka.Broker {
	t.Helper()
	opts := kafka.Options{Brokers: brokers, ClientOptions: []kgo.Opt{kgo.Dialer(n.Dial)}}
	if os.Getenv(EnvLog) != "" {
		opts.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	b, err := kafka.New(opts)
	if err != nil {
		t.Fatalf("opening the backend: %v", err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}
