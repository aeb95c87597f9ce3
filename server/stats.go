package server

import (
	"github.com/messageproxy/messageproxy/server/internal/consume"
	"github.com/messageproxy/messageproxy/server/internal/produce"
)

// Stats is what a server is doing. A server without clients has all zeros.
type Stats struct {
	// Connections is how many connections are open.
	Connections int
	// Streams is how many streams of all kinds are open.
	Streams int

	// ConsumeStreams is how many of them are part of a subscription, and
	// Subscriptions how many subscriptions are open, or being closed.
	ConsumeStreams, Subscriptions int
	// BufferedBytes is what messages take of ConsumeConfig.MaxBufferedBytes.
	BufferedBytes int64

	// ProduceStreams is how many streams produce.
	ProduceStreams int
	// OutstandingMessages and OutstandingBytes are what the broker has not answered.
	OutstandingMessages int
	OutstandingBytes    int64
	// LargeRequestBytes is the size of large requests that wait.
	LargeRequestBytes int64
}

// Stats returns a snapshot; its figures are each right, but taken one after the
// other. Before Serve all are zero. It may be called concurrently with everything.
func (s *Server) Stats() Stats {
	var stats Stats
	r := s.running.Load()
	if r == nil {
		return stats
	}
	stats.Connections = r.connections.count()
	stats.Streams = int(r.streams.open.Load())
	if r.proxy.stats != nil {
		r.proxy.stats(&stats)
	}
	return stats
}

func (s *Stats) ofSides(p produce.Stats, c consume.Stats) {
	s.ProduceStreams = p.Streams
	s.OutstandingMessages, s.OutstandingBytes = p.OutstandingMessages, p.OutstandingBytes
	s.LargeRequestBytes = p.LargeRequestBytes
	s.ConsumeStreams, s.Subscriptions = c.Streams, c.Subscriptions
	s.BufferedBytes = c.BufferedBytes
}
