package messageproxytest

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// topic is a topic: its messages by partition, and in the order in which they
// came.
type topic struct {
	partitions [][]*messageproxy.Message
	all        []*messageproxy.Message
}

// CreateTopic creates a topic with so many partitions. Topics that nobody created
// appear with DefaultPartitions when they are first used. It panics if the topic
// exists or partitions is below 1.
func (s *Server) CreateTopic(name string, partitions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics[name] != nil || partitions < 1 {
		panic(fmt.Sprintf("messageproxytest: CreateTopic(%q, %d): the topic exists, or there are too few partitions", name, partitions))
	}
	s.topics[name] = &topic{partitions: make([][]*messageproxy.Message, partitions)}
}

func (s *Server) topicLocked(name string) *topic {
	t := s.topics[name]
	if t == nil {
		t = &topic{partitions: make([][]*messageproxy.Message, DefaultPartitions)}
		s.topics[name] = t
	}
	return t
}

// Add stores messages as if someone had produced them, and returns their IDs. The
// script of OnProduce doesn't see them.
func (s *Server) Add(messages ...*messageproxy.Message) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, len(messages))
	for i, m := range messages {
		stored, err := s.storeLocked(m)
		if err != nil {
			panic("messageproxytest: Add: " + err.Error())
		}
		ids[i] = stored.ID
	}
	s.deliverAllLocked()
	return ids
}

// storeLocked stores a copy of m and returns it.
func (s *Server) storeLocked(m *messageproxy.Message) (*messageproxy.Message, *messageproxy.Error) {
	t := s.topicLocked(m.Topic)
	partition := t.choose(m)
	if partition < 0 || int(partition) >= len(t.partitions) {
		return nil, &messageproxy.Error{
			Code:    messageproxy.CodePartitionNotFound,
			Message: fmt.Sprintf("topic %q has %d partitions, and no partition %d", m.Topic, len(t.partitions), partition),
		}
	}
	stored := *m
	stored.ToPartition, stored.Partition, stored.DeliveryAttempt = nil, partition, 0
	stored.ID = fmt.Sprintf("%s/%d/%d", m.Topic, partition, len(t.partitions[partition]))
	if stored.Timestamp.IsZero() {
		stored.Timestamp = time.Now()
	}
	stored.Timestamp = stored.Timestamp.Truncate(time.Millisecond)
	t.partitions[partition] = append(t.partitions[partition], &stored)
	t.all = append(t.all, &stored)
	s.changedLocked()
	return &stored, nil
}

// choose returns the partition of a message: the one it names, the one of its
// key, or the next in turn.
func (t *topic) choose(m *messageproxy.Message) int32 {
	switch {
	case m.ToPartition != nil:
		return *m.ToPartition
	case m.Key != nil:
		hash := fnv.New32a()
		_, _ = hash.Write(m.Key) // never fails
		return int32(hash.Sum32() % uint32(len(t.partitions)))
	default:
		return int32(len(t.all) % len(t.partitions))
	}
}

// Messages returns what is stored in a topic, in the order in which it came.
// Don't change the messages.
func (s *Server) Messages(topic string) []*messageproxy.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.topicLocked(topic).all)
}

// WaitStored waits until a topic has at least n messages, and returns them as
// Messages does. It returns ctx's error if ctx ends first.
func (s *Server) WaitStored(ctx context.Context, topic string, n int) ([]*messageproxy.Message, error) {
	err := s.await(ctx, func() bool { return len(s.topicLocked(topic).all) >= n })
	return s.Messages(topic), err
}
