//go:build synctests

package kafka

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestConformanceInVirtualTime runs the conformance suite on kfake, each check in
// a bubble with a cluster of its own.
func TestConformanceInVirtualTime(t *testing.T) {
	h := brokertest.Harness{
		Open: openConformance,
		// A fetch has at least one batch, and kfake takes batches of any size.
		Overshoot: func(size int) int { return (fetchPartitionBytes + 2*conformanceTooLarge) / max(size, 1) },
		Patience:  time.Minute,
		Quiet:     2 * time.Second,
	}
	for _, check := range brokertest.Checks() {
		t.Run(check.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { check.Run(t, h) })
		})
	}
}

const conformanceTooLarge = 2 << 20

// conformance is the cluster of one check.
type conformance struct {
	cluster *kfake.Cluster
	network *kfake.VirtualNetwork
	client  *kgo.Client
	admin   *kadm.Client
	link    *link // of both backends

	mu     sync.Mutex
	faults map[string]*kfake.FaultHandle // of commits, by subscription
}

func openConformance(t brokertest.T) brokertest.Backend {
	c := &conformance{network: &kfake.VirtualNetwork{}, faults: map[string]*kfake.FaultHandle{}}
	var err error
	c.cluster, err = kfake.NewCluster(kfake.ListenFn(distant(c.network)), kfake.NumBrokers(1), kfake.Ports(9092))
	fatal(t, err)
	t.Cleanup(func() { closeDistant(c.cluster) })
	c.link = newLink(&env{network: c.network})
	c.client, err = kgo.NewClient(kgo.SeedBrokers(c.cluster.ListenAddrs()...), kgo.Dialer(c.network.DialContext), kgo.DisableClientMetrics())
	fatal(t, err)
	t.Cleanup(c.client.Close)
	c.admin = kadm.NewClient(c.client)
	return brokertest.Backend{
		Broker:             c.open(t),
		Another:            c.open(t),
		TooLarge:           conformanceTooLarge,
		CreateTopic:        c.createTopic,
		DeleteTopic:        c.deleteTopic,
		AddPartitions:      c.addPartitions,
		DeleteBefore:       c.deleteBefore,
		SetReachable:       c.setReachable,
		FailAcks:           c.failAcks,
		LoseProduceAnswers: c.loseProduceAnswers,
		LosePartition:      c.losePartition,
		BreakConsumers:     c.breakConsumers,
	}
}

func fatal(t brokertest.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func (c *conformance) open(t brokertest.T) broker.Broker {
	opts := Options{
		Brokers:       c.cluster.ListenAddrs(),
		ClientOptions: []kgo.Opt{kgo.Dialer(c.link.dial), kgo.DisableClientMetrics()},
	}
	if os.Getenv("KAFKA_TEST_LOG") != "" {
		opts.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	b, err := New(opts)
	fatal(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func (c *conformance) createTopic(t brokertest.T, topic string, partitions int) {
	_, err := c.admin.CreateTopic(context.Background(), int32(partitions), 1, nil, topic)
	fatal(t, err)
}

func (c *conformance) deleteTopic(t brokertest.T, topic string) {
	_, err := c.admin.DeleteTopic(context.Background(), topic)
	fatal(t, err)
}

func (c *conformance) addPartitions(t brokertest.T, topic string, total int) {
	resps, err := c.admin.UpdatePartitions(context.Background(), total, topic)
	fatal(t, err)
	fatal(t, resps.Error())
}

func (c *conformance) deleteBefore(t brokertest.T, p broker.TopicPartition, position uint64) {
	var offsets kadm.Offsets
	offsets.AddOffset(p.Topic, p.Partition, int64(position), -1)
	resps, err := c.admin.DeleteRecords(context.Background(), offsets)
	fatal(t, err)
	fatal(t, resps.Error())
}

func (c *conformance) setReachable(_ brokertest.T, reachable bool) {
	if reachable {
		c.link.mend()
	} else {
		c.link.cut()
	}
}

func (c *conformance) failAcks(_ brokertest.T, subscription string, fail bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.faults[subscription]; h != nil {
		h.Remove()
		delete(c.faults, subscription)
	}
	if fail {
		c.faults[subscription] = c.cluster.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: subscription, Err: kerr.CoordinatorNotAvailable, Count: -1,
		})
	}
}

func (c *conformance) loseProduceAnswers(_ brokertest.T, lose bool) {
	if lose {
		c.link.loseAnswers()
	} else {
		c.link.thaw()
	}
}

func (c *conformance) losePartition(t brokertest.T, subscription string, _ broker.TopicPartition) {
	h := c.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: subscription, Err: kerr.UnknownMemberID, TopLevel: true})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fatal(t, h.Wait(ctx, 1))
}

// breakConsumers makes the topics look deleted until a consumer leaves.
func (c *conformance) breakConsumers(brokertest.T, string) {
	h := c.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.UnknownTopicID, Count: -1})
	c.cluster.ControlKey(int16(kmsg.LeaveGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.cluster.DropControl()
		h.Remove()
		return nil, nil, false
	})
}

// TestVirtualConformanceHarness: the suite has checks for everything that this
// harness can do.
func TestVirtualConformanceHarness(t *testing.T) {
	var needed []brokertest.Capability
	for _, check := range brokertest.Checks() {
		needed = append(needed, check.Needs...)
	}
	for _, capability := range brokertest.Capabilities() {
		if !slices.Contains(needed, capability) {
			t.Errorf("no check needs to %s", capability)
		}
	}
}
