package produce

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// proxyServer has the produce side alone.
type proxyServer struct {
	messageproxyv1.UnimplementedMessageProxyServer
	handle func(Stream) error
}

func (s *proxyServer) Produce(stream Stream) error { return s.handle(stream) }

// dial serves handle over a connection in memory until the test ends.
func dial(t testing.TB, handle func(Stream) error, opts ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(opts...)
	messageproxyv1.RegisterMessageProxyServer(server, &proxyServer{handle: handle})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///bufconn",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = conn.Close() // a second time, in some tests
		server.Stop()
		require.NoError(t, <-served)
	})
	return conn
}

func produce(t testing.TB, conn *grpc.ClientConn) grpc.BidiStreamingClient[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse] {
	t.Helper()
	stream, err := messageproxyv1.NewMessageProxyClient(conn).Produce(t.Context())
	require.NoError(t, err)
	return stream
}

// receiveUntilEnd returns all responses and the status.
func receiveUntilEnd(receive func() (*messageproxyv1.ProduceResponse, error)) ([]*messageproxyv1.ProduceResponse, *status.Status) {
	var responses []*messageproxyv1.ProduceResponse
	for {
		response, err := receive()
		if errors.Is(err, io.EOF) {
			return responses, nil
		}
		if err != nil {
			return responses, status.Convert(err)
		}
		responses = append(responses, response)
	}
}

func storing() *fakeProducer {
	producer := new(fakeProducer)
	producer.answer = producer.storeOne
	return producer
}

// requireTerminal checks that the last response and the details of the status are
// the same error, and returns it.
func requireTerminal(t *testing.T, responses []*messageproxyv1.ProduceResponse, st *status.Status) *messageproxyv1.Error {
	t.Helper()
	require.NotEmpty(t, responses)
	require.NotNil(t, st)
	require.Len(t, st.Details(), 1)
	last := responses[len(responses)-1].GetTerminalError()
	require.True(t, proto.Equal(last, st.Details()[0].(proto.Message)), "%v and %v", last, st)
	require.Equal(t, last.GetMessage(), st.Message())
	return last
}

func TestP3EveryMessageAnsweredOverGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := produce(t, dial(t, NewService(storing(), Config{}).Handle))
		const requests, each = 50, 300
		go func() {
			for i := range requests {
				_ = stream.Send(&messageproxyv1.ProduceRequest{Messages: outgoing(i*each+1, (i+1)*each)})
			}
			_ = stream.CloseSend()
		}()
		responses, st := receiveUntilEnd(stream.Recv)
		require.Nil(t, st)
		var results []*messageproxyv1.ProduceResult
		for _, r := range responses {
			results = append(results, r.GetResults()...)
		}
		requireOneEach(t, results, requests*each)
	})
}

func TestP1AbsentAndEmptyReachTheBrokerAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := produce(t, dial(t, NewService(producer, Config{}).Handle))
		for _, value := range [][]byte{nil, {}, []byte("x")} {
			require.NoError(t, stream.Send(&messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{{
				Topic: "orders", Key: value, Value: value,
				Headers: []*messageproxyv1.Header{{Key: "h", Value: value}, {Value: value}},
			}}}))
			synctest.Wait()
			held := producer.take(1)[0]
			assert.Equal(t, value, held.Key)
			assert.Equal(t, value, held.Value)
			assert.Equal(t, []broker.Header{{Key: "h", Value: value}, {Value: value}}, held.Headers)
			assert.Equal(t, broker.AnyPartition, held.Partition)
			assert.True(t, held.Timestamp.IsZero())
			producer.storeOne(held)
		}
		require.NoError(t, stream.CloseSend())
		_, st := receiveUntilEnd(stream.Recv)
		require.Nil(t, st)
	})
}

func TestBadInputTooLargeMessageKeepsTheStreamOverGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, NewService(storing(), Config{}).Handle, grpc.MaxRecvMsgSize(64<<20))
		stream := produce(t, conn)
		for i, size := range []int{16<<20 + 1, 16 << 20, 15 << 20} {
			m := &messageproxyv1.OutgoingMessage{Sequence: uint64(i), Topic: "orders", Value: make([]byte, size)}
			require.NoError(t, stream.Send(&messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{m}}))
		}
		require.NoError(t, stream.CloseSend())
		responses, st := receiveUntilEnd(stream.Recv)
		require.Nil(t, st)
		var results []*messageproxyv1.ProduceResult
		for _, r := range responses {
			results = append(results, r.GetResults()...)
		}
		assert.Equal(t, []int{0}, sequences(results, tooBig))
		assert.Equal(t, []int{1, 2}, sequences(results, stored))
	})
}

