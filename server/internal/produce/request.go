package produce

import (
	"math"
	"sync/atomic"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// A stream has one request in hand while it waits for its window or for bytes of the
// budget. Small ones, such as SDKs send, are what any stream may cost. Large ones
// share what MaxOutstandingBytes allows: a thousand streams with a request at the
// receive limit each would take 64 GiB.

// largeRequest is from how many bytes on a request counts as large.
const largeRequest = 320 << 10

// readGrace is how much longer than Config.Timeout, when the broker has answered for
// sure, a large request waits for its client to read results.
const readGrace = 5 * time.Second

// forever is the patience with what costs little.
const forever = time.Duration(math.MaxInt64)

// requestBytes counts the bytes of the large requests that all streams have in hand.
type requestBytes struct {
	limit int64
	used  atomic.Int64
}

// take takes bytes, if there are enough, or if nobody else has any.
func (r *requestBytes) take(bytes int64) bool {
	if used := r.used.Add(bytes); used > r.limit && used > bytes {
		r.used.Add(-bytes)
		return false
	}
	return true
}

// process gives the messages of a request to the producer. Those of a large request
// get an error each if too many large ones wait already, or if the client doesn't read
// its results while this one waits.
func (s *stream) process(request wire.ProducePieces, bytes int) {
	if bytes <= largeRequest {
		for messages := range request {
			s.feed(messages, forever)
		}
		return
	}
	if refused, why := s.processLarge(request, int64(bytes)); len(refused) > 0 {
		s.refuse(refused, why) // without what they hold: it waits for the client
	}
}

// processLarge returns the sequences of the messages that the producer didn't get.
func (s *stream) processLarge(request wire.ProducePieces, bytes int64) (refused []uint64, why *messageproxyv1.Error) {
	if s.service.requests.take(bytes) {
		defer s.service.requests.used.Add(-bytes)
	} else {
		why = s.tooManyLarge()
	}
	for messages := range request {
		if why == nil {
			if messages = s.feed(messages, s.service.cfg.Timeout+readGrace); len(messages) == 0 {
				continue
			}
			why = s.notRead()
		}
		for i := range messages {
			refused = append(refused, messages[i].Sequence)
		}
	}
	return refused, why
}

// refuse answers messages with an error, as the window allows.
func (s *stream) refuse(sequences []uint64, why *messageproxyv1.Error) {
	for len(sequences) > 0 {
		n := s.waitForRoom(min(len(sequences), chunkMessages), forever)
		chunk := make([]pending, n)
		for i := range chunk {
			chunk[i].stream = s
			chunk[i].result.Sequence = sequences[i]
			chunk[i].refuse(why)
		}
		s.register(chunk)
		sequences = sequences[n:]
	}
}

func (s *stream) tooManyLarge() *messageproxyv1.Error {
	return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED, true,
		"not stored: the requests above %d bytes that wait in this server have as many as they may together (%d): "+
			"try again later, or send smaller requests", largeRequest, s.service.requests.limit)
}

func (s *stream) notRead() *messageproxyv1.Error {
	return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED, true,
		"not stored: results were not read for %v while a request above %d bytes waited: read them, or send smaller requests",
		s.service.cfg.Timeout+readGrace, largeRequest)
}
