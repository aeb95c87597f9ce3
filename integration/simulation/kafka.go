//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/messageproxy/messageproxy/integration/history"
)

// kafkaCluster is the Kafka of a world. Its brokers are the nodes b0, b1, ...
type kafkaCluster struct {
	world     *world
	cluster   *kfake.Cluster
	addresses []string
	client    *kgo.Client // for looking and for what operators do
	admin     *kadm.Client
	requests  *requestFaults
	committed chan struct{} // a commit has come

	mu        sync.Mutex
	positions map[positionKey]int64 // as last recorded
	reads     int                   // how often positions were recorded
}

type positionKey struct {
	subscription string
	partition    history.Partition
}

const firstBrokerPort = 9092

func newKafkaCluster(w *world) *kafkaCluster {
	k := &kafkaCluster{
		world: w, requests: &requestFaults{world: w}, committed: make(chan struct{}, 1),
		positions: map[positionKey]int64{},
	}
	var ports []int
	for i := range max(w.plan.Brokers, 1) {
		ports = append(ports, firstBrokerPort+i)
		k.addresses = append(k.addresses, fmt.Sprintf("127.0.0.1:%d", firstBrokerPort+i))
	}
	var err error
	k.cluster, err = kfake.NewCluster(kfake.Ports(ports...), kfake.ListenFn(k.listen))
	require.NoError(w.t, err)
	for _, topic := range w.plan.Topics {
		require.NoError(w.t, k.create(topic.Name, topic.Partitions, topic.Compacted))
	}
	k.client, err = kgo.NewClient(kgo.SeedBrokers(k.addresses...), kgo.Dialer(k.dialer("operator")), kgo.DisableClientMetrics())
	require.NoError(w.t, err)
	k.admin = kadm.NewClient(k.client)
	k.observe()
	watchSessions(k)
	k.cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		k.keepEndsOfEmptyLogs(request.(*kmsg.OffsetForLeaderEpochRequest))
		return nil, nil, false
	})
	ids := &producerIDs{ids: map[producerPartition]int64{}}
	k.cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		k.cluster.KeepControl()
		ids.separate(request.(*kmsg.ProduceRequest))
		response := k.refuseTopicsThatAreGone(request.(*kmsg.ProduceRequest))
		return response, nil, response != nil
	})
	return k
}

func (k *kafkaCluster) listen(_, address string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	return k.world.network.listen(fmt.Sprintf("b%d", n-firstBrokerPort), address)
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer is how a node reaches Kafka, undisturbed but for its network.
func (k *kafkaCluster) dialer(node string) dialFunc {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		return k.world.network.dial(ctx, node, strings.Replace(address, "localhost", "127.0.0.1", 1))
	}
}

func (k *kafkaCluster) create(topic string, partitions int, compacted bool) error {
	configs := map[string]string{}
	if compacted {
		configs["cleanup.policy"] = "compact"
		configs["min.cleanable.dirty.ratio"] = "0"
	}
	if err := k.cluster.CreateTopic(topic, int32(max(partitions, 1)), configs); err != nil {
		return err
	}
	k.world.tap.Created(topic, k.cluster.TopicInfo(topic).TopicID)
	return nil
}

// plainName is the topic that history calls so.
func (k *kafkaCluster) plainName(incarnation string) string {
	name, _, _ := strings.Cut(incarnation, "#")
	return name
}

// topics are those that exist.
func (k *kafkaCluster) topics() []string {
	var topics []string
	for _, t := range k.world.plan.Topics {
		if k.cluster.TopicInfo(t.Name) != nil {
			topics = append(topics, t.Name)
		}
	}
	return topics
}

func (k *kafkaCluster) partitions(topic string) int {
	return len(k.cluster.PartitionInfos(topic))
}

// refuseTopicsThatAreGone answers requests to produce to two topics or more that are gone:
// kfake takes one for the other, and panics. What is for other topics is refused so that
// it is sent again. Otherwise it returns nil.
func (k *kafkaCluster) refuseTopicsThatAreGone(request *kmsg.ProduceRequest) kmsg.Response {
	gone := 0
	response := request.ResponseKind().(*kmsg.ProduceResponse)
	for i := range request.Topics {
		t := &request.Topics[i]
		err := kerr.NotLeaderForPartition
		if t.TopicID != [16]byte{} && k.cluster.TopicIDInfo(t.TopicID) == nil {
			err = kerr.UnknownTopicID
			gone++
		}
		answer := kmsg.NewProduceResponseTopic()
		answer.Topic, answer.TopicID = t.Topic, t.TopicID
		for j := range t.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode = t.Partitions[j].Partition, err.Code
			answer.Partitions = append(answer.Partitions, p)
		}
		response.Topics = append(response.Topics, answer)
	}
	if gone < 2 {
		return nil
	}
	return response
}

