package tap

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/integration/history"
)

// ClientOptions records the streams of a client's connections, as the client sees
// them: for messageproxy.WithDialOptions, or for grpc.NewClient. Streams are
// called client+"/1", client+"/2", and so on. server names the server that the
// client talks to; if that changes it is empty, and Consume streams are those of the
// server that Serves says is at the other end.
//
// A stream's end is recorded when the client knows of it. A client that neither
// receives nor gives up a stream doesn't know when the connection breaks.
func (t *Tap) ClientOptions(client, server string) []grpc.DialOption {
	intercept := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		var end clientEnd
		switch method {
		case messageproxyv1.MessageProxy_Produce_FullMethodName:
			end = &produceStream{tap: t, server: server}
		case messageproxyv1.MessageProxy_Consume_FullMethodName:
			end = &consumeStream{tap: t, side: history.Client, server: server}
		default:
			return streamer(ctx, desc, cc, method, opts...)
		}
		// Before those of the application: what that is told of is recorded.
		opts = append([]grpc.CallOption{grpc.OnFinish(end.end)}, opts...)
		stream, err := streamer(ctx, desc, cc, method, opts...)
		if err != nil {
			return nil, err
		}
		end.open(t.clients.next(client))
		return &clientStream{ClientStream: stream, end: end}, nil
	}
	return []grpc.DialOption{grpc.WithChainStreamInterceptor(intercept)}
}

// Serves says what the server is called that clients reach by an address, from now
// on.
func (t *Tap) Serves(addr, server string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.served == nil {
		t.served = make(map[string]string)
	}
	t.served[addr] = server
}

func (t *Tap) serverAt(addr string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.served[addr]
}

// clientEnd is a stream seen from its client: *produceStream or *consumeStream.
type clientEnd interface {
	open(name string)
	end(err error)
}

type clientStream struct {
	grpc.ClientStream
	end clientEnd
}

func (s *clientStream) SendMsg(m any) error {
	switch end := s.end.(type) {
	case *produceStream:
		if request := copyOf(m, &messageproxyv1.ProduceRequest{}); request != nil {
			end.request(request)
		}
	case *consumeStream:
		if request := copyOf(m, &messageproxyv1.ConsumeRequest{}); request != nil {
			end.request(request)
		}
	}
	return s.ClientStream.SendMsg(m)
}

func (s *clientStream) RecvMsg(m any) error {
	var err error
	switch end := s.end.(type) {
	case *produceStream:
		err = receive(s.ClientStream, m, &messageproxyv1.ProduceResponse{}, end.response)
	case *consumeStream:
		err = receive(s.ClientStream, m, &messageproxyv1.ConsumeResponse{}, func(response *messageproxyv1.ConsumeResponse) {
			if response.GetSubscribed() != nil {
				end.learnServer(s.Context())
			}
			end.response(response)
		})
	}
	if err != nil {
		s.end.end(unlessEOF(err))
	}
	return err
}

// CloseSend half-closes the stream: a consumer gives up what it holds.
func (s *clientStream) CloseSend() error {
	if consume, ok := s.end.(*consumeStream); ok {
		consume.end(nil)
	}
	return s.ClientStream.CloseSend()
}

func unlessEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
