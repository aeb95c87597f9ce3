package tap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/messageproxy/messageproxy/integration/history"
)

// ReadPositions records where a subscription durably stands in each partition in
// which it has a position.
func (t *Tap) ReadPositions(ctx context.Context, admin *kadm.Client, subscription string) error {
	offsets, err := admin.FetchOffsets(ctx, subscription)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return fmt.Errorf("reading the positions of subscription %q: %w", subscription, err)
	}
	var events []history.Event
	for _, o := range offsets.Sorted() {
		if o.At >= 0 {
			p := history.Partition{Topic: t.topics.latest(o.Topic), Number: o.Partition}
			events = append(events, history.PositionRead{Subscription: subscription, Partition: p, Position: o.At})
		}
	}
	t.recorder.Record(events...)
	return nil
}

// ReadTopics learns which incarnation of the topics is the present one, and must be
// called when a topic has been created again; otherwise its UUID is learnt from
// its first message.
func (t *Tap) ReadTopics(ctx context.Context, admin *kadm.Client, topics ...string) error {
	_, err := t.readTopics(ctx, admin, topics)
	return err
}

func (t *Tap) readTopics(ctx context.Context, admin *kadm.Client, topics []string) (kadm.TopicDetails, error) {
	details, err := admin.ListTopics(ctx, topics...)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("reading what topics there are: %w", err)
	}
	for name, d := range details {
		t.topics.name(name, d.ID)
	}
	return details, nil
}

// ReadLogs records everything that a consumer can read of topics: each partition
// from its start to its end, as it is now, without what transactions have taken
// back. client is for requests alone; what else it does is left as it is.
func (t *Tap) ReadLogs(ctx context.Context, client *kgo.Client, topics ...string) error {
	admin := kadm.NewClient(client)
	details, err := t.readTopics(ctx, admin, topics)
	if err != nil {
		return err
	}
	compacted, err := compactedTopics(ctx, admin, topics)
	if err != nil {
		return err
	}
	ends, err := admin.ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("reading the ends of topics: %w", err)
	}
	for _, topic := range details.Sorted() {
		for _, p := range topic.Partitions.Sorted() {
			end, _ := ends.Lookup(topic.Topic, p.Partition)
			log := logReader{client: client, admin: admin, topic: topic, partition: p.Partition, end: end.Offset}
			messages, err := log.read(ctx)
			if err != nil {
				return fmt.Errorf("reading partition %d of topic %q: %w", p.Partition, topic.Topic, err)
			}
			t.recorder.Record(history.Log{
				Partition: history.Partition{Topic: t.topics.name(topic.Topic, topic.ID), Number: p.Partition},
				Messages:  messages,
				Compacted: compacted[topic.Topic],
			})
		}
	}
	return nil
}

func compactedTopics(ctx context.Context, admin *kadm.Client, topics []string) (map[string]bool, error) {
	configs, err := admin.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("reading the settings of topics: %w", err)
	}
	compacted := make(map[string]bool)
	for _, topic := range configs {
		for _, c := range topic.Configs {
			if c.Key == "cleanup.policy" && strings.Contains(c.MaybeValue(), "compact") {
				compacted[topic.Name] = true
			}
		}
	}
	return compacted, nil
}

// logReader fetches one partition, request by request: so it knows how far it is
// even where there is nothing to be seen.
type logReader struct {
	client    *kgo.Client
	admin     *kadm.Client
	topic     kadm.TopicDetail
	partition int32
	next, end int64
}

const (
	fetchBytes = 16 << 20
	fetchWait  = 100 * time.Millisecond
)

func (l *logReader) read(ctx context.Context) ([]history.Message, error) {
	var messages []history.Message
	for l.next < l.end {
		records, err := l.fetch(ctx)
		switch {
		case errors.Is(err, kerr.OffsetOutOfRange):
			err = l.skipDeleted(ctx)
		case kerr.IsRetriable(err):
			err = l.findLeader(ctx)
		}
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if r.Offset >= l.end {
				break
			}
			id := formatID(idParts{topic: l.topic.ID, partition: l.partition, position: r.Offset})
			messages = append(messages, history.Message{ID: id, Position: r.Offset, Token: Token(r.Value)})
		}
	}
	return messages, nil
}

// fetch fetches from next on, and moves it.
func (l *logReader) fetch(ctx context.Context) ([]*kgo.Record, error) {
	response, err := l.request().RequestWith(ctx, l.client.Broker(int(l.topic.Partitions[l.partition].Leader)))
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return nil, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return nil, errors.New("the answer to a fetch of one partition is not of one partition")
	}
	in := &response.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(in.ErrorCode); err != nil {
		return nil, err
	}
	options := kgo.ProcessFetchPartitionOpts{
		Offset: l.next, IsolationLevel: kgo.ReadCommitted(), Topic: l.topic.Topic, Partition: l.partition,
	}
	out, next := kgo.ProcessFetchPartition(options, in, kgo.DefaultDecompressor(), nil)
	l.next = next
	return out.Records, out.Err
}

func (l *logReader) request() *kmsg.FetchRequest {
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = l.partition, l.next, fetchBytes
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = l.topic.Topic, l.topic.ID, []kmsg.FetchRequestTopicPartition{partition}
	request := kmsg.NewPtrFetchRequest()
	request.ReplicaID, request.SessionEpoch, request.IsolationLevel = -1, -1, 1
	request.MaxBytes, request.MinBytes, request.MaxWaitMillis = fetchBytes, 1, int32(fetchWait.Milliseconds())
	request.Topics = []kmsg.FetchRequestTopic{topic}
	return request
}

// skipDeleted goes on with the oldest message that is left.
func (l *logReader) skipDeleted(ctx context.Context) error {
	starts, err := l.admin.ListStartOffsets(ctx, l.topic.Topic)
	if err == nil {
		err = starts.Error()
	}
	if start, ok := starts.Lookup(l.topic.Topic, l.partition); ok && err == nil {
		l.next = max(l.next, start.Offset)
	}
	return err
}

// findLeader waits a moment and asks who leads the partition now.
func (l *logReader) findLeader(ctx context.Context) error {
	timer := time.NewTimer(fetchWait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	details, err := l.admin.ListTopics(ctx, l.topic.Topic)
	if err == nil {
		err = details.Error()
	}
	if err == nil {
		l.topic = details[l.topic.Topic]
	}
	return err
}
