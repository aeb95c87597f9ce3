package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// patience is how long the cluster has for what it is asked to do.
	patience = time.Minute
	// pause is between two looks at whether it has done so.
	pause = 50 * time.Millisecond
)

// cluster administers a Kafka cluster for the suite.
type cluster struct {
	client *kgo.Client
	admin  *kadm.Client
	opts   []kgo.Opt // of every client

	mu     sync.Mutex
	topics map[string]int // that createTopic has made, and how many partitions they began with
}

func connect(t brokertest.T, brokers []string) *cluster {
	t.Helper()
	opts := []kgo.Opt{kgo.SeedBrokers(brokers...), kgo.DisableClientMetrics(), kgo.MetadataMinAge(pause)}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatalf("administering Kafka: %v", err)
	}
	t.Cleanup(client.Close)
	return &cluster{client: client, admin: kadm.NewClient(client), opts: opts, topics: make(map[string]int)}
}

// do calls f with a context and fails the test if it fails.
func do(t brokertest.T, what string, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f(ctx); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// eventually calls f until it returns nil, and returns its last error if that
// takes too long.
func eventually(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

func (c *cluster) createTopic(t brokertest.T, topic string, partitions int) {
	t.Helper()
	c.mu.Lock()
	c.topics[topic] = partitions
	c.mu.Unlock()
	do(t, "creating topic "+topic, func(ctx context.Context) error {
		limit := strconv.Itoa(maxBatchBytes)
		configs := map[string]*string{"max.message.bytes": &limit}
		if _, err := c.admin.CreateTopic(ctx, int32(partitions), -1, configs, topic); err != nil {
			return err
		}
		return AwaitTopic(ctx, c.client, topic, partitions)
	})
}

// AwaitTopic waits until a new topic, or one that has grown, can be used: every broker
// knows so many partitions, and each one's leader has its log. Kafka says that a topic
// is made when its controller knows of it. The brokers, the same process or not, learn
// of it one after another, and then make the logs: milliseconds later, or seconds where
// the machine or its disk is busy.
//
// It returns an error if ctx ends first.
func AwaitTopic(ctx context.Context, client *kgo.Client, topic string, partitions int) error {
	err := eachBroker(ctx, client, func(b *kgo.Broker) error {
		t, err := describe(ctx, b, topic)
		if err == nil && len(t.Partitions) != partitions {
			err = fmt.Errorf("it knows %d of %d partitions", len(t.Partitions), partitions)
		}
		return err
	})
	if err == nil {
		err = eventually(ctx, func() error {
			ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
			if err == nil {
				err = ends.Error()
			}
			if err == nil && len(ends[topic]) != partitions {
				err = fmt.Errorf("%d of %d partitions have a log", len(ends[topic]), partitions)
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("waiting for topic %s: %w", topic, err)
	}
	return nil
}

func (c *cluster) deleteTopic(t brokertest.T, topic string) {
	t.Helper()
	do(t, "deleting topic "+topic, func(ctx context.Context) error {
		if _, err := c.admin.DeleteTopic(ctx, topic); err != nil {
			return err
		}
		return eachBroker(ctx, c.client, func(b *kgo.Broker) error {
			switch _, err := describe(ctx, b, topic); {
			case err == nil:
				return errors.New("it is still there")
			case !errors.Is(err, errNoTopic):
				return err
			}
			return nil
		})
	})
}

// eachBroker calls f for each broker until it returns nil.
func eachBroker(ctx context.Context, client *kgo.Client, f func(*kgo.Broker) error) error {
	brokers, err := kadm.NewClient(client).ListBrokers(ctx)
	if err != nil {
		return err
	}
	for _, id := range brokers.NodeIDs() {
		b := client.Broker(int(id))
		if err := eventually(ctx, func() error { return f(b) }); err != nil {
			return fmt.Errorf("broker %d: %w", id, err)
		}
	}
	return nil
}

// describe asks one broker for a topic.
func describe(ctx context.Context, b *kgo.Broker, topic string) (*kmsg.MetadataResponseTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	resp, err := b.RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	topics := resp.(*kmsg.MetadataResponse).Topics
	if len(topics) != 1 {
		return nil, fmt.Errorf("the broker describes %d topics instead of 1", len(topics))
	}
	switch err := kerr.ErrorForCode(topics[0].ErrorCode); {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return nil, errNoTopic
	case err != nil:
		return nil, err
	}
	return &topics[0], nil
}

func (c *cluster) addPartitions(t brokertest.T, topic string, total int) {
	t.Helper()
	do(t, "adding partitions to "+topic, func(ctx context.Context) error {
		resp, err := c.admin.UpdatePartitions(ctx, total, topic)
		if err == nil {
			err = resp.Error()
		}
		if err != nil {
			return err
		}
		return AwaitTopic(ctx, c.client, topic, total)
	})
}

func (c *cluster) deleteBefore(t brokertest.T, p broker.TopicPartition, position uint64) {
	t.Helper()
	do(t, "deleting messages of "+p.String(), func(ctx context.Context) error {
		offsets := kadm.Offsets{}
		offsets.AddOffset(p.Topic, p.Partition, int64(position), -1)
		resp, err := c.admin.DeleteRecords(ctx, offsets)
		if err == nil {
			err = resp.Error()
		}
		return err
	})
}

// losePartition has the coordinator forget the member that has the partition, as
// if that had been silent for too long; the member notices and joins again.
func (c *cluster) losePartition(t brokertest.T, subscription string, p broker.TopicPartition) {
	t.Helper()
	do(t, "taking "+p.String(), func(ctx context.Context) error {
		var member string
		err := eventually(ctx, func() error {
			var err error
			member, err = c.holderOf(ctx, subscription, p)
			return err
		})
		if err != nil {
			return err
		}
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group = subscription
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID = member
		req.Members = append(req.Members, m)
		resp, err := req.RequestWith(ctx, c.client)
		if err != nil {
			return err
		}
		for i := range resp.Members {
			if err := kerr.ErrorForCode(resp.Members[i].ErrorCode); err != nil {
				return err
			}
		}
		return kerr.ErrorForCode(resp.ErrorCode)
	})
}

// holderOf returns the group's member that has the partition.
func (c *cluster) holderOf(ctx context.Context, group string, p broker.TopicPartition) (string, error) {
	groups, err := c.admin.DescribeGroups(ctx, group)
	if err != nil {
		return "", err
	}
	for _, m := range groups[group].Members {
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range assigned.Topics {
				for _, partition := range t.Partitions {
					if t.Topic == p.Topic && partition == p.Partition {
						return m.MemberID, nil
					}
				}
			}
		}
	}
	return "", fmt.Errorf("no member of group %q has it", group)
}

// breakConsumers deletes the topics and makes them anew, with the same messages:
// consumers can't go on in another topic of the same name.
func (c *cluster) breakConsumers(t brokertest.T, _ string) {
	t.Helper()
	c.mu.Lock()
	topics := maps.Clone(c.topics)
	c.mu.Unlock()
	for topic, partitions := range topics {
		records := c.read(t, topic)
		c.deleteTopic(t, topic)
		c.createTopic(t, topic, partitions)
		c.write(t, topic, records)
	}
}

// read returns all messages of a topic.
func (c *cluster) read(t brokertest.T, topic string) (records []*kgo.Record) {
	t.Helper()
	do(t, "reading "+topic, func(ctx context.Context) error {
		begin, err := c.admin.ListStartOffsets(ctx, topic)
		if err != nil {
			return err
		}
		end, err := c.admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		var want int64
		end.Each(func(o kadm.ListedOffset) {
			first, _ := begin.Lookup(o.Topic, o.Partition)
			want += o.Offset - first.Offset
		})
		reader, err := kgo.NewClient(append(slices.Clip(c.opts), kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))...)
		if err != nil {
			return err
		}
		defer reader.Close()
		for int64(len(records)) < want {
			fetches := reader.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				return err
			}
			records = append(records, fetches.Records()...)
		}
		return nil
	})
	return records
}

func (c *cluster) write(t brokertest.T, topic string, records []*kgo.Record) {
	t.Helper()
	do(t, "writing "+topic, func(ctx context.Context) error {
		writer, err := kgo.NewClient(append(slices.Clip(c.opts), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			return err
		}
		defer writer.Close()
		for _, r := range records {
			again := &kgo.Record{
				Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp,
			}
			if err := writer.ProduceSync(ctx, again).FirstErr(); err != nil {
				return err
			}
		}
		return nil
	})
}
