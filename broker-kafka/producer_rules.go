package kafka

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// defaultMaxBatchBytes is Kafka's default of max.message.bytes.
const defaultMaxBatchBytes = 1<<20 + 12

// topicRules are the rules by which the brokers refuse single messages of a
// topic. A broker refuses the whole batch that such a message is in, and the
// client library then everything that waits behind it. So the rules are applied
// here, before a message gets near others.
type topicRules struct {
	maxBatchBytes int32
	keyRequired   bool          // the topic is compacted
	maxPast       time.Duration // how far behind a message's timestamp may be; 0: any
	maxFuture     time.Duration // how far ahead; 0: any
}

// The settings of a topic that make its rules.
const (
	configMaxBytes      = "max.message.bytes"
	configBrokerBytes   = "message.max.bytes" // the embedded Kafka's name for a limit that the topic has from the broker
	configCleanup       = "cleanup.policy"
	configTimestampType = "message.timestamp.type"
	configMaxPast       = "message.timestamp.before.max.ms"
	configMaxFuture     = "message.timestamp.after.max.ms"
	configMaxDifference = "message.timestamp.difference.max.ms" // before Kafka 3.6, and while the others are unset
)

// fetchRules asks a broker for the rules of topics. err is the first reason for
// which rules are missing from the answer: Kafka's defaults stand in for them.
func fetchRules(ctx context.Context, cl *kgo.Client, topics []string) (rules map[string]topicRules, err error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range topics {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType = kmsg.ConfigResourceTypeTopic
		r.ResourceName = name
		r.ConfigNames = []string{
			configMaxBytes, configBrokerBytes, configCleanup, configTimestampType, configMaxPast, configMaxFuture, configMaxDifference,
		}
		req.Resources = append(req.Resources, r)
	}
	rules = make(map[string]topicRules, len(topics))
	for _, name := range topics {
		rules[name] = rulesOf(nil)
	}
	resp, err := ask(ctx, cl, req.RequestWith)
	if err != nil {
		return rules, err
	}
	for i := range resp.Resources {
		r := &resp.Resources[i]
		if e := kerr.ErrorForCode(r.ErrorCode); e != nil {
			err = fmt.Errorf("topic %q: %w", r.ResourceName, e)
			continue
		}
		rules[r.ResourceName] = rulesOf(r.Configs)
	}
	return rules, err
}

func rulesOf(configs []kmsg.DescribeConfigsResponseResourceConfig) topicRules {
	values := make(map[string]string, len(configs))
	brokerBytes, ownBytes := "", false
	for i := range configs {
		c := &configs[i]
		switch {
		case c.Value == nil:
		case c.Name == configBrokerBytes:
			brokerBytes = *c.Value
		default:
			values[c.Name] = *c.Value
			ownBytes = ownBytes || c.Name == configMaxBytes && c.Source == kmsg.ConfigSourceDynamicTopicConfig
		}
	}
	if brokerBytes != "" && !ownBytes {
		values[configMaxBytes] = brokerBytes
	}
	rules := topicRules{maxBatchBytes: defaultMaxBatchBytes}
	if n, err := strconv.ParseInt(values[configMaxBytes], 10, 32); err == nil && n > 0 {
		rules.maxBatchBytes = int32(n)
	}
	rules.keyRequired = strings.Contains(values[configCleanup], "compact")
	if values[configTimestampType] != "LogAppendTime" {
		either := milliseconds(values[configMaxDifference])
		rules.maxPast = tighter(milliseconds(values[configMaxPast]), either)
		rules.maxFuture = tighter(milliseconds(values[configMaxFuture]), either)
	}
	return rules
}

// milliseconds reads a setting; one that is unset, or larger than a Duration
// holds, sets no limit: 0.
func milliseconds(value string) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

func tighter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// check says why the brokers would refuse a message, or nil.
func (r topicRules) check(m *broker.OutgoingMessage, now time.Time) *broker.Error {
	if size := batchSize(m); size > int(r.maxBatchBytes) {
		e := mapError(kerr.MessageTooLarge, m.Topic, broker.AnyPartition)
		e.Message = fmt.Sprintf("the message takes %d bytes, and the topic or the proxy allows %d; "+
			"raise the topic's %s and the proxy's limit, or send less", size, r.maxBatchBytes, configMaxBytes)
		return e
	}
	if r.keyRequired && m.Key == nil {
		return errMessage(m, "the topic is compacted, so its messages need a key, which may be empty")
	}
	if m.Timestamp.IsZero() {
		return nil
	}
	if r.maxPast != 0 && m.Timestamp.Before(now.Add(-r.maxPast)) {
		return errMessage(m, fmt.Sprintf("the message's timestamp %s is more than %v ago, which the topic's %s forbids",
			m.Timestamp.UTC().Format(time.RFC3339), r.maxPast, configMaxPast))
	}
	if r.maxFuture != 0 && m.Timestamp.After(now.Add(r.maxFuture)) {
		return errMessage(m, fmt.Sprintf("the message's timestamp %s is more than %v ahead, which the topic's %s forbids",
			m.Timestamp.UTC().Format(time.RFC3339), r.maxFuture, configMaxFuture))
	}
	return nil
}

// batchSize is how large a batch with this message alone is before compression, as
// the client library reckons.
func batchSize(m *broker.OutgoingMessage) int {
	const overhead = 66 // of a batch
	n := 3 + sized(len(m.Key)) + sized(len(m.Value)) + kbin.VarintLen(int32(len(m.Headers)))
	for _, h := range m.Headers {
		n += sized(len(h.Key)) + sized(len(h.Value))
	}
	return overhead + sized(n)
}

// sized is the length of n bytes with their length in front.
func sized(n int) int { return kbin.VarintLen(int32(n)) + n }

// checkMessage says what is wrong with a message whatever its topic, or nil.
func checkMessage(m *broker.OutgoingMessage) *broker.Error {
	switch {
	case m.Topic == "":
		return errMessage(m, "the message names no topic")
	case !validTopicName(m.Topic):
		return mapError(kerr.InvalidTopicException, m.Topic, broker.AnyPartition)
	case m.Partition < broker.AnyPartition:
		return errMessage(m, fmt.Sprintf("the partition is %d: partitions are numbered from 0", m.Partition))
	case !m.Timestamp.IsZero() && m.Timestamp.UnixMilli() < 0:
		return errMessage(m, "the message's timestamp is before 1970, which Kafka can't store")
	}
	return nil
}

func errMessage(m *broker.OutgoingMessage, what string) *broker.Error {
	return &broker.Error{
		Code: broker.CodeInvalidArgument, Topic: m.Topic, Partition: broker.AnyPartition, Message: what,
	}
}