// gRPC refuses a request above its receive limit and ends the stream by itself;
// what was read before is still stored.
func TestBadInputRequestAboveTheReceiveLimitOverGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingMessages: 2})
		stream := produce(t, dial(t, service.Handle, grpc.MaxRecvMsgSize(1000)))
		require.NoError(t, stream.Send(&messageproxyv1.ProduceRequest{Messages: outgoing(1, 3)}))
		require.NoError(t, stream.Send(&messageproxyv1.ProduceRequest{Messages: outgoing(4, 300)}))
		synctest.Wait()
		producer.store(2)
		synctest.Wait()
		producer.store(1) // now the second request is received

		responses, st := receiveUntilEnd(stream.Recv)
		assert.Equal(t, codes.ResourceExhausted, st.Code())
		assert.Contains(t, st.Message(), "larger than max")
		assert.NotEmpty(t, responses)
		synctest.Wait()
		assert.EqualValues(t, 3, service.Stats().Stored)
		assert.Zero(t, service.Stats().Streams)
	})
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}

// Protobuf refuses strings that aren't UTF-8; the client is told so, and that
// nothing of the request is stored.
func TestBadInputHeaderKeyNotUTF8OverGRPC(t *testing.T) {
	bad := func(m *messageproxyv1.OutgoingMessage) []byte {
		request := mustMarshal(t, &messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{m}})
		for i, b := range request {
			if b == '?' {
				request[i] = 0xff
			}
		}
		return request
	}
	for name, request := range map[string][]byte{
		"header key":   bad(&messageproxyv1.OutgoingMessage{Topic: "orders", Headers: []*messageproxyv1.Header{{Key: "trace?"}}}),
		"topic":        bad(&messageproxyv1.OutgoingMessage{Topic: "orders?"}),
		"not protobuf": {0xff, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				producer := storing()
				conn := dial(t, NewService(producer, Config{}).Handle)
				stream, err := conn.NewStream(t.Context(), &messageproxyv1.MessageProxy_ServiceDesc.Streams[0],
					messageproxyv1.MessageProxy_Produce_FullMethodName, grpc.ForceCodecV2(rawCodec{}))
				require.NoError(t, err)
				require.NoError(t, stream.SendMsg(mustMarshal(t, &messageproxyv1.ProduceRequest{Messages: outgoing(1, 2)})))
				require.NoError(t, stream.SendMsg(request))

				responses, st := receiveUntilEnd(func() (*messageproxyv1.ProduceResponse, error) {
					response := new(messageproxyv1.ProduceResponse)
					return response, stream.RecvMsg(response)
				})
				terminal := requireTerminal(t, responses, st)
				assert.Equal(t, badArg, terminal.GetCode())
				assert.Contains(t, terminal.GetMessage(), "none of its messages was stored")
				assert.Contains(t, terminal.GetMessage(), "must be valid UTF-8")
				assert.Equal(t, codes.InvalidArgument, st.Code())
				var results []*messageproxyv1.ProduceResult // in one response or in two
				for _, r := range responses {
					results = append(results, r.GetResults()...)
				}
				assert.Equal(t, []int{1, 2}, sequences(results, stored), "what came before is answered")
				assert.Equal(t, 2, producer.givenSoFar())
			})
		})
	}
}

func TestP3DrainOverGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{})
		stream := produce(t, dial(t, service.Handle))
		require.NoError(t, stream.Send(&messageproxyv1.ProduceRequest{Messages: outgoing(1, 3)}))
		synctest.Wait()
		drained := startDrain(t, service, 1<<40)
		producer.store(-1)
		responses, st := receiveUntilEnd(stream.Recv)
		assert.Equal(t, going, requireTerminal(t, responses, st).GetCode())
		assert.Equal(t, codes.Unavailable, st.Code())
		require.NoError(t, <-drained)
	})
}

func TestP1CancellationOverGRPCEndsTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := messageproxyv1.NewMessageProxyClient(dial(t, service.Handle)).Produce(ctx)
		require.NoError(t, err)
		require.NoError(t, stream.Send(&messageproxyv1.ProduceRequest{Messages: outgoing(1, 3)}))
		synctest.Wait()
		require.Equal(t, 1, service.Stats().Streams)
		cancel()
		synctest.Wait()
		stats := service.Stats()
		assert.Zero(t, stats.Streams)
		assert.Equal(t, 3, stats.OutstandingMessages)
		producer.store(-1)
		assert.EqualValues(t, 3, service.Stats().Stored)
	})
}

// A client that never reads is stuck in its own flow control; closing its
// connection ends the handler, whatever Send waits for.
func TestP2DeafClientOverGRPCEndsWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := NewService(storing(), Config{})
		conn := dial(t, service.Handle)
		stream := produce(t, conn)
		sent := make(chan int)
		go func() {
			n := 0
			for stream.Send(&messageproxyv1.ProduceRequest{Messages: outgoing(1, 1000)}) == nil {
				n++
			}
			sent <- n
		}()
		synctest.Wait() // everything stands still
		stats := service.Stats()
		assert.Zero(t, stats.OutstandingBytes)
		assert.Equal(t, 1, stats.Streams)
		require.NoError(t, conn.Close())
		synctest.Wait()
		assert.Zero(t, service.Stats().Streams)
		assert.Positive(t, <-sent)
	})
}
