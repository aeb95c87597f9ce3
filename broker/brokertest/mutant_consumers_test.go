package brokertest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/messageproxy/messageproxy/broker"
)

// badConsumer changes what goes through a consumer.
type badConsumer struct {
	broker.Consumer
	ack     func(...broker.MessageID)
	resolve func(string) (broker.MessageID, bool)
	pause   func(...broker.TopicPartition)
	release func(...broker.TopicPartition)
	events  func(broker.Events, error) (broker.Events, error)
	close   func(context.Context) error
}

func (c *badConsumer) Ack(ids ...broker.MessageID) {
	if c.ack == nil {
		c.Consumer.Ack(ids...)
		return
	}
	c.ack(ids...)
}

func (c *badConsumer) ResolveID(id string) (broker.MessageID, bool) {
	if c.resolve == nil {
		return c.Consumer.ResolveID(id)
	}
	return c.resolve(id)
}

func (c *badConsumer) PausePartitions(partitions ...broker.TopicPartition) {
	if c.pause == nil {
		c.Consumer.PausePartitions(partitions...)
		return
	}
	c.pause(partitions...)
}

func (c *badConsumer) Release(partitions ...broker.TopicPartition) {
	if c.release == nil {
		c.Consumer.Release(partitions...)
		return
	}
	c.release(partitions...)
}

func (c *badConsumer) PollMessages(ctx context.Context) (broker.Events, error) {
	events, err := c.Consumer.PollMessages(ctx)
	if c.events == nil {
		return events, err
	}
	return c.events(events, err)
}

func (c *badConsumer) Close(ctx context.Context) error {
	if c.close == nil {
		return c.Consumer.Close(ctx)
	}
	return c.close(ctx)
}

func with(change func(*badConsumer)) func(broker.Consumer) broker.Consumer {
	return func(c broker.Consumer) broker.Consumer {
		bad := &badConsumer{Consumer: c}
		change(bad)
		return bad
	}
}

func consumerMutants() []mutant {
	nothing := func(...broker.TopicPartition) {}
	return []mutant{
		{
			rule: "Ack keeps no reference to ids", check: "ack/keeps_no_reference",
			consumer: with(func(c *badConsumer) {
				var kept [][]broker.MessageID
				c.ack = func(ids ...broker.MessageID) { kept = append(kept, ids) }
				c.close = func(ctx context.Context) error {
					for _, ids := range kept {
						c.Consumer.Ack(ids...)
					}
					return c.Consumer.Close(ctx)
				}
			}),
		},
		{
			rule: "ACKs are durable after Close", check: "ack/in_order",
			consumer: with(func(c *badConsumer) { c.ack = func(...broker.MessageID) {} }),
		},
		{rule: "an ACK is of one message", check: "ack/out_of_order", consumer: with(ackCumulatively)},
		{
			rule: "an ACK of what wasn't delivered is ignored", check: "ack/of_messages_not_outstanding",
			consumer: ackEarly(),
		},
		{
			rule: "a text that is no ID doesn't resolve", check: "consumer/resolve_id",
			consumer: with(func(c *badConsumer) {
				c.resolve = func(id string) (broker.MessageID, bool) { return c.Consumer.ResolveID(strings.TrimSpace(id)) }
			}),
		},
		{
			rule: "a pause pauses", check: "consumer/pause",
			consumer: with(func(c *badConsumer) { c.pause = nothing }),
		},
		{rule: "a partition comes back unpaused", check: "handover/pause_ends", consumer: with(pauseForever)},
		{
			rule: "Release releases", check: "handover/release",
			consumer: with(func(c *badConsumer) { c.release = nothing }),
		},
		{
			rule: "Close returns its context's error", check: "consumer/close_unreachable",
			consumer: with(func(c *badConsumer) {
				c.close = func(ctx context.Context) error {
					_ = c.Consumer.Close(ctx)
					return nil
				}
			}),
		},
		{rule: "Close can be called twice", check: "consumer/close", consumer: with(closeOnce)},
		{
			rule: "the window's pause outlasts ResumePartitions", check: "window/and_pause",
			options: func(o *broker.ConsumerOptions) { o.PartitionWindow = 1000 },
		},
	}
}

