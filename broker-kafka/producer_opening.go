package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kerr"
)

// open opens those of the topics that it can, and fails the messages of those
// that can't be.
func (k *topicKeeper) open(topics []*producerTopic) {
	ctx, cancel := context.WithTimeout(k.ctx, askTimeout)
	defer cancel()
	defer expireMeanwhile(topics)()
	described, err := describeTopics(ctx, k.session.cl, names(topics))
	if err != nil {
		k.unreachable(topics, mapError(err, "", broker.AnyPartition))
		return
	}
	var exist, missing []*producerTopic
	for _, t := range topics {
		switch d := described[t.name]; {
		case d.missing():
			missing = append(missing, t)
		case d.refused():
			k.giveUp(t, mapError(d.err, t.name, broker.AnyPartition))
		case d.partitions == 0: // it has no leaders yet
			t.expire(mapError(d.err, t.name, broker.AnyPartition))
		default:
			exist = append(exist, t)
		}
	}
	k.openExisting(ctx, exist, described)
	k.openMissing(ctx, missing)
}

// expireMeanwhile fails the messages whose time is up, again and again, until stop is
// called. What is asked of Kafka meanwhile goes on: where messages come all the time,
// the time of one or the other is always up.
func expireMeanwhile(topics []*producerTopic) (stop func()) {
	over := make(chan struct{})
	var expiring sync.WaitGroup
	expiring.Go(func() {
		ticker := time.NewTicker(keeperPause)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-over:
				return
			}
			for _, t := range topics {
				t.expire(nil)
			}
		}
	})
	return func() {
		close(over)
		expiring.Wait()
	}
}

func names(topics []*producerTopic) []string {
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.name
	}
	return names
}

func (k *topicKeeper) unreachable(topics []*producerTopic, err *broker.Error) {
	if k.ctx.Err() != nil {
		return
	}
	for _, t := range topics {
		if err.Retryable {
			t.expire(err)
		} else {
			k.giveUp(t, err)
		}
	}
}

// giveUp fails the topic's messages and drops it: the next message begins anew.
func (k *topicKeeper) giveUp(t *producerTopic, err *broker.Error) {
	t.drop(err)
	k.remove(k.wanted, t)
	if t.last != nil {
		t.last.session.topics--
	}
}

func (k *topicKeeper) openExisting(ctx context.Context, topics []*producerTopic, described map[string]topicDescription) {
	if len(topics) == 0 {
		return
	}
	rules, err := fetchRules(ctx, k.session.cl, names(topics))
	if err != nil && k.ctx.Err() == nil && !k.denied {
		k.denied = true
		k.log.Warn("The settings of topics can't be read, so Kafka's defaults are assumed: messages larger than 1 MiB "+
			"are refused, and others may be refused along with one that breaks a topic's rules. "+
			"Let the proxy's user DESCRIBE_CONFIGS the topics.", "error", err)
	}
	for _, t := range topics {
		d := described[t.name]
		t.missingSince = time.Time{}
		k.openTopic(ctx, t, &topicInfo{id: d.id, partitions: d.partitions, rules: k.ownRules(rules[t.name]), asOf: time.Now()})
	}
}

func (k *topicKeeper) openTopic(ctx context.Context, t *producerTopic, info *topicInfo) {
	if t.last != nil && t.last.stillHolds(info) {
		info.session, info.lanes = t.last.session, t.last.lanes
	} else if err := k.begin(ctx); err != nil {
		k.unreachable([]*producerTopic{t}, mapError(err, t.name, broker.AnyPartition))
		return
	} else if !k.move(t, info) {
		t.expire(nil)
		return
	}
	k.remove(k.wanted, t)
	t.open(info, info.asOf)
}

// begin gets the session its producer id. Messages come only after it: if there is none
// to be had, the client library fails all that it holds, but may forget one of a topic
// that it is just getting to know.
//
// The request goes on when ctx ends, which what was asked before may have used up, and
// the next call awaits it.
func (k *topicKeeper) begin(ctx context.Context) error {
	s := k.session
	if s.begun || s.broken.Load() {
		return nil // what is broken takes no topic
	}
	if s.beginning == nil {
		s.beginning = k.askForProducerID(s)
	}
	select {
	case <-s.beginning.over:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := s.beginning.err
	s.beginning = nil
	s.begun = err == nil
	if isFinal(err) {
		s.broken.Store(true)
	}
	return err
}

func (k *topicKeeper) askForProducerID(s *session) *beginning {
	b := &beginning{over: make(chan struct{})}
	k.wg.Go(func() {
		defer close(b.over)
		ctx, cancel := context.WithTimeout(k.ctx, askTimeout)
		defer cancel()
		_, _, b.err = s.cl.ProducerID(ctx)
	})
	return b
}

// stillHolds reports whether the session can go on with the topic.
func (i *topicInfo) stillHolds(now *topicInfo) bool {
	return !i.session.broken.Load() && i.id == now.id && i.partitions == now.partitions &&
		i.rules.maxBatchBytes == now.rules.maxBatchBytes
}

// move finds the topic a session that it wasn't in before, and reports whether it
// could.
func (k *topicKeeper) move(t *producerTopic, info *topicInfo) bool {
	if t.sent.Load() > 0 {
		return false // tried again when that is answered
	}
	if !k.session.enter(t.name, info.rules.maxBatchBytes) {
		if time.Since(k.session.opened) < sessionPause {
			return false
		}
		if err := k.newSession(); err != nil {
			k.log.Error("No Kafka client can be made, though one could before.", "error", err)
			return false
		}
		nudge(k.wakeup)
		return false // it has to begin first
	}
	if t.last != nil {
		t.last.session.topics--
	}
	k.session.topics++
	info.session, info.lanes = k.session, newLanes(info.id, info.partitions)
	return true
}

// ownRules bounds the topic's limit of batches: no more than a message of the
// largest size needs, and not less than the library allows.
func (k *topicKeeper) ownRules(rules topicRules) topicRules {
	const smallest, overhead = 512, 1 << 20
	rules.maxBatchBytes = max(smallest, min(rules.maxBatchBytes, int32(k.p.maxMessageBytes)+overhead))
	return rules
}

// openMissing creates the topics, or fails their messages.
func (k *topicKeeper) openMissing(ctx context.Context, topics []*producerTopic) {
	var create []*producerTopic
	for _, t := range topics {
		switch {
		case k.b.opts.CreateTopics && t.created.IsZero():
			create = append(create, t)
		case k.isMissing(t):
			k.giveUp(t, mapError(kerr.UnknownTopicOrPartition, t.name, broker.AnyPartition))
		default:
			t.expire(nil)
		}
	}
	if len(create) == 0 {
		return
	}
	refused, err := createTopics(ctx, k.session.cl, names(create))
	if err != nil {
		k.unreachable(create, mapError(err, "", broker.AnyPartition))
		return
	}
	for _, t := range create {
		if err := refused[t.name]; err != nil {
			k.giveUp(t, mapError(err, t.name, broker.AnyPartition))
			continue
		}
		t.created = time.Now()
	}
	k.wake()
}

// isMissing: a topic that was just created, by whomever, takes a moment until all
// brokers know it.
func (k *topicKeeper) isMissing(t *producerTopic) bool {
	if !t.created.IsZero() {
		return time.Since(t.created) >= topicTimeout-askTimeout
	}
	if t.missingSince.IsZero() {
		t.missingSince = time.Now()
	}
	return time.Since(t.missingSince) >= topicGrace
}
