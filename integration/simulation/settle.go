//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/integration/history/tap"
)

// settle heals everything, gives everybody something to do, and waits until all is
// done or should be.
func (w *world) settle() {
	w.heal()
	w.undoAll()
	w.faults.stop()
	w.network.hurry()
	w.ensureProxy()
	w.healClients()
	w.recorder.Record(history.Healed{})
	// New messages wake what has fallen asleep: all that there is must be done without.
	settled := w.awaitSettled(time.Now())
	healed := time.Now()
	w.produceLast() // which ends the producers, in any case
	if !settled {
		return
	}
	sleep(context.Background(), time.Until(healed.Add(w.unansweredPatience())))
	w.awaitSettled(healed)
}

// awaitSettled waits until every message is done with, as long as that may take from a
// time on, and reports whether it came to that.
func (w *world) awaitSettled(since time.Time) bool {
	for time.Since(since) < w.patience() {
		if len(w.unsettled()) == 0 {
			return true
		}
		time.Sleep(500 * time.Millisecond)
		w.ensureHealthy() // one that was healthy may have been about to be thrown out
	}
	w.violate("settles", "%v after everything has healed, not every message is done with: %s; %s",
		w.patience(), strings.Join(w.unsettled(), "; "), w.kafka.groups())
	return false
}

// unansweredRequest is how long the Kafka client waits for the answer to what it
// stores, 20 s, before it stores it again.
const unansweredRequest = 25 * time.Second

// unansweredPatience is how long messages may still be stored that nobody waits for
// any more: a proxy goes on trying for clients that have gone.
func (w *world) unansweredPatience() time.Duration {
	type message struct {
		stream   string
		sequence uint64
	}
	open := make(map[message]struct{})
	for _, e := range w.recorder.Entries() {
		switch e := e.Event.(type) {
		case history.Produced:
			open[message{e.Stream, e.Sequence}] = struct{}{}
		case history.Answered:
			if e.Outcome != history.Unknown {
				delete(open, message{e.Stream, e.Sequence})
			}
		}
	}
	if len(open) == 0 {
		return 0
	}
	return w.serverConfig("").Produce.Timeout + unansweredRequest
}

// patience is how long everything may take when nothing disturbs it any more: all
// that may have to happen one after the other, at its longest.
func (w *world) patience() time.Duration {
	cfg := w.serverConfig("")
	ackTimeout := cfg.Consume.AckTimeout
	for _, s := range w.plan.Steps {
		if c, ok := s.Action.(Consume); ok {
			ackTimeout = max(ackTimeout, c.AckTimeout)
		}
	}
	o := w.kafkaOptions("", "")
	return 45*time.Second + // a proxy notices that a client has fallen silent
		ackTimeout + cfg.Consume.EvictionGrace + // stuck clients go, and their connections
		2*o.SessionTimeout + cfg.Consume.HandoverTimeout + 5*time.Second + // partitions move, with their last commit
		cfg.Consume.CloseTimeout + // a consumer is replaced
		cfg.Produce.Timeout + // messages are stored or given up
		max(o.CommitInterval, 5*time.Second) +
		time.Minute + // new partitions, and topics created again, are found
		30*time.Second // back-off of clients and of the Kafka client
}

// ensureProxy sees to it that a proxy runs.
func (w *world) ensureProxy() {
	if w.someProxy("") != nil {
		return
	}
	for _, p := range w.proxies {
		if !p.killed && !await(p.stopped, w.stopPatience()) {
			w.violate("simulation-ends", "proxy %s doesn't stop", p.name)
		}
	}
	w.startProxy("p1")
}

// healClients sees to it that every subscription has a client that ACKs. Those that
// are in the way of that are sent away or begin to ACK: some each, so that clients
// that went through everything and their streams show that they still work.
func (w *world) healClients() {
	for _, name := range sortedKeys(w.consumers) {
		c := w.consumers[name]
		switch {
		case isClosed(c.finished()):
			delete(w.consumers, name)
			w.formerClients = append(w.formerClients, c)
		case w.random.IntN(3) == 0:
			w.endConsumer(EndConsumer{Client: name, How: Close})
		default:
			c.behave(Fast, 0)
		}
	}
	w.ensureHealthy()
}

// ensureHealthy gives each subscription without one a client of its own that ACKs.
func (w *world) ensureHealthy() {
	for _, s := range w.plan.Subscriptions {
		name := "healthy-" + s.Name
		if own := w.consumers[name]; own != nil && !isClosed(own.finished()) || w.hasHealthy(s.Name) {
			continue
		}
		w.consume(Consume{Client: name, Subscription: s.Name, Again: true})
	}
}