// ackCumulatively takes the ACK of a message for one of all before it, too.
func ackCumulatively(c *badConsumer) {
	var mu sync.Mutex
	var delivered []broker.MessageID
	c.events = func(events broker.Events, err error) (broker.Events, error) {
		mu.Lock()
		defer mu.Unlock()
		delivered = append(delivered, idsOf(events)...)
		return events, err
	}
	c.ack = func(ids ...broker.MessageID) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			for _, d := range delivered {
				if d.Partition == id.Partition && d.Position <= id.Position {
					c.Consumer.Ack(d)
				}
			}
		}
	}
}

// ackEarly remembers ACKs of messages that come only later, and to others.
func ackEarly() func(broker.Consumer) broker.Consumer {
	var mu sync.Mutex
	early := map[broker.MessageID]bool{}
	return with(func(c *badConsumer) {
		c.ack = func(ids ...broker.MessageID) {
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				early[id] = true
			}
			c.Consumer.Ack(ids...)
		}
		each(func(e broker.Event) broker.Events {
			mu.Lock()
			defer mu.Unlock()
			m, ok := e.(broker.EventMessages)
			if !ok {
				return broker.Events{e}
			}
			m.Messages = slices.DeleteFunc(m.Messages, func(message broker.Message) bool {
				return early[broker.MessageID{Partition: m.Partition, Position: message.Position}]
			})
			if len(m.Messages) == 0 {
				return nil
			}
			return broker.Events{m}
		})(c)
	})
}

func pauseForever(c *badConsumer) {
	var mu sync.Mutex
	var paused []broker.TopicPartition
	c.pause = func(partitions ...broker.TopicPartition) {
		mu.Lock()
		defer mu.Unlock()
		paused = append(paused, partitions...)
		c.Consumer.PausePartitions(partitions...)
	}
	c.events = func(events broker.Events, err error) (broker.Events, error) {
		mu.Lock()
		defer mu.Unlock()
		c.Consumer.PausePartitions(paused...)
		return events, err
	}
}

func closeOnce(c *badConsumer) {
	closed := false
	c.close = func(ctx context.Context) error {
		if closed {
			return broker.ErrClosed
		}
		closed = true
		return c.Consumer.Close(ctx)
	}
}

func idsOf(events broker.Events) (ids []broker.MessageID) {
	for _, event := range events {
		if messages, ok := event.(broker.EventMessages); ok {
			for _, m := range messages.Messages {
				ids = append(ids, broker.MessageID{Partition: messages.Partition, Position: m.Position})
			}
		}
	}
	return ids
}

func eventMutants() []mutant {
	return []mutant{
		{rule: "an assignment comes once", check: "consumer/poll", consumer: with(each(func(e broker.Event) broker.Events {
			if _, ok := e.(broker.EventAssigned); ok {
				return broker.Events{e, e}
			}
			return broker.Events{e}
		}))},
		{rule: "assigned before messages", check: "message/order", consumer: with(without[broker.EventAssigned])},
		{rule: "notice of a handover", check: "handover/timeout", consumer: with(without[broker.EventRevoking])},
		{rule: "lost after a handover", check: "handover/release", consumer: with(without[broker.EventLost])},
		{rule: "lost without notice is told", check: "handover/lost_without_notice", consumer: with(without[broker.EventLost])},
		{rule: "expiry is told", check: "consumer/expired", consumer: with(without[broker.EventExpired])},
		{rule: "ACK trouble is told", check: "trouble/acks_fail_and_recover", consumer: with(without[broker.EventAckTrouble])},
		{rule: "the end of ACK trouble is told", check: "trouble/acks_fail_and_recover", consumer: with(without[broker.EventAckRecovered])},
		{rule: "the end of ACK trouble is told", check: "trouble/acks_fail_and_partition_goes", consumer: with(without[broker.EventAckRecovered])},
		{rule: "ACK trouble is told again", check: "trouble/acks_fail_and_recover", consumer: with(troubleOnce)},
		{rule: "messages ascend", check: "message/order", consumer: with(reverse)},
		{rule: "no message is left out", check: "message/order", consumer: with(each(func(e broker.Event) broker.Events {
			if m, ok := e.(broker.EventMessages); ok && len(m.Messages) > 1 {
				m.Messages = m.Messages[1:]
				return broker.Events{m}
			}
			return broker.Events{e}
		}))},
		{rule: "IDs are the same for every consumer", check: "message/id_is_stable", consumer: newIDs()},
		{rule: "messages belong to the caller", check: "consumer/poll_belongs_to_caller", consumer: sharedMessages()},
		{rule: "poll trouble is told", check: "trouble/polls_fail_and_recover", consumer: with(func(c *badConsumer) {
			c.events = func(events broker.Events, err error) (broker.Events, error) {
				if errors.Is(err, broker.CodeUnavailable) {
					return events, nil
				}
				return events, err
			}
		})},
		{rule: "poll errors are typed", check: "trouble/polls_fail_and_recover", consumer: with(func(c *badConsumer) {
			c.events = func(events broker.Events, err error) (broker.Events, error) {
				if errors.Is(err, broker.CodeUnavailable) {
					return events, errors.New("something failed")
				}
				return events, err
			}
		})},
		{rule: "the end of poll trouble is told", check: "trouble/polls_fail_and_recover", consumer: with(stayInTrouble)},
	}
}

