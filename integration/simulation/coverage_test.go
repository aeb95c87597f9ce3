//go:build synctests

package simulation

import (
	"cmp"
	"slices"
	"strings"

	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/server"
)

// What really took place in a simulation is counted by the world, where it does
// something, and here, from the history, where several things have to come
// together: a revoke is nothing special, a revoke while messages are in flight is.

// coverage counts what took place in a plan, by kind.
func coverage(plan Plan, result Result) map[string]int {
	c := newCoverageCounter(cmp.Or(plan.Settings.PartitionWindow, server.DefaultConfig().Consume.PartitionWindow))
	for kind, n := range result.Faults {
		c.seen[kind] += n
		if words := strings.Fields(kind); words[0] == "requests" {
			c.seen["requests "+words[1]] += n
		}
	}
	for _, e := range result.History {
		c.step(e.Event)
	}
	return c.seen
}

// coverageCounter goes through a history once, from the servers' side.
type coverageCounter struct {
	window   int // of a partition
	seen     map[string]int
	streams  map[string]*streamState
	draining map[string]bool              // servers
	fetched  map[fetchKey]int64           // the last position, by server, subscription and partition
	owned    map[fetchKey]bool            // had before, and lost; true: when its window was full
	clients  map[string]bool              // by the names that they give themselves
	reached  map[readKey]int64            // the highest position delivered
	holders  map[fetchKey]string          // the last stream that got messages
	unstored map[string]int               // messages without result, by produce stream
	pending  map[fetchKey]map[string]bool // fetched and not ACKed
}

type streamState struct {
	server, subscription string
	window               int
	held                 []string // ids, in the order of their delivery
	partitions           map[string]history.Partition
	leaving              map[history.Partition]bool // it was told that they will go
}

type fetchKey struct {
	server, subscription string
	partition            history.Partition
}

type readKey struct {
	subscription string
	partition    history.Partition
}

func newCoverageCounter(window int) *coverageCounter {
	return &coverageCounter{
		window: window, clients: map[string]bool{},
		seen: map[string]int{}, streams: map[string]*streamState{}, draining: map[string]bool{},
		fetched: map[fetchKey]int64{}, owned: map[fetchKey]bool{}, reached: map[readKey]int64{}, holders: map[fetchKey]string{},
		unstored: map[string]int{}, pending: map[fetchKey]map[string]bool{},
	}
}

func (c *coverageCounter) step(event history.Event) {
	switch e := event.(type) {
	case history.Subscribed:
		if e.Side == history.Server {
			c.subscribed(e)
		}
	case history.Delivered:
		if s := c.streams[e.Stream]; e.Side == history.Server && s != nil {
			c.delivered(s, e)
		}
	case history.Acked:
		if s := c.streams[e.Stream]; e.Side == history.Server && s != nil {
			c.acked(s, e.IDs)
		}
	case history.Withdrawn:
		if s := c.streams[e.Stream]; e.Side == history.Server && s != nil {
			c.withdrawn(s, e)
		}
	case history.ConsumeEnded:
		if s := c.streams[e.Stream]; e.Side == history.Server && s != nil {
			c.ended(s, e)
		}
	case history.NotHeld:
		c.seen["ACK of what isn't held"]++
	case history.ExpiryTold:
		c.seen["clients told of expired messages"]++
	case history.DrainTold:
		if s := c.streams[e.Stream]; e.Side == history.Server && s != nil && len(s.held) > 0 {
			c.seen["drain waits for ACKs"]++
		}
	case history.Sent:
		c.seen["server waits for a client that doesn't read"]++
	case history.Handled:
		if !e.OK {
			c.seen["handler fails"]++
		}
	default:
		c.stepServer(event)
	}
}

