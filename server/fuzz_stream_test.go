package server

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// fuzzStream is a client's end of a stream. One goroutine opens it and sends what
// the test gives it, one receives unless it is told to stop.
type fuzzStream struct {
	conn   *fuzzConn
	cancel context.CancelFunc
	wake   chan struct{} // capacity 1
	// receive takes a response; it is called with mu held.
	receive func(proto.Message)
	// late: it was opened when the server was draining, and may have met nobody.
	late bool

	mu         sync.Mutex
	frames     [][]byte // to send
	sent       [][]byte // or being sent
	halfClosed bool
	cancelled  bool
	paused     chan struct{} // closed when reading goes on; nil: it does
	ended      bool
	err        error // how it ended
}

func newFuzzStream(w *fuzzWorld, conn *fuzzConn) *fuzzStream {
	return &fuzzStream{conn: conn, late: w.drained, wake: make(chan struct{}, 1)}
}

// start opens the stream.
func (s *fuzzStream) start(t *testing.T, method string, newResponse func() proto.Message, receive func(proto.Message)) {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s.cancel, s.receive = cancel, receive
	go s.run(ctx, method, newResponse)
}

func (s *fuzzStream) run(ctx context.Context, method string, newResponse func() proto.Message) {
	stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/"+messageproxyv1.MessageProxy_ServiceDesc.ServiceName+"/"+method)
	if err != nil {
		s.end(err)
		return
	}
	go s.receiveAll(stream, newResponse)
	for {
		frame, over := s.nextFrame()
		switch {
		case frame != nil:
			if stream.SendMsg(frame) != nil {
				return // the receiver learns why
			}
		case over:
			_ = stream.CloseSend()
			return
		default:
			select {
			case <-s.wake:
			case <-stream.Context().Done():
				return
			}
		}
	}
}

func (s *fuzzStream) nextFrame() (frame []byte, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.frames) == 0 {
		return nil, s.halfClosed
	}
	frame, s.frames = s.frames[0], s.frames[1:]
	s.sent = append(s.sent, frame)
	return frame, false
}

func (s *fuzzStream) receiveAll(stream grpc.ClientStream, newResponse func() proto.Message) {
	for {
		s.mu.Lock()
		paused := s.paused
		s.mu.Unlock()
		if paused != nil {
			<-paused
		}
		response := newResponse()
		if err := stream.RecvMsg(response); err != nil {
			s.end(err)
			return
		}
		s.mu.Lock()
		s.receive(response)
		s.mu.Unlock()
	}
}

func (s *fuzzStream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.err = true, err
}

func (s *fuzzStream) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (s *fuzzStream) send(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.halfClosed {
		return
	}
	if frame == nil {
		frame = []byte{}
	}
	s.frames = append(s.frames, frame)
	s.look()
}

func (s *fuzzStream) halfClose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halfClosed = true
	s.look()
}

func (s *fuzzStream) look() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *fuzzStream) vanish() {
	s.mu.Lock()
	s.cancelled = true
	s.mu.Unlock()
	s.cancel()
}

// pause stops reading, after one more response. The server may close the connection
// for it.
func (s *fuzzStream) pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused == nil {
		s.paused = make(chan struct{})
		s.conn.broken = true
	}
}

func (s *fuzzStream) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused != nil {
		close(s.paused)
		s.paused = nil
	}
}

// checkEnd checks that a stream has ended in a proper way: with OK after a
// half-close, or with an error that came twice, unless the client itself or the
// network has broken it. It returns the code, and false if the stream broke.
func (s *fuzzStream) checkEnd(t *testing.T, terminal *messageproxyv1.Error) (messageproxyv1.ErrorCode, bool) {
	t.Helper()
	if errors.Is(s.err, io.EOF) {
		require.True(t, s.halfClosed, "OK, and the client goes on")
		require.Nil(t, terminal, "an error, and OK")
		return messageproxyv1.ErrorCode_ERROR_CODE_UNSPECIFIED, true
	}
	details := status.Convert(s.err).Details()
	if len(details) == 0 {
		require.True(t, s.cancelled || s.conn.broken || s.late, "ended with %v", s.err)
		return 0, false
	}
	told, ok := details[0].(*messageproxyv1.Error)
	require.True(t, ok)
	require.NotNil(t, terminal, "the status says %v, the last response nothing", told)
	require.Equal(t, terminal.GetCode(), told.GetCode())
	require.Equal(t, status.Code(wire.Status(terminal)), status.Code(s.err))
	require.NotEmpty(t, terminal.GetMessage())
	require.NotEqual(t, messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, terminal.GetCode(), "%v", terminal)
	return terminal.GetCode(), true
}