func (w *world) hasHealthy(subscription string) bool {
	for _, c := range w.consumers {
		if c.subscription() == subscription && c.healthy() {
			return true
		}
	}
	return false
}

// lastMessages is how many messages each partition gets when all is healed.
const lastMessages = 2

// produceLast ends all producers after their last answer, and has something stored
// in each partition, so that a partition that has fallen silent shows.
func (w *world) produceLast() {
	for _, p := range w.allProducers() {
		if bare, ok := p.(*bareProducer); ok && (bare.isDeaf || !bare.opened.Load()) {
			p.end(Cancel) // it will never end by itself, or has never begun
		}
		p.end(HalfClose)
	}
	for _, p := range w.allProducers() {
		w.awaitProducer(p)
	}
	until := time.Now().Add(w.patience())
	for w.storeInEachPartition() > 0 {
		if time.Now().After(until) {
			w.violate("produces-again", "%v after everything has healed, messages are still not stored", w.patience())
			return
		}
		time.Sleep(2 * time.Second)
	}
}

func (w *world) awaitProducer(p producer) {
	if !await(p.finished(), w.patience()) {
		w.violate("producers-end", "producer %s has not got all its answers and the end of its stream %v after everything has healed", p.node(), w.patience())
		p.end(Cancel)
	}
}

// storeInEachPartition returns how many messages were not stored.
func (w *world) storeInEachPartition() int {
	var messages []outgoing
	for _, topic := range w.kafka.topics() {
		for n := range int32(w.kafka.partitions(topic)) {
			for range lastMessages {
				messages = append(messages, outgoing{topic: topic, partition: &n, key: fmt.Appendf(nil, "last-%d", w.tokens), value: tap.Value(w.token("last"), 0)})
			}
		}
	}
	name := w.names.next("last")
	p := w.newBareProducer(name, w.someProxy(""))
	w.formerClients = append(w.formerClients, p)
	p.produce(messages)
	p.end(HalfClose)
	w.awaitProducer(p)
	stored := 0
	for _, e := range w.recorder.Entries() {
		if a, ok := e.Event.(history.Answered); ok && strings.HasPrefix(a.Stream, name+"/") && a.Outcome == history.Stored {
			stored++
		}
	}
	return len(messages) - stored
}

// allProducers are those that the plan still has, and those that it has ended.
func (w *world) allProducers() []producer {
	var producers []producer
	for _, c := range w.formerClients {
		if p, ok := c.(producer); ok {
			producers = append(producers, p)
		}
	}
	for _, name := range sortedKeys(w.producers) {
		producers = append(producers, w.producers[name])
	}
	return producers
}

// unsettled says which subscriptions don't stand behind the last message of which
// partitions.
func (w *world) unsettled() []string {
	ends, err := w.ends()
	if err != nil {
		return []string{err.Error()}
	}
	w.kafka.readAllPositions()
	behind := w.kafka.openTransactions()
	for _, s := range w.plan.Subscriptions {
		for p, end := range ends {
			if !slices.Contains(s.Topics, w.kafka.plainName(p.Topic)) {
				continue
			}
			if position, ok := w.kafka.position(s.Name, p); !ok || position < end {
				behind = append(behind, fmt.Sprintf("%s in %s/%d stands at %d of %d", s.Name, p.Topic, p.Number, position, end))
			}
		}
	}
	return behind
}

// ends are the positions after the last message of each partition that has any.
func (w *world) ends() (map[history.Partition]int64, error) {
	var logs history.Recorder
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	reader := tap.New(&logs)
	if err := reader.ReadLogs(ctx, w.kafka.client, w.kafka.topics()...); err != nil {
		return nil, err
	}
	ends := make(map[history.Partition]int64)
	for _, e := range logs.Entries() {
		if log, ok := e.Event.(history.Log); ok && len(log.Messages) > 0 {
			p := history.Partition{Topic: w.tap.TopicName(log.Partition.Topic), Number: log.Partition.Number}
			ends[p] = log.Messages[len(log.Messages)-1].Position + 1
		}
	}
	return ends, nil
}

