package tap

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/integration/history"
)

// Broker returns b, whose consumers record which partitions a server has and what
// it has fetched: both when PollMessages tells the server. Partitions count as
// lost when the closing of their consumer begins.
func (t *Tap) Broker(server string, b broker.Broker) broker.Broker {
	return &tappedBroker{Broker: b, tap: t, server: server}
}

type tappedBroker struct {
	broker.Broker
	tap    *Tap
	server string
}

func (b *tappedBroker) NewConsumer(ctx context.Context, opts broker.ConsumerOptions) (broker.Consumer, error) {
	c, err := b.Broker.NewConsumer(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &tappedConsumer{
		Consumer: c, tap: b.tap, server: b.server, subscription: opts.Subscription,
		assigned: make(map[broker.TopicPartition]string),
	}, nil
}

type tappedConsumer struct {
	broker.Consumer
	tap          *Tap
	server       string
	subscription string

	mu sync.Mutex
	// assigned has what history calls the topic of each partition.
	assigned map[broker.TopicPartition]string
	closed   bool
}

func (c *tappedConsumer) PollMessages(ctx context.Context) (broker.Events, error) {
	events, err := c.Consumer.PollMessages(ctx)
	if len(events) > 0 {
		c.record(events)
	}
	return events, err
}

func (c *tappedConsumer) Close(ctx context.Context) error {
	c.mu.Lock()
	if !c.closed {
		c.lostLocked(slices.SortedFunc(maps.Keys(c.assigned), broker.TopicPartition.Compare))
		c.closed = true
	}
	c.mu.Unlock()
	return c.Consumer.Close(ctx)
}

func (c *tappedConsumer) record(events broker.Events) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	for _, event := range events {
		switch e := event.(type) {
		case broker.EventAssigned:
			for _, p := range e.Partitions {
				c.assigned[p] = c.tap.topics.latest(p.Topic)
			}
			c.gainedLocked(e.Partitions)
		case broker.EventLost:
			c.lostLocked(e.Partitions)
		case broker.EventMessages:
			c.fetchedLocked(e)
		}
	}
}

func (c *tappedConsumer) gainedLocked(partitions []broker.TopicPartition) {
	if len(partitions) > 0 {
		names := c.namesLocked(partitions)
		c.tap.recorder.Record(history.Gained{Server: c.server, Subscription: c.subscription, Partitions: names})
	}
}

func (c *tappedConsumer) lostLocked(partitions []broker.TopicPartition) {
	if len(partitions) > 0 {
		names := c.namesLocked(partitions)
		c.tap.recorder.Record(history.Lost{Server: c.server, Subscription: c.subscription, Partitions: names})
	}
	for _, p := range partitions {
		delete(c.assigned, p)
	}
}

func (c *tappedConsumer) fetchedLocked(e broker.EventMessages) {
	messages := make([]history.Message, len(e.Messages))
	for i := range e.Messages {
		m := &e.Messages[i]
		messages[i] = history.Message{ID: m.ID, Position: int64(m.Position), Token: Token(m.Value), Size: m.Size()}
	}
	if at, ok := parseID(e.Messages[0].ID); ok {
		c.renameLocked(e.Partition, c.tap.topics.name(e.Partition.Topic, at.topic))
	}
	c.tap.recorder.Record(history.Fetched{
		Server: c.server, Subscription: c.subscription,
		Partition: c.namesLocked([]broker.TopicPartition{e.Partition})[0], Messages: messages,
	})
}

// renameLocked notes that a partition is of another incarnation of its topic than
// was thought when it was assigned.
func (c *tappedConsumer) renameLocked(p broker.TopicPartition, name string) {
	old, ok := c.assigned[p]
	if !ok || old == name {
		return
	}
	c.lostLocked([]broker.TopicPartition{p})
	c.assigned[p] = name
	c.gainedLocked([]broker.TopicPartition{p})
}

func (c *tappedConsumer) namesLocked(partitions []broker.TopicPartition) []history.Partition {
	names := make([]history.Partition, len(partitions))
	for i, p := range partitions {
		name, ok := c.assigned[p]
		if !ok {
			name = c.tap.topics.latest(p.Topic)
		}
		names[i] = history.Partition{Topic: name, Number: p.Partition}
	}
	return names
}