func (c *coverageCounter) subscribed(e history.Subscribed) {
	c.streams[e.Stream] = &streamState{
		server: e.Server, subscription: e.Subscription, window: e.Window,
		partitions: map[string]history.Partition{}, leaving: map[history.Partition]bool{},
	}
	if c.clients[e.Client] {
		c.seen["client connects again"]++
	}
	c.clients[e.Client] = true
}

func (c *coverageCounter) delivered(s *streamState, e history.Delivered) {
	key := fetchKey{s.server, s.subscription, e.Partition}
	read := readKey{s.subscription, e.Partition}
	if last := c.holders[key]; last != "" && last != e.Stream {
		c.seen["partition goes to another client"]++
	}
	c.holders[key] = e.Stream
	if reached, ok := c.reached[read]; ok && e.Messages[0].Position <= reached {
		c.seen["redelivery"]++
	}
	for _, m := range e.Messages {
		c.reached[read] = max(c.reached[read], m.Position)
		s.held = append(s.held, m.ID)
		s.partitions[m.ID] = e.Partition
	}
	if len(s.held) >= s.window {
		c.seen["client window full"]++
	}
	if strings.Contains(e.Partition.Topic, "#") {
		c.seen["messages of a topic created again"]++
	}
}

func (c *coverageCounter) acked(s *streamState, ids []string) {
	for _, id := range ids {
		i := slices.Index(s.held, id)
		if i < 0 {
			continue
		}
		for _, before := range s.held[:i] {
			if s.partitions[before] == s.partitions[id] {
				c.seen["ACK out of order"]++
				break
			}
		}
		delete(c.pending[fetchKey{s.server, s.subscription, s.partitions[id]}], id)
		s.held = slices.Delete(s.held, i, i+1)
		delete(s.partitions, id)
	}
}

func (c *coverageCounter) withdrawn(s *streamState, e history.Withdrawn) {
	announced, unannounced := false, false
	for _, id := range s.held {
		if p := s.partitions[id]; slices.Contains(e.Partitions, p) {
			announced, unannounced = announced || s.leaving[p], unannounced || !s.leaving[p]
		}
	}
	switch {
	case e.TimeLeft > 0 && unannounced:
		c.seen["revoke with messages in flight"]++
	case e.TimeLeft == 0 && announced:
		c.seen["revoke whose time is up"]++
	case e.TimeLeft == 0 && unannounced:
		c.seen["partition lost with messages in flight"]++
	}
	for _, p := range e.Partitions {
		s.leaving[p] = e.TimeLeft > 0
	}
	if e.TimeLeft > 0 {
		return
	}
	s.held = slices.DeleteFunc(s.held, func(id string) bool {
		gone := slices.Contains(e.Partitions, s.partitions[id])
		if gone {
			delete(s.partitions, id)
		}
		return gone
	})
}

func (c *coverageCounter) ended(s *streamState, e history.ConsumeEnded) {
	if e.Code == "ACK_TIMEOUT" {
		c.seen["client thrown out"]++
	}
	if len(s.held) > 0 {
		c.seen["client goes with messages in flight"]++
	}
	delete(c.streams, e.Stream)
}

func (c *coverageCounter) stepServer(event history.Event) {
	switch e := event.(type) {
	case history.Gained:
		for _, p := range e.Partitions {
			c.gained(fetchKey{e.Server, e.Subscription, p})
		}
	case history.Lost:
		for _, p := range e.Partitions {
			c.lost(fetchKey{e.Server, e.Subscription, p})
		}
	case history.Fetched:
		c.fetch(e)
	case history.Draining:
		c.draining[e.Server] = true
		if c.inFlight(e.Server) {
			c.seen["drain with messages in flight"]++
		}
	case history.Stopped:
		if !c.draining[e.Server] && c.inFlight(e.Server) {
			c.seen["kill with messages in flight"]++
		}
	case history.Produced:
		c.unstored[e.Stream]++
	case history.Answered:
		c.unstored[e.Stream]--
		c.seen[map[history.Outcome]string{
			history.Stored: "answer: stored", history.Failed: "answer: certainly not stored", history.Unknown: "answer: unknown outcome",
		}[e.Outcome]]++
	case history.ProduceEnded:
		if e.Broken && c.unstored[e.Stream] > 0 {
			c.seen["stream of a producer breaks with messages unanswered"]++
		}
	}
}

