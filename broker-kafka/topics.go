package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicTimeout is the contract's limit for saying that a topic doesn't exist.
// A request that has to be answered within it leaves the rest for the way back.
const topicTimeout = 10 * time.Second

// ensureTopics returns the ids of the topics, created first if they don't exist
// and Options.CreateTopics is set. It takes at most 10 seconds. Errors are
// *broker.Error: CodeTopicNotFound and CodePermissionDenied name the first topic
// that is missing or denied, CodeUnavailable says that Kafka can't be reached.
//
// A topic's id is the zero UUID where Kafka (older than 2.8) has none.
func (b *Broker) ensureTopics(ctx context.Context, cl *kgo.Client, topics []string) (map[string]topicID, error) {
	ctx, cancel := context.WithTimeout(ctx, topicTimeout-time.Second)
	defer cancel()
	ids, missing, err := describeTopics(ctx, cl, topics)
	if err != nil {
		return nil, err
	}
	if len(missing) == 0 {
		return ids, nil
	}
	if !b.opts.CreateTopics {
		return nil, mapError(kerr.UnknownTopicOrPartition, missing[0], broker.AnyPartition)
	}
	if err := createTopics(ctx, cl, missing); err != nil {
		return nil, err
	}
	return awaitTopics(ctx, cl, topics)
}

// awaitTopics waits until the brokers know topics that were just created: their
// metadata spreads after the controller's answer.
func awaitTopics(ctx context.Context, cl *kgo.Client, topics []string) (map[string]topicID, error) {
	const pause = 50 * time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		ids, missing, err := describeTopics(ctx, cl, topics)
		if err != nil || len(missing) == 0 {
			return ids, err
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, mapError(fmt.Errorf("waiting for the new topic: %w", ctx.Err()), missing[0], broker.AnyPartition)
		}
	}
}

// describeTopics returns the ids of the topics that exist and the names of those
// that don't.
func describeTopics(ctx context.Context, cl *kgo.Client, topics []string) (ids map[string]topicID, missing []string, err error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	for _, name := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, nil, mapError(err, "", broker.AnyPartition)
	}
	ids = make(map[string]topicID, len(topics))
	for i := range resp.Topics {
		t := &resp.Topics[i]
		name := ""
		if t.Topic != nil {
			name = *t.Topic
		}
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			missing = append(missing, name)
		case err != nil && !kerr.IsRetriable(err):
			return nil, nil, mapError(err, name, broker.AnyPartition)
		default: // no leader just now, and the like: it exists
			ids[name] = t.TopicID
		}
	}
	return ids, missing, nil
}

// createTopics creates topics with the cluster's defaults. One that somebody else
// created meanwhile is fine.
func createTopics(ctx context.Context, cl *kgo.Client, topics []string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32((topicTimeout / 2).Milliseconds())
	for _, name := range topics {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic = name
		topic.NumPartitions = -1
		topic.ReplicationFactor = -1
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return mapError(err, topics[0], broker.AnyPartition)
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		err := kerr.ErrorForCode(t.ErrorCode)
		if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
			continue
		}
		if t.ErrorMessage != nil {
			err = fmt.Errorf("%w: %s", err, *t.ErrorMessage)
		}
		return mapError(err, t.Topic, broker.AnyPartition)
	}
	return nil
}
