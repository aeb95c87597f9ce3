package integration_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/integration/history"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// report says where things stand after something was waited for in vain: which
// partitions got messages since, and how far the subscription is in them; what each
// consumer owns, and what its streams, at both ends, have seen; what the networks
// have not handed on.
func (c *chaos) report(since time.Time) string {
	entries := c.history.Entries()
	var b strings.Builder
	c.reportPartitions(&b, entries, since)
	_, handled, _ := c.flow.now()
	for _, client := range slices.Sorted(maps.Keys(handled)) {
		fmt.Fprintf(&b, "\n%s was last told that it owns %v", client, c.shares.of(client))
		reportStreams(&b, entries, client, since)
	}
	for _, n := range c.networks {
		fmt.Fprintf(&b, "\nnetwork of %s: %v", n.of, n.network)
	}
	return b.String()
}

func (c *chaos) reportPartitions(b *strings.Builder, entries []history.Entry, since time.Time) {
	before, now := make(map[int32]int64), make(map[int32]int64)
	for _, entry := range entries {
		if e, ok := entry.Event.(history.PositionRead); ok && e.Subscription == c.subscription {
			now[e.Partition.Number] = e.Position
			if entry.At.Before(since) {
				before[e.Partition.Number] = e.Position
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	ends, err := c.admin.kadm.ListEndOffsets(ctx, c.topic)
	if err != nil {
		fmt.Fprintf(b, "\nhow far the partitions are can't be read: %v", err)
	}
	for _, p := range slices.Sorted(maps.Keys(ends[c.topic])) {
		fmt.Fprintf(b, "\npartition %d: position %d → %d of %d", p, before[p], now[p], ends[c.topic][p].Offset)
	}
}

// streamReport is what one end of a consumer's stream has seen.
type streamReport struct {
	history.Subscribed
	began, delivered, acked time.Time // the last time
	deliveries, acks        int
	unacked                 map[string]bool
	end                     string
}

// reportStreams writes down what has become of a client's streams that were open at a
// time, or later.
func reportStreams(b *strings.Builder, entries []history.Entry, client string, since time.Time) {
	type end struct {
		side   history.Side
		stream string
	}
	streams := make(map[end]*streamReport)
	for _, entry := range entries {
		switch e := entry.Event.(type) {
		case history.Subscribed:
			if e.Client == client {
				streams[end{e.Side, e.Stream}] = &streamReport{Subscribed: e, began: entry.At, unacked: make(map[string]bool)}
			}
		case history.Delivered:
			if s := streams[end{e.Side, e.Stream}]; s != nil {
				s.delivered, s.deliveries = entry.At, s.deliveries+len(e.Messages)
				for _, m := range e.Messages {
					s.unacked[m.ID] = true
				}
			}
		case history.Acked:
			if s := streams[end{e.Side, e.Stream}]; s != nil {
				s.acked, s.acks = entry.At, s.acks+len(e.IDs)
				for _, id := range e.IDs {
					delete(s.unacked, id)
				}
			}
		case history.ConsumeEnded:
			if s := streams[end{e.Side, e.Stream}]; s != nil && entry.At.Before(since) {
				delete(streams, end{e.Side, e.Stream})
			} else if s != nil {
				s.end = fmt.Sprintf("; ended at %s %s", clock(entry.At), e.Code)
			}
		}
	}
	byTime := func(s, t *streamReport) int { return s.began.Compare(t.began) }
	for _, s := range slices.SortedFunc(maps.Values(streams), byTime) {
		fmt.Fprintf(b, "\n  %s", s)
	}
}

func (s *streamReport) String() string {
	side := "client"
	if s.Side == history.Server {
		side = "server"
	}
	return fmt.Sprintf("%s at its %s, since %s: %d delivered, last at %s; %d ACKed, last at %s; %d left%s",
		s.Stream, side, clock(s.began), s.deliveries, clock(s.delivered), s.acks, clock(s.acked), len(s.unacked), s.end)
}

func clock(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return at.Format("15:04:05.000")
}

// namedNetwork is a network, and whose it is.
type namedNetwork struct {
	of string
	*network
}

// shares are the partitions that consumers were told to own.
type shares struct {
	mu      sync.Mutex
	told    map[string][]int32
	workers map[string]*worker
}

func newShares() *shares {
	return &shares{told: make(map[string][]int32), workers: make(map[string]*worker)}
}

// tell notes what a consumer without the SDK was told.
func (s *shares) tell(client string, r *messageproxyv1.ConsumeResponse) {
	if r.GetAssignment() == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[client] = nil
	for _, p := range r.GetAssignment().GetPartitions() {
		s.told[client] = append(s.told[client], p.GetPartition())
	}
}

// ask makes known the worker that was told, of a consumer with the SDK.
func (s *shares) ask(client string, w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workers[client] = w
}

func (s *shares) of(client string) []int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.workers[client]; w != nil {
		return w.assigned()
	}
	return s.told[client]
}

// assigned returns the partitions that the worker was last told to own.
func (w *worker) assigned() (partitions []int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range slices.Backward(w.events) {
		if e.Kind == messageproxy.EventAssigned {
			for _, p := range e.Partitions {
				partitions = append(partitions, p.Partition)
			}
			break
		}
	}
	return partitions
}
