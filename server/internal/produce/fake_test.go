package produce

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// heldMessage is a message that the producer has and has not answered.
type heldMessage struct {
	*broker.OutgoingMessage
	done func(broker.MessageReceipt, error)
}

// fakeProducer holds messages until the test answers them, or answers by itself.
type fakeProducer struct {
	// answer, if set, is called for each message instead of holding it.
	answer func(heldMessage)

	mu      sync.Mutex
	held    []heldMessage
	given   int
	stored  int
	flushed int
}

func (p *fakeProducer) ProduceAsync(m *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
	h := heldMessage{m, done}
	p.mu.Lock()
	p.given++
	if p.answer == nil {
		p.held = append(p.held, h)
	}
	p.mu.Unlock()
	if p.answer != nil {
		p.answer(h)
	}
}

func (p *fakeProducer) Flush(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushed++
	return nil
}

func (p *fakeProducer) Close() error { return nil }

// take removes the n oldest of the messages held, or all if there are fewer or n
// is negative.
func (p *fakeProducer) take(n int) []heldMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n < 0 || n > len(p.held) {
		n = len(p.held)
	}
	taken := p.held[:n:n]
	p.held = p.held[n:]
	return taken
}

func (p *fakeProducer) givenSoFar() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.given
}

// store answers the n oldest messages with receipts.
func (p *fakeProducer) store(n int) {
	for _, h := range p.take(n) {
		p.storeOne(h)
	}
}

func (p *fakeProducer) storeOne(h heldMessage) {
	p.mu.Lock()
	p.stored++
	id := fmt.Sprintf("id-%d", p.stored)
	p.mu.Unlock()
	h.done(broker.MessageReceipt{ID: id, Partition: max(h.Partition, 0), Timestamp: time.UnixMilli(1234)}, nil)
}

// fakeStream is the server's end of a stream without a network: RecvMsg takes what
// the test sends, Send appends to responses unless it is blocked.
type fakeStream struct {
	Stream
	ctx      context.Context
	cancel   context.CancelFunc
	requests chan *messageproxyv1.ProduceRequest
	recvErr  chan error
	ended    chan struct{}
	err      error // valid once ended is closed

	mu        sync.Mutex
	blocked   chan struct{} // Send waits until it is closed, if set
	responses []*messageproxyv1.ProduceResponse
}

func (s *fakeStream) Context() context.Context { return s.ctx }

func (s *fakeStream) RecvMsg(into any) error {
	select {
	case request := <-s.requests:
		bytes, err := proto.Marshal(request)
		if err != nil {
			return err
		}
		return into.(interface{ Unmarshal([]byte) error }).Unmarshal(bytes)
	case err := <-s.recvErr:
		return err
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}

func (s *fakeStream) SendMsg(m any) error {
	bytes, err := proto.Marshal(m.(proto.Message))
	if err != nil {
		return err
	}
	response := &messageproxyv1.ProduceResponse{}
	if err := proto.Unmarshal(bytes, response); err != nil {
		return err
	}
	return s.Send(response)
}

func (s *fakeStream) Send(response *messageproxyv1.ProduceResponse) error {
	s.mu.Lock()
	blocked := s.blocked
	s.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-s.ctx.Done():
			return status.FromContextError(s.ctx.Err()).Err()
		}
	}
	if _, err := proto.Marshal(response); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.responses = append(s.responses, proto.CloneOf(response))
	return nil
}

// blockSends makes Send wait until the returned function is called.
func (s *fakeStream) blockSends() (unblock func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	blocked := make(chan struct{})
	s.blocked = blocked
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.blocked = nil
		close(blocked)
	}
}

// open runs Handle over a new fakeStream until the test ends.
func open(t *testing.T, service *Service) *fakeStream {
	ctx, cancel := context.WithCancel(t.Context())
	s := &fakeStream{
		ctx: ctx, cancel: cancel, ended: make(chan struct{}),
		requests: make(chan *messageproxyv1.ProduceRequest), recvErr: make(chan error, 1),
	}
	go func() {
		s.err = service.Handle(s)
		cancel() // as gRPC does
		close(s.ended)
	}()
	t.Cleanup(func() {
		over, cancelOver := context.WithCancel(context.Background())
		cancelOver()
		_ = service.Drain(over)
		cancel()
		<-s.ended
	})
	return s
}

// send hands the server a request with messages, and returns when it is taken.
func (s *fakeStream) send(messages ...*messageproxyv1.OutgoingMessage) {
	s.requests <- &messageproxyv1.ProduceRequest{Messages: messages}
	synctest.Wait()
}

// trySend reports whether the server takes a request now.
func (s *fakeStream) trySend(messages ...*messageproxyv1.OutgoingMessage) bool {
	synctest.Wait()
	select {
	case s.requests <- &messageproxyv1.ProduceRequest{Messages: messages}:
		synctest.Wait()
		return true
	default:
		return false
	}
}

func (s *fakeStream) halfClose() {
	s.recvErr <- io.EOF
	synctest.Wait()
}

// results returns what was sent so far.
func (s *fakeStream) results() []*messageproxyv1.ProduceResult {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var results []*messageproxyv1.ProduceResult
	for _, r := range s.responses {
		results = append(results, r.GetResults()...)
	}
	return results
}

func (s *fakeStream) frames() []*messageproxyv1.ProduceResponse {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.responses
}

func (s *fakeStream) hasEnded() bool {
	synctest.Wait()
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func (s *fakeStream) requireEnded(t *testing.T, want messageproxyv1.ErrorCode) {
	t.Helper()
	require.True(t, s.hasEnded(), "the stream has ended")
	if want == messageproxyv1.ErrorCode_ERROR_CODE_UNSPECIFIED {
		require.NoError(t, s.err)
		return
	}
	frames := s.frames()
	require.NotEmpty(t, frames)
	last := frames[len(frames)-1].GetTerminalError()
	require.Equal(t, want, last.GetCode(), "the last response says why")
	details := status.Convert(s.err).Details()
	require.Len(t, details, 1, "and so does the status")
	require.True(t, proto.Equal(last, details[0].(proto.Message)))
}

// outgoing returns valid messages with sequences from first to last.
func outgoing(first, last int) []*messageproxyv1.OutgoingMessage {
	var messages []*messageproxyv1.OutgoingMessage
	for i := first; i <= last; i++ {
		messages = append(messages, &messageproxyv1.OutgoingMessage{Sequence: uint64(i), Topic: "orders", Value: []byte("value")})
	}
	return messages
}

// sequences returns the sequences of those results that have this code;
// UNSPECIFIED means receipts.
func sequences(results []*messageproxyv1.ProduceResult, code messageproxyv1.ErrorCode) []int {
	var sequences []int
	for _, r := range results {
		if r.GetError().GetCode() == code {
			sequences = append(sequences, int(r.GetSequence()))
		}
	}
	return sequences
}

func numbers(first, last int) []int {
	var numbers []int
	for i := first; i <= last; i++ {
		numbers = append(numbers, i)
	}
	return numbers
}

const (
	stored  = messageproxyv1.ErrorCode_ERROR_CODE_UNSPECIFIED
	unknown = messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME
	going   = messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN
	badArg  = messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT
	tooBig  = messageproxyv1.ErrorCode_ERROR_CODE_MESSAGE_TOO_LARGE
	full    = messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED
	down    = messageproxyv1.ErrorCode_ERROR_CODE_BROKER_UNAVAILABLE
)
