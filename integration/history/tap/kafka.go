package tap

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/messageproxy/messageproxy/integration/history"
)

// ReadPositions records where a subscription durably stands in each partition in
// which it has a position. Concurrent calls take turns: else the older of two answers
// could be recorded last, and look like a step back.
func (t *Tap) ReadPositions(ctx context.Context, admin *kadm.Client, subscription string) error {
	select {
	case t.reading <- struct{}{}:
		defer func() { <-t.reading }()
	case <-ctx.Done():
		return fmt.Errorf("reading the positions of subscription %q: %w", subscription, ctx.Err())
	}
	offsets, err := admin.FetchOffsets(ctx, subscription)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil // it has none
	}
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return fmt.Errorf("reading the positions of subscription %q: %w", subscription, err)
	}
	var events []history.Event
	for _, o := range offsets.Sorted() {
		if o.At >= 0 {
			name := t.topics.latest(o.Topic)
			if id, ok := notedTopic(o.Metadata); ok {
				name = t.topics.name(o.Topic, id)
			}
			p := history.Partition{Topic: name, Number: o.Partition}
			events = append(events, history.PositionRead{Subscription: subscription, Partition: p, Position: o.At})
		}
	}
	t.recorder.Record(events...)
	return nil
}

// notedTopic returns the UUID of the topic that a position is noted to be of. Kafka
// knows positions by the topic's name, and has those of a topic that was deleted for
// a while.
func notedTopic(note string) (id topicID, ok bool) {
	_, text, _ := strings.Cut(note, "topic=")
	text, _, _ = strings.Cut(text, ";")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return id, false
	}
	return topicID(raw), true
}

// ReadTopics learns which incarnation of the topics is the present one, and must be
// called when a topic has been created again; otherwise its UUID is learnt from
// its first message.
func (t *Tap) ReadTopics(ctx context.Context, client *kgo.Client, topics ...string) error {
	_, err := t.readTopics(ctx, client, topics)
	return err
}

// Created says that a topic has been created, with this UUID: as ReadTopics learns
// it, for who knows without asking.
func (t *Tap) Created(topic string, id [16]byte) { t.topics.name(topic, id) }

// topicNow is what brokers say about a topic at this moment.
type topicNow struct {
	name    string
	id      topicID
	leaders map[int32]int32 // of its partitions
}

// readTopics asks the brokers: the client may remember what was true before.
func (t *Tap) readTopics(ctx context.Context, client *kgo.Client, topics []string) ([]topicNow, error) {
	request := kmsg.NewPtrMetadataRequest()
	for _, topic := range topics {
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = &topic
		request.Topics = append(request.Topics, asked)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("asking for topics: %w", err)
	}
	found := make([]topicNow, len(response.Topics))
	for i := range response.Topics {
		in := &response.Topics[i]
		if err := kerr.ErrorForCode(in.ErrorCode); err != nil {
			return nil, fmt.Errorf("asking for topics, of which one is %q: %w", topics[0], err)
		}
		found[i] = topicNow{name: *in.Topic, id: in.TopicID, leaders: make(map[int32]int32)}
		for j := range in.Partitions {
			found[i].leaders[in.Partitions[j].Partition] = in.Partitions[j].Leader
		}
		t.topics.name(found[i].name, found[i].id)
	}
	slices.SortFunc(found, func(a, b topicNow) int { return strings.Compare(a.name, b.name) })
	return found, nil
}

// ReadLogs records everything that a consumer can read of topics: each partition
// from its start to its end, as it is now, without what transactions have taken
// back. client is for requests alone; what else it does is left as it is.
func (t *Tap) ReadLogs(ctx context.Context, client *kgo.Client, topics ...string) error {
	admin := kadm.NewClient(client)
	found, err := t.readTopics(ctx, client, topics)
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
	for _, topic := range found {
		for _, p := range slices.Sorted(maps.Keys(topic.leaders)) {
			end, _ := ends.Lookup(topic.name, p)
			log := logReader{tap: t, client: client, topic: topic, partition: p, end: end.Offset}
			messages, err := log.read(ctx)
			if err != nil {
				return fmt.Errorf("reading partition %d of topic %q: %w", p, topic.name, err)
			}
			t.recorder.Record(history.Log{
				Partition: history.Partition{Topic: t.topics.name(topic.name, topic.id), Number: p},
				Messages:  messages,
				Compacted: compacted[topic.name],
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
	tap       *Tap
	client    *kgo.Client
	topic     topicNow
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
			id := formatID(idParts{topic: l.topic.id, partition: l.partition, position: r.Offset})
			messages = append(messages, history.Message{ID: id, Position: r.Offset, Token: Token(r.Value), Size: sizeOfRecord(r)})
		}
	}
	return messages, nil
}

// fetch fetches from next on, and moves it.
func (l *logReader) fetch(ctx context.Context) ([]*kgo.Record, error) {
	response, err := l.request().RequestWith(ctx, l.client.Broker(int(l.topic.leaders[l.partition])))
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
		Offset: l.next, IsolationLevel: kgo.ReadCommitted(), Topic: l.topic.name, Partition: l.partition,
	}
	out, next := kgo.ProcessFetchPartition(options, in, kgo.DefaultDecompressor(), nil)
	l.next = next
	return out.Records, out.Err
}

func (l *logReader) request() *kmsg.FetchRequest {
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = l.partition, l.next, fetchBytes
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = l.topic.name, l.topic.id, []kmsg.FetchRequestTopicPartition{partition}
	request := kmsg.NewPtrFetchRequest()
	request.ReplicaID, request.SessionEpoch, request.IsolationLevel = -1, -1, 1
	request.MaxBytes, request.MinBytes, request.MaxWaitMillis = fetchBytes, 1, int32(fetchWait.Milliseconds())
	request.Topics = []kmsg.FetchRequestTopic{topic}
	return request
}

// skipDeleted goes on with the oldest message that is left.
func (l *logReader) skipDeleted(ctx context.Context) error {
	starts, err := kadm.NewClient(l.client).ListStartOffsets(ctx, l.topic.name)
	if err == nil {
		err = starts.Error()
	}
	if start, ok := starts.Lookup(l.topic.name, l.partition); ok && err == nil {
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
	found, err := l.tap.readTopics(ctx, l.client, []string{l.topic.name})
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0].id != l.topic.id {
		return errors.New("the topic was created again meanwhile")
	}
	l.topic = found[0]
	return nil
}

func sizeOfRecord(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}