// keepEndsOfEmptyLogs has kfake answer that older leaders' messages end where the log
// does, if all of them have expired. It would say that they end at 0, as if the log had
// been cut off.
func (k *kafkaCluster) keepEndsOfEmptyLogs(request *kmsg.OffsetForLeaderEpochRequest) {
	for i := range request.Topics {
		t := &request.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			log := k.cluster.PartitionInfo(t.Topic, p.Partition)
			if log != nil && log.LogStartOffset == log.HighWatermark && p.LeaderEpoch < log.Epoch {
				p.LeaderEpoch = log.Epoch
			}
		}
	}
}

// observe has positions recorded before a commit changes them, and soon after: so
// each that there ever was is seen.
func (k *kafkaCluster) observe() {
	k.cluster.ControlKey(int16(kmsg.OffsetCommit), func(request kmsg.Request) (kmsg.Response, error, bool) {
		k.readPositions(request.(*kmsg.OffsetCommitRequest).Group)
		select {
		case k.committed <- struct{}{}:
		default:
		}
		return nil, nil, false
	})
	k.world.wg.Go(func() {
		for {
			select {
			case <-k.world.lasting.Done():
				return
			case <-k.committed:
				time.Sleep(time.Millisecond)
				k.readAllPositions()
			}
		}
	})
}

func (k *kafkaCluster) readAllPositions() {
	for _, s := range k.world.plan.Subscriptions {
		k.readPositions(s.Name)
	}
}

// readPositions records the positions of a subscription that have changed. It reads
// them again if others were recorded meanwhile, for they may be newer than its own.
func (k *kafkaCluster) readPositions(subscription string) {
	for k.recordPositions(subscription) {
	}
}

// recordPositions answers true if it has to be called again.
func (k *kafkaCluster) recordPositions(subscription string) (again bool) {
	k.mu.Lock()
	reads := k.reads
	k.mu.Unlock()
	info := k.cluster.GroupInfo(subscription) // not under mu, for Kafka itself may wait for that
	if info == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reads != reads {
		return true
	}
	k.reads++
	for topic, partitions := range info.Commits {
		for number, commit := range partitions {
			key := positionKey{subscription, history.Partition{Topic: k.world.tap.TopicName(topic), Number: number}}
			if last, ok := k.positions[key]; ok && last == commit.Offset {
				continue
			}
			k.positions[key] = commit.Offset
			k.world.recorder.Record(history.PositionRead{Subscription: subscription, Partition: key.partition, Position: commit.Offset})
		}
	}
	return false
}

// openTransactions says which partitions have one: what is behind it can't be read.
func (k *kafkaCluster) openTransactions() []string {
	var open []string
	for _, topic := range k.topics() {
		for _, p := range k.cluster.PartitionInfos(topic) {
			if p.LastStableOffset < p.HighWatermark {
				open = append(open, fmt.Sprintf("a transaction is open in %s/%d", topic, p.Partition))
			}
		}
	}
	return open
}

// groups says who Kafka thinks has which partitions.
func (k *kafkaCluster) groups() string {
	var b strings.Builder
	for _, s := range k.world.plan.Subscriptions {
		info := k.cluster.GroupInfo(s.Name)
		if info == nil {
			fmt.Fprintf(&b, "no group %s. ", s.Name)
			continue
		}
		fmt.Fprintf(&b, "group %s is %s:", s.Name, info.State)
		for _, m := range info.Members {
			fmt.Fprintf(&b, " %s has %v,", m.ClientHost, m.Assignment)
		}
		b.WriteString(" and nobody else. ")
	}
	return b.String()
}

func (k *kafkaCluster) close() {
	k.client.Close()
	k.cluster.Close()
}

// position is where a subscription stands, if it does.
func (k *kafkaCluster) position(subscription string, p history.Partition) (int64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	position, ok := k.positions[positionKey{subscription, p}]
	return position, ok
}