// each replaces each event.
func each(replace func(broker.Event) broker.Events) func(*badConsumer) {
	return func(c *badConsumer) {
		c.events = func(events broker.Events, err error) (broker.Events, error) {
			var replaced broker.Events
			for _, e := range events {
				replaced = append(replaced, replace(e)...)
			}
			return replaced, err
		}
	}
}

func without[E broker.Event](c *badConsumer) {
	each(func(e broker.Event) broker.Events {
		if _, ok := e.(E); ok {
			return nil
		}
		return broker.Events{e}
	})(c)
}

func troubleOnce(c *badConsumer) {
	told := false
	each(func(e broker.Event) broker.Events {
		if _, ok := e.(broker.EventAckTrouble); ok {
			if told {
				return nil
			}
			told = true
		}
		return broker.Events{e}
	})(c)
}

func reverse(c *badConsumer) {
	each(func(e broker.Event) broker.Events {
		if m, ok := e.(broker.EventMessages); ok {
			slices.Reverse(m.Messages)
		}
		return broker.Events{e}
	})(c)
}

// newIDs gives every consumer IDs of its own.
func newIDs() func(broker.Consumer) broker.Consumer {
	suffix := ""
	return func(c broker.Consumer) broker.Consumer {
		suffix += "'"
		own := suffix
		bad := &badConsumer{Consumer: c}
		bad.resolve = func(id string) (broker.MessageID, bool) { return c.ResolveID(strings.TrimSuffix(id, own)) }
		each(func(e broker.Event) broker.Events {
			if m, ok := e.(broker.EventMessages); ok {
				for i := range m.Messages {
					m.Messages[i].ID += own
				}
			}
			return broker.Events{e}
		})(bad)
		return bad
	}
}

// sharedMessages returns a message that is delivered again from the same memory.
func sharedMessages() func(broker.Consumer) broker.Consumer {
	first := map[broker.MessageID]broker.Message{}
	return with(each(func(e broker.Event) broker.Events {
		m, ok := e.(broker.EventMessages)
		if !ok {
			return broker.Events{e}
		}
		for i := range m.Messages {
			id := broker.MessageID{Partition: m.Partition, Position: m.Messages[i].Position}
			if _, ok := first[id]; !ok {
				first[id] = m.Messages[i]
			}
			m.Messages[i] = first[id]
		}
		return broker.Events{m}
	}))
}

// stayInTrouble waits for events before it says that a trouble is over.
func stayInTrouble(c *badConsumer) {
	var trouble error
	c.events = func(events broker.Events, err error) (broker.Events, error) {
		if err == nil && len(events) == 0 && trouble != nil {
			return nil, trouble
		}
		trouble = err
		return events, err
	}
}