func (c *coverageCounter) gained(key fetchKey) {
	if full, ok := c.owned[key]; ok {
		c.seen["partition regained"]++
		if full {
			c.seen["partition regained that was paused"]++
		}
	}
	c.pending[key] = map[string]bool{}
}

func (c *coverageCounter) lost(key fetchKey) {
	c.owned[key] = len(c.pending[key]) >= c.window
	delete(c.fetched, key)
	delete(c.holders, key)
	if len(c.pending[key]) > 0 {
		c.seen["partition goes with messages outstanding"]++
	}
	delete(c.pending, key)
}

func (c *coverageCounter) fetch(e history.Fetched) {
	key := fetchKey{e.Server, e.Subscription, e.Partition}
	for _, m := range e.Messages {
		if last, ok := c.fetched[key]; ok && m.Position > last+1 {
			c.seen["gap between messages"]++
		}
		c.fetched[key] = m.Position
		if c.pending[key] != nil {
			c.pending[key][m.ID] = true
		}
	}
}

func (c *coverageCounter) inFlight(server string) bool {
	for _, s := range c.streams {
		if s.server == server && len(s.held) > 0 {
			return true
		}
	}
	return false
}

// kindsOfFaults is everything that has to take place now and then.
func kindsOfFaults() []string {
	kinds := []string{
		"ACK of what isn't held", "ACK out of order", "answer: certainly not stored", "answer: stored", "answer: unknown outcome",
		"client goes with messages in flight", "client thrown out", "client window full", "clients told of expired messages",
		"drain waits for ACKs", "drain with messages in flight", "gap between messages", "handler fails",
		"kill with messages in flight", "messages of a topic created again", "partition goes to another client",
		"client connects again", "partition goes with messages outstanding", "partition lost with messages in flight",
		"partition regained", "partition regained that was paused",
		"redelivery", "revoke with messages in flight", "revoke whose time is up", "server waits for a client that doesn't read",
		"stream of a producer breaks with messages unanswered",

		"add-partitions", "compact", "drain", "expire", "freeze", "kick", "kill", "move-coordinators", "move-leader", "recreate",
		"transact abort=false", "transact abort=true",
	}
	for _, manner := range []Manner{Fast, Slow, Stuck, Shuffled, AllButOne, Giant, Foreign, Deaf} {
		kinds = append(kinds, "bare client "+string(manner))
	}
	for _, manner := range []Manner{Fast, Slow, Stuck, Stubborn, Failing} {
		kinds = append(kinds, "SDK client "+string(manner))
	}
	for _, end := range []EndOfProducer{HalfClose, Cancel, StopReading} {
		kinds = append(kinds, "producer "+string(end))
	}
	for _, end := range []EndOfConsumer{Close, Cut, Vanish, HalfCloseConsumer, Leave, Stop} {
		kinds = append(kinds, "consumer "+string(end))
	}
	for _, node := range []string{"client", "proxy", "broker"} {
		for _, how := range []Disturbance{Reset, Refused, Stalled, Delayed, Throttled} {
			kinds = append(kinds, "disturb "+node+" "+string(how))
		}
	}
	// Some requests are too rare for each effect to come in every run.
	for api := range apiKeys {
		kinds = append(kinds, "requests "+string(api))
	}
	for _, api := range []API{ProduceAPI, FetchAPI, Commit, Metadata} {
		for _, effect := range []Effect{Fail, LoseAnswer, NoAnswer, SlowAnswer, Late, Break} {
			kinds = append(kinds, "requests "+string(api)+" "+string(effect))
		}
	}
	return kinds
}
