package history

import (
	"cmp"
	"fmt"
	"time"
)

// bytesHeld follows how many bytes clients hold, as servers see it, for the limits of a
// client and of a server. What is recorded of an ACK or a loss comes before the server
// heeds it, and what is recorded of a delivery after it was decided, so that what it
// counts is never more than there is.
type bytesHeld struct {
	*pass
	streams map[string]*bytesStream
	// assigned is since when servers have partitions.
	assigned map[serverPartition]time.Time
	servers  map[string]*bytesServer
}

type serverPartition struct {
	server, subscription string
	partition            Partition
}

type bytesStream struct {
	name, server, subscription string
	held                       map[string]bytesMessage // by ID
	bytes                      int
	ackTimeout                 time.Duration
	subscribedAt               int
	// slow: it has had to wait for its client, so that what is recorded of it was decided
	// long before.
	slow bool
}

type bytesMessage struct {
	partition   Partition
	size        int
	deliveredAt time.Time
}

type bytesServer struct {
	bytes     int
	fullSince time.Time // zero while it isn't
	fullAt    int
}

// messageOverhead is what a server counts for each message besides its bytes.
const messageOverhead = 320

// budgetPatience is how long a server may take from when its budget is used up until
// nothing comes any more that was asked for before.
const budgetPatience = 2 * time.Second

func (c *checker) checkBytes() {
	if c.rules.WindowBytes == 0 && c.rules.BufferedBytes == 0 {
		return
	}
	x := &bytesHeld{
		pass: newPass(c), streams: make(map[string]*bytesStream), assigned: make(map[serverPartition]time.Time),
		servers: make(map[string]*bytesServer),
	}
	for i := range c.entries {
		if i > 0 && c.at(i).Sub(c.at(i-1)) > c.rules.Slack {
			x.checkStreams(i - 1)
		}
		x.stepStream(i)
		x.stepServer(i)
	}
}

func (x *bytesHeld) stepStream(i int) {
	switch e := x.entries[i].Event.(type) {
	case Subscribed:
		if e.Side == Server {
			x.streams[e.Stream] = &bytesStream{
				name: e.Stream, server: e.Server, subscription: e.Subscription, held: make(map[string]bytesMessage), subscribedAt: i,
				ackTimeout: cmp.Or(e.AckTimeout, x.rules.AckTimeout),
			}
		}
	case Delivered:
		if s := x.streams[e.Stream]; s != nil && e.Side == Server {
			x.delivered(i, s, e)
		}
	case Acked:
		if s := x.streams[e.Stream]; s != nil && e.Side == Server {
			for _, id := range e.IDs {
				x.drop(i, s, id)
			}
		}
	case Withdrawn:
		if s := x.streams[e.Stream]; s != nil && e.Side == Server && e.TimeLeft <= 0 {
			for _, p := range e.Partitions {
				x.dropPartition(i, s, p)
			}
		}
	case Sent:
		if s := x.streams[e.Stream]; s != nil {
			s.slow = true
		}
	case ConsumeEnded:
		if s := x.streams[e.Stream]; s != nil && e.Side == Server {
			for id := range s.held {
				x.drop(i, s, id)
			}
			delete(x.streams, e.Stream)
		}
	}
}

func (x *bytesHeld) delivered(i int, s *bytesStream, e Delivered) {
	if _, ok := x.assigned[serverPartition{s.server, s.subscription, e.Partition}]; !ok {
		return
	}
	for k := range e.Messages {
		m := &e.Messages[k]
		if _, again := s.held[m.ID]; !again {
			s.held[m.ID] = bytesMessage{e.Partition, m.Size, x.at(i)}
			s.bytes += m.Size
			x.add(i, s.server, m.Size+messageOverhead)
		}
	}
}

func (x *bytesHeld) drop(i int, s *bytesStream, id string) {
	if m, ok := s.held[id]; ok {
		delete(s.held, id)
		s.bytes -= m.size
		x.add(i, s.server, -m.size-messageOverhead)
	}
}

func (x *bytesHeld) dropPartition(i int, s *bytesStream, p Partition) {
	for id, m := range s.held {
		if m.partition == p {
			x.drop(i, s, id)
		}
	}
}

func (x *bytesHeld) add(i int, name string, bytes int) {
	s := x.servers[name]
	if s == nil {
		s = &bytesServer{}
		x.servers[name] = s
	}
	s.bytes += bytes
	switch full := s.bytes > x.rules.BufferedBytes; {
	case full && s.fullSince.IsZero():
		s.fullSince, s.fullAt = x.at(i), i
	case !full:
		s.fullSince = time.Time{}
	}
}

func (x *bytesHeld) stepServer(i int) {
	switch e := x.entries[i].Event.(type) {
	case Gained:
		for _, p := range e.Partitions {
			x.assigned[serverPartition{e.Server, e.Subscription, p}] = x.at(i)
		}
	case Lost:
		for _, p := range e.Partitions {
			delete(x.assigned, serverPartition{e.Server, e.Subscription, p})
			for _, s := range x.streams {
				if s.server == e.Server && s.subscription == e.Subscription {
					x.dropPartition(i, s, p)
				}
			}
		}
	case Fetched:
		x.fetched(i, e)
	}
}

// dropStuck drops what clients hold that a server may have thrown out by now: the end of
// their streams is recorded after it.
func (x *bytesHeld) dropStuck(i int, server string) {
	for _, s := range x.streams {
		if s.server != server || s.ackTimeout == 0 {
			continue
		}
		for _, m := range s.held {
			if x.at(i).Sub(m.deliveredAt) >= s.ackTimeout {
				for id := range s.held {
					x.drop(i, s, id)
				}
				break
			}
		}
	}
}

// fetched: a server whose clients alone hold more than its budget fetches nothing, but
// for what it has just been given.
func (x *bytesHeld) fetched(i int, e Fetched) {
	s := x.servers[e.Server]
	since, ok := x.assigned[serverPartition{e.Server, e.Subscription, e.Partition}]
	x.dropStuck(i, e.Server)
	if x.rules.BufferedBytes == 0 || s == nil || s.fullSince.IsZero() || !ok {
		return
	}
	patience := budgetPatience + x.rules.Slack
	if full := x.at(i).Sub(s.fullSince); full > patience && x.at(i).Sub(since) > patience {
		x.violate(i, "byte-budget", fmt.Sprintf("server %s fetches %s/%d, and its clients have held more than its budget of %d bytes for %v: %d bytes",
			e.Server, e.Partition.Topic, e.Partition.Number, x.rules.BufferedBytes, full, s.bytes), s.fullAt, i)
	}
}

// checkStreams: no client holds more than its limit, unless it is one message.
func (x *bytesHeld) checkStreams(i int) {
	if x.rules.WindowBytes == 0 || x.reported["client-bytes"] {
		return
	}
	for _, s := range x.streams {
		if !s.slow && len(s.held) > 1 && s.bytes > x.rules.WindowBytes {
			x.violate(i, "client-bytes", fmt.Sprintf("stream %s holds %d messages of %d bytes, and the limit is %d bytes",
				s.name, len(s.held), s.bytes, x.rules.WindowBytes), s.subscribedAt, i)
			return
		}
	}
}