// end ends everybody, and reads what is left of it all.
func (w *world) end() {
	for _, name := range sortedKeys(w.consumers) {
		c := w.consumers[name]
		c.end(Stop)
		w.formerClients = append(w.formerClients, c)
	}
	for _, c := range w.formerClients {
		if !await(c.finished(), time.Minute) {
			w.violate("simulation-ends", "client %s doesn't end", c.node())
		}
	}
	for _, name := range sortedKeys(w.proxies) {
		w.drain(name)
		w.formerProxies = append(w.formerProxies, w.proxies[name])
	}
	for _, p := range w.formerProxies {
		if !await(p.stopped, w.stopPatience()) {
			w.violate("simulation-ends", "proxy %s doesn't stop", p.name)
		}
	}
	w.kafka.readAllPositions()
	w.readLogs()
	w.vanish()
	w.wg.Wait()
	w.kafka.close()
	// What nobody waits for, such as connections that are being given up, has time to
	// end. What is left then is left for good, which ends the bubble with a panic.
	time.Sleep(time.Minute)
}

// stopPatience is how long a proxy may take to shut down.
func (w *world) stopPatience() time.Duration {
	cfg := w.serverConfig("")
	return cfg.DrainTimeout + cfg.Consume.CloseTimeout + time.Minute
}

func (w *world) readLogs() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.tap.ReadLogs(ctx, w.kafka.client, w.kafka.topics()...); err != nil {
		w.violate("simulation-world", "%v", err)
	}
}

// judge has what was seen checked.
func (w *world) judge(begin time.Time) Result {
	entries := withoutGhosts(w.recorder.Entries())
	w.judgeSDK(entries)
	result := Result{
		Violations: slices.Concat(w.panics.all(), w.violations, history.Check(entries, w.rules())),
		History:    entries, Faults: w.faults.all(), Took: time.Since(begin),
	}
	for _, e := range entries {
		switch e := e.Event.(type) {
		case history.Produced:
			result.Messages++
		case history.Delivered:
			if e.Side == history.Client {
				result.Deliveries += len(e.Messages)
			}
		}
	}
	return result
}

func (w *world) rules() history.Rules {
	cfg := w.serverConfig("")
	rules := history.Rules{
		AckTimeout: cfg.Consume.AckTimeout, EvictionGrace: cfg.Consume.EvictionGrace, PartitionWindow: cfg.Consume.PartitionWindow,
		Overshoot: w.overshoot(), WindowBytes: w.plan.Settings.WindowBytes, BufferedBytes: w.plan.Settings.BufferedBytes, StartLatest: map[string]bool{}, Settled: true,
		Slack: 100 * latency,
	}
	for _, s := range w.plan.Subscriptions {
		rules.StartLatest[s.Name] = s.Latest
	}
	return rules
}

// overshoot is how many messages one fetch of a partition can bring: 256 KiB, or
// what was stored together. Everything is below that unless all messages are
// large.
func (w *world) overshoot() int {
	smallest, largestBatch := 256<<10, 0
	for _, s := range w.plan.Steps {
		switch a := s.Action.(type) {
		case Produce:
			smallest = min(smallest, a.Size)
			largestBatch = max(largestBatch, a.Count)
		case Transact:
			largestBatch = max(largestBatch, a.Count)
		}
	}
	return 256<<10/max(smallest, 20) + largestBatch
}

// withoutGhosts leaves out what servers do after they were killed: their goroutines
// need a moment to notice, and nobody hears of what they do.
func withoutGhosts(entries []history.Entry) []history.Entry {
	servers := make(map[string]string) // of streams that servers have seen
	stopped := make(map[string]bool)
	kept := entries[:0:0]
	for _, e := range entries {
		switch event := e.Event.(type) {
		case history.Stopped:
			stopped[event.Server] = true
		case history.Subscribed:
			if event.Side == history.Server {
				servers[event.Stream] = event.Server
			}
		}
		if server := serverOf(e.Event, servers); server == "" || !stopped[server] {
			kept = append(kept, e)
		}
	}
	return kept
}

// serverOf is the server that an event was seen by, or "".
func serverOf(event history.Event, streams map[string]string) string {
	switch e := event.(type) {
	case history.Subscribed:
		if e.Side == history.Server {
			return e.Server
		}
	case history.Delivered:
		return ofServer(e.Side, e.Stream, streams)
	case history.Acked:
		return ofServer(e.Side, e.Stream, streams)
	case history.NotHeld:
		return ofServer(e.Side, e.Stream, streams)
	case history.Withdrawn:
		return ofServer(e.Side, e.Stream, streams)
	case history.Left:
		return ofServer(e.Side, e.Stream, streams)
	case history.ConsumeEnded:
		return ofServer(e.Side, e.Stream, streams)
	case history.Gained:
		return e.Server
	case history.Lost:
		return e.Server
	case history.Fetched:
		return e.Server
	}
	return ""
}

func ofServer(side history.Side, stream string, servers map[string]string) string {
	if side != history.Server {
		return ""
	}
	return servers[stream]
}
