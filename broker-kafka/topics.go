package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// topicTimeout is the contract's limit for saying that a topic doesn't exist.
	topicTimeout = 10 * time.Second
	// topicGrace is how long a topic must be unknown to count as missing. Its creation
	// ends when the controller has it in its log; each broker takes it from there by
	// itself, and answers from what it has so far. That is a matter of milliseconds,
	// but nothing bounds it: a broker that was held up answers clients before it has
	// caught up. So this is as long as the contract's limit allows, with time left to
	// ask in.
	topicGrace = 5 * time.Second
	// firstTopicPause and longestTopicPause are between two looks for a topic that
	// should appear: the pauses grow.
	firstTopicPause   = 50 * time.Millisecond
	longestTopicPause = 400 * time.Millisecond

	maxTopicName = 249
)

// topicDescription is what a broker says of a topic.
type topicDescription struct {
	id         topicID // zero where Kafka (older than 2.8) has none
	partitions int32
	// err is UNKNOWN_TOPIC_OR_PARTITION for a topic that doesn't exist, an error
	// that isn't retriable for one that can't be used, another one for one that
	// exists and isn't ready.
	err error
}

func (d topicDescription) missing() bool { return errors.Is(d.err, kerr.UnknownTopicOrPartition) }
func (d topicDescription) refused() bool { return d.err != nil && !kerr.IsRetriable(d.err) }

// unready: it exists, but the broker can't say more of it, its id included.
func (d topicDescription) unready() bool { return d.err != nil && d.id == topicID{} }

// ensureTopics returns the ids of the topics, created first if they don't exist
// and Options.CreateTopics is set. It takes less than 10 seconds. Errors are
// *broker.Error: CodeTopicNotFound and CodePermissionDenied name the first topic
// that is missing or denied, CodeUnavailable says that Kafka can't be reached.
//
// A topic's id is the zero UUID where Kafka (older than 2.8) has none.
func (b *Broker) ensureTopics(ctx context.Context, cl *kgo.Client, topics []string) (map[string]topicID, error) {
	ctx, cancel := context.WithTimeout(ctx, topicTimeout-time.Second)
	defer cancel()
	created := false
	var missingSince time.Time
	for pause := firstTopicPause; ; pause = min(2*pause, longestTopicPause) {
		ids, missing, unready, err := lookUpTopics(ctx, cl, topics)
		awaited := slices.Concat(missing, unready)
		switch {
		case err != nil:
			return nil, err
		case len(awaited) == 0:
			return ids, nil
		case len(missing) == 0: // what is not ready will be
		case created: // the new topics have yet to spread among the brokers
		case b.opts.CreateTopics:
			if err := createMissing(ctx, cl, missing); err != nil {
				return nil, err
			}
			created = true
		case missingSince.IsZero():
			missingSince = time.Now()
		case time.Since(missingSince) >= topicGrace:
			return nil, mapError(kerr.UnknownTopicOrPartition, missing[0], broker.AnyPartition)
		}
		if !sleep(ctx, pause) {
			return nil, mapError(fmt.Errorf("waiting for the topic: %w", ctx.Err()), awaited[0], broker.AnyPartition)
		}
	}
}

// lookUpTopics returns the ids of the topics that exist, and the names of those
// that don't and of those that aren't ready.
func lookUpTopics(ctx context.Context, cl *kgo.Client, topics []string) (ids map[string]topicID, missing, unready []string, err error) {
	described, err := describeTopics(ctx, cl, topics)
	if err != nil {
		return nil, nil, nil, err
	}
	ids = make(map[string]topicID, len(topics))
	for _, name := range topics {
		switch d := described[name]; {
		case d.missing():
			missing = append(missing, name)
		case d.refused():
			return nil, nil, nil, mapError(d.err, name, broker.AnyPartition)
		case d.unready():
			unready = append(unready, name)
		default:
			ids[name] = d.id
		}
	}
	return ids, missing, unready, nil
}

func createMissing(ctx context.Context, cl *kgo.Client, missing []string) error {
	refused, err := createTopics(ctx, cl, missing)
	if err != nil {
		return err
	}
	for _, name := range missing {
		if err := refused[name]; err != nil {
			return mapError(err, name, broker.AnyPartition)
		}
	}
	return nil
}

// describeTopics asks a broker for the topics. A name that Kafka allows no topic
// to have is not even asked for. Errors are *broker.Error.
func describeTopics(ctx context.Context, cl *kgo.Client, topics []string) (map[string]topicDescription, error) {
	described := make(map[string]topicDescription, len(topics))
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	req.Topics = []kmsg.MetadataRequestTopic{} // none, as nil would mean all
	for _, name := range topics {
		if !validTopicName(name) {
			described[name] = topicDescription{err: kerr.InvalidTopicException}
			continue
		}
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
	}
	if len(req.Topics) == 0 {
		return described, nil
	}
	resp, err := ask(ctx, cl, req.RequestWith)
	if err != nil {
		return nil, mapError(err, "", broker.AnyPartition)
	}
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.Topic != nil {
			described[*t.Topic] = topicDescription{
				id: t.TopicID, partitions: int32(len(t.Partitions)), err: kerr.ErrorForCode(t.ErrorCode),
			}
		}
	}
	return described, nil
}

// validTopicName reports whether Kafka allows a topic of this name.
func validTopicName(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > maxTopicName {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// createTopics creates topics with the cluster's defaults. refused has those that
// Kafka refused to create, with its reasons; one that somebody else created
// meanwhile is fine. Errors are *broker.Error.
func createTopics(ctx context.Context, cl *kgo.Client, topics []string) (refused map[string]error, err error) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32((topicTimeout / 2).Milliseconds())
	for _, name := range topics {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic = name
		topic.NumPartitions = -1
		topic.ReplicationFactor = -1
		req.Topics = append(req.Topics, topic)
	}
	resp, err := ask(ctx, cl, req.RequestWith)
	if err != nil {
		return nil, mapError(err, topics[0], broker.AnyPartition)
	}
	refused = make(map[string]error)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		err := kerr.ErrorForCode(t.ErrorCode)
		if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
			continue
		}
		if t.ErrorMessage != nil {
			err = fmt.Errorf("%w: %s", err, *t.ErrorMessage)
		}
		refused[t.Topic] = err
	}
	return refused, nil
}

// sleep waits and reports whether it did before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
