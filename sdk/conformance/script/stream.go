package script

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"

	"github.com/messageproxy/messageproxy/sdk/conformance/internal/await"
)

// serverStream is what the streams of both kinds have of gRPC's.
type serverStream interface {
	Context() context.Context
	SendMsg(m any) error
}

// stream is a stream of a client, of either kind.
type stream struct {
	// Connection is what it came on, and Opened when.
	Connection *Connection
	Opened     time.Time

	server *Server
	grpc   serverStream
	ended  chan error // capacity 1: what its method is to return

	sendMu sync.Mutex // one response after another

	// Guarded by the server's state.
	paused     bool
	halfClosed bool
	gone       bool
}

func (s *Server) newStream(g serverStream) *stream {
	p, _ := peer.FromContext(g.Context())
	st := &stream{server: s, grpc: g, Connection: s.connection(p), Opened: time.Now(), ended: make(chan error, 1)}
	s.state.Look(func() { st.paused = s.paused })
	return st
}

// serve is the stream's method: it has requests received until the script ends the
// stream, or the client does.
func (s *stream) serve(receive func() error) error {
	go func() {
		for {
			unpaused := s.server.state.Until(s.grpc.Context(), func() bool { return !s.paused })
			if unpaused != nil || receive() != nil {
				return
			}
		}
	}()
	select {
	case err := <-s.ended:
		return err
	case <-s.grpc.Context().Done():
		s.server.state.Update(func() { s.gone = true })
		return status.FromContextError(s.grpc.Context().Err()).Err()
	}
}

// Resume has a paused stream be read.
func (s *stream) Resume() { s.server.state.Update(func() { s.paused = false }) }

// Cut cuts the stream's connection.
func (s *stream) Cut() { s.Connection.Cut() }

// End ends the stream with a status; nil means OK.
func (s *stream) End(err error) {
	select {
	case s.ended <- err:
	default:
		s.server.fatalf("the script ends a stream twice")
	}
}

// EndWithStatus ends the stream with a status that has no details.
func (s *stream) EndWithStatus(code codes.Code, message string) { s.End(status.Error(code, message)) }

// EndWithDetails ends the stream with a status that has e in its details.
func (s *stream) EndWithDetails(code codes.Code, e *messageproxyv1.Error) {
	s.End(statusWith(code, e))
}

func statusWith(code codes.Code, e *messageproxyv1.Error) error {
	st, err := status.New(code, "the status of: "+e.GetMessage()).WithDetails(e)
	if err != nil {
		return status.Error(codes.Internal, "the script: "+err.Error())
	}
	return st.Err()
}

// AwaitHalfClose waits until the client has sent all that it will.
func (s *stream) AwaitHalfClose() {
	s.server.t.Helper()
	s.server.state.Wait(s.server.t,
		func() string { return fmt.Sprintf("the client's half-close; its stream is gone: %t", s.gone) },
		func() bool { return s.halfClosed })
}

// HalfClosed reports whether the client has half-closed.
func (s *stream) HalfClosed() bool {
	var yes bool
	s.server.state.Look(func() { yes = s.halfClosed })
	return yes
}

// AwaitGone waits until the client has given the stream, or its connection, up.
func (s *stream) AwaitGone() {
	s.server.t.Helper()
	s.AwaitGoneWithin(await.Patience)
}

// AwaitGoneWithin is AwaitGone with a deadline.
func (s *stream) AwaitGoneWithin(within time.Duration) {
	s.server.t.Helper()
	s.server.state.WaitWithin(s.server.t, within,
		func() string { return "the end of the client's stream" },
		func() bool { return s.gone })
}

// send sends a response, and fails if the client takes none.
func (s *stream) send(response proto.Message) {
	s.server.t.Helper()
	sent := make(chan error, 1)
	go func() {
		s.sendMu.Lock()
		defer s.sendMu.Unlock()
		sent <- s.grpc.SendMsg(response)
	}()
	select {
	case err := <-sent:
		if err != nil {
			s.server.fatalf("can't send to the client: %v", err)
		}
	case <-time.After(await.Patience):
		s.server.fatalf("the client doesn't read its stream")
	}
}

// WithUnknownField adds fields to m that only a newer contract has, one of each wire type,
// and returns m.
func WithUnknownField[M proto.Message](m M) M {
	unknown := protowire.AppendTag(nil, 4000, protowire.BytesType)
	unknown = protowire.AppendString(unknown, "new")
	unknown = protowire.AppendTag(unknown, 4001, protowire.VarintType)
	unknown = protowire.AppendVarint(unknown, math.MaxUint64)
	unknown = protowire.AppendTag(unknown, 4002, protowire.Fixed32Type)
	unknown = protowire.AppendFixed32(unknown, 7)
	unknown = protowire.AppendTag(unknown, 4003, protowire.Fixed64Type)
	unknown = protowire.AppendFixed64(unknown, 7)
	unknown = protowire.AppendTag(unknown, 4004, protowire.StartGroupType)
	unknown = protowire.AppendTag(unknown, 1, protowire.StartGroupType)
	unknown = protowire.AppendTag(unknown, 2, protowire.BytesType)
	unknown = protowire.AppendString(unknown, "in a group")
	unknown = protowire.AppendTag(unknown, 1, protowire.EndGroupType)
	unknown = protowire.AppendTag(unknown, 4004, protowire.EndGroupType)
	m.ProtoReflect().SetUnknown(unknown)
	return m
}

// Undecodable makes m, an empty message, one that can't be decoded, and returns m: it has a
// field that is longer than the message.
func Undecodable[M proto.Message](m M) M {
	cut := protowire.AppendTag(nil, 1, protowire.BytesType)
	m.ProtoReflect().SetUnknown(protowire.AppendVarint(cut, 5))
	return m
}

// Err is an error of the contract; ids are the messages that it is about.
func Err(code messageproxyv1.ErrorCode, message string, retryable bool, ids ...string) *messageproxyv1.Error {
	return &messageproxyv1.Error{Code: code, Message: message, Retryable: retryable, MessageIds: ids}
}
