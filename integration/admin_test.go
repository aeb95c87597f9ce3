package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/messageproxy/messageproxy/broker-kafka/kafkatest"
)

// admin looks at Kafka from outside the proxy.
type admin struct {
	t       *testing.T
	brokers []string
	client  *kgo.Client
	kadm    *kadm.Client
}

func newAdmin(t *testing.T, brokers []string) *admin {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &admin{t, brokers, client, kadm.NewClient(client)}
}

var lastName atomic.Int64

// unique returns a name that no other test has used, also not on a Kafka that is
// kept between runs.
func unique(t *testing.T, kind string) string {
	name := strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())
	return fmt.Sprintf("%s-%s-%d-%d", kind, name, time.Now().UnixMilli(), lastName.Add(1))
}

// setting is one of a topic's.
type setting struct {
	name  string
	value int
}

// createTopic creates a topic and returns its name.
func (a *admin) createTopic(partitions int32, settings ...setting) string {
	a.t.Helper()
	name := unique(a.t, "topic")
	configs := map[string]*string{"max.message.bytes": kadm.StringPtr("33554432")}
	for _, s := range settings {
		configs[s.name] = kadm.StringPtr(strconv.Itoa(s.value))
	}
	_, err := a.kadm.CreateTopic(a.ctx(), partitions, 1, configs, name)
	require.NoError(a.t, err)
	a.awaitTopic(name, partitions)
	return name
}

// ensureTopic creates a topic that a Kafka that is kept between runs may have.
func (a *admin) ensureTopic(name string, partitions int32) {
	a.t.Helper()
	_, err := a.kadm.CreateTopic(a.ctx(), partitions, 1, nil, name)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return
	}
	require.NoError(a.t, err)
	a.awaitTopic(name, partitions)
}

func (a *admin) awaitTopic(name string, partitions int32) {
	a.t.Helper()
	require.NoError(a.t, kafkatest.AwaitTopic(a.ctx(), a.client, name, int(partitions)))
}

// awaitLogs waits until brokers store what is sent to a topic in its own logs. Until
// then, they may write to those of a topic of the same name that was deleted, and say
// so: that a topic is there is known before.
func (a *admin) awaitLogs(created kadm.CreateTopicResponse) {
	a.t.Helper()
	request := kmsg.NewPtrFetchRequest()
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = created.Topic, created.ID
	for number := range created.NumPartitions {
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition, partition.PartitionMaxBytes = number, 1
		topic.Partitions = append(topic.Partitions, partition)
	}
	request.Topics = append(request.Topics, topic)
	eventually(a.t, patience, func() bool {
		response, err := request.RequestWith(a.ctx(), a.client)
		if err != nil || response.ErrorCode != 0 || len(response.Topics) != 1 {
			return false
		}
		return !slices.ContainsFunc(response.Topics[0].Partitions, func(p kmsg.FetchResponseTopicPartition) bool {
			return p.ErrorCode != 0
		})
	}, "the topic that was created has logs of its own")
}

func (a *admin) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	a.t.Cleanup(cancel)
	return ctx
}

// fill stores n messages, "p-0", "p-1", …, in each partition, past the proxy.
func (a *admin) fill(topic string, partitions int32, n int) {
	a.t.Helper()
	var records []*kgo.Record
	for i := range n {
		for p := range partitions {
			records = append(records, &kgo.Record{Topic: topic, Partition: p, Value: fmt.Appendf(nil, "%d-%d", p, i)})
		}
	}
	require.NoError(a.t, a.client.ProduceSync(a.ctx(), records...).FirstErr())
}

// fillRandom stores n messages of random bytes, which don't compress, in partition 0.
func (a *admin) fillRandom(topic string, n, size int) {
	a.t.Helper()
	random := rand.NewChaCha8([32]byte{})
	records := make([]*kgo.Record, n)
	for i := range records {
		value := make([]byte, size)
		_, _ = random.Read(value)
		records[i] = &kgo.Record{Topic: topic, Value: value}
	}
	require.NoError(a.t, a.client.ProduceSync(a.ctx(), records...).FirstErr())
}

// committed returns the committed position of each partition of a topic; those
// without one are missing.
func (a *admin) committed(subscription, topic string) map[int32]int64 {
	a.t.Helper()
	offsets, err := a.kadm.FetchOffsets(a.ctx(), subscription)
	require.NoError(a.t, err)
	require.NoError(a.t, offsets.Error())
	positions := make(map[int32]int64)
	for p, o := range offsets[topic] {
		if o.At >= 0 {
			positions[p] = o.At
		}
	}
	return positions
}

// committedSum is the sum of the committed positions.
func (a *admin) committedSum(subscription, topic string) int64 {
	return sum(a.committed(subscription, topic))
}

// members returns how many members a subscription's consumer group has.
func (a *admin) members(subscription string) int {
	a.t.Helper()
	groups, err := a.kadm.DescribeGroups(a.ctx(), subscription)
	require.NoError(a.t, err)
	return len(groups[subscription].Members)
}

// ends returns the end offset of each partition.
func (a *admin) ends(topic string) map[int32]int64 {
	a.t.Helper()
	listed, err := a.kadm.ListEndOffsets(a.ctx(), topic)
	require.NoError(a.t, err)
	require.NoError(a.t, listed.Error())
	ends := make(map[int32]int64)
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends
}

// readAll returns the records of a topic, each partition's in order.
func readAll(t *testing.T, brokers []string, topic string, ends map[int32]int64) map[int32][]*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	left := sum(ends)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	records := make(map[int32][]*kgo.Record)
	for left > 0 {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			records[r.Partition] = append(records[r.Partition], r)
			left--
		})
	}
	return records
}

// values returns the values in each partition of a topic, in order.
func (a *admin) values(topic string, ends map[int32]int64) map[int32][]string {
	a.t.Helper()
	values := make(map[int32][]string)
	for p, records := range readAll(a.t, a.brokers, topic, ends) {
		for _, r := range records {
			values[p] = append(values[p], string(r.Value))
		}
	}
	return values
}

// await waits until look says that something is met. It looks again when the channel
// that look returns says so. missing says what was waited for in vain.
func await(t *testing.T, within time.Duration, look func() (met bool, changed <-chan struct{}), missing func() string) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		met, changed := look()
		if met {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			require.FailNow(t, "waited in vain", missing())
		}
	}
}

// eventually waits for something that Kafka or another process does, which gives no
// signal.
func eventually(t *testing.T, within time.Duration, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, within, 50*time.Millisecond, what)
}
