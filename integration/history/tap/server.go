package tap

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/integration/history"
)

// ServerOptions records the Consume streams of a server, as the server sees them:
// for server.Config's ServerOptions. Streams are called by the name that their
// client gives and a number, "billing-worker/1".
//
// A delivery is recorded when the server hands it to gRPC, however long it takes
// from there. A stream's end is recorded when the server first sees or says it.
func (t *Tap) ServerOptions(server string) []grpc.ServerOption {
	intercept := func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if info.FullMethod != messageproxyv1.MessageProxy_Consume_FullMethodName {
			return handler(srv, ss)
		}
		s := &serverStream{ServerStream: ss, end: &consumeStream{tap: t, side: history.Server, server: server}}
		err := handler(srv, s)
		s.end.end(err)
		return err
	}
	return []grpc.ServerOption{grpc.ChainStreamInterceptor(intercept)}
}

type serverStream struct {
	grpc.ServerStream
	end *consumeStream
}

func (s *serverStream) SendMsg(m any) error {
	if response := copyOf(m, &messageproxyv1.ConsumeResponse{}); response != nil {
		s.end.response(response)
	}
	begun := time.Now()
	err := s.ServerStream.SendMsg(m)
	s.end.sent(time.Since(begun))
	return err
}

// RecvMsg listens in on the decoding: the server receives into messages of its
// own that decode themselves.
func (s *serverStream) RecvMsg(m any) error {
	copied := &requestCopy{}
	target := m
	if own, ok := m.(selfDecoding); ok {
		copied.selfDecoding = own
		target = copied
	}
	if err := s.ServerStream.RecvMsg(target); err != nil {
		s.end.end(nil)
		return err
	}
	if request, ok := m.(*messageproxyv1.ConsumeRequest); ok {
		s.end.request(request)
	} else if copied.request != nil {
		s.end.request(copied.request)
	}
	return nil
}

// selfDecoding is a message of the first generation of protobuf in Go, with a
// decoder of its own, which gRPC's codec still calls.
type selfDecoding interface {
	Reset()
	String() string
	ProtoMessage()
	Unmarshal(data []byte) error
}

// requestCopy decodes a request for another, and once more for itself.
type requestCopy struct {
	selfDecoding
	request *messageproxyv1.ConsumeRequest // nil if it can't be decoded
}

// Unmarshal decodes as the other does, with its error.
func (c *requestCopy) Unmarshal(data []byte) error {
	if err := c.selfDecoding.Unmarshal(data); err != nil {
		return err
	}
	request := &messageproxyv1.ConsumeRequest{}
	if proto.Unmarshal(data, request) == nil {
		c.request = request
	}
	return nil
}
