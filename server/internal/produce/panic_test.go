package produce

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// panicking is a producer with a bug that one message shows.
type panicking struct{ *fakeProducer }

func (p panicking) ProduceAsync(m *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
	if m.Topic == "bug" {
		panic("a bug")
	}
	p.fakeProducer.ProduceAsync(m, done)
}

// A message at which the producer panics may be stored or not; the others of its
// request are answered, and its bytes are free again.
func TestAPanicOfTheProducerCostsItsMessageAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		service := NewService(panicking{storing()}, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		stream := open(t, service)
		stream.send(append(outgoing(1, 2), &messageproxyv1.OutgoingMessage{Sequence: 3, Topic: "bug"}, outgoing(4, 4)[0])...)
		assert.Equal(t, []int{1, 2, 4}, sequences(stream.results(), stored))
		assert.Equal(t, []int{3}, sequences(stream.results(), messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME))
		assert.Zero(t, service.Stats().OutstandingBytes)
		assert.Contains(t, log.String(), "a bug")
		assert.Contains(t, log.String(), "panic_test.go", "the stack")
		assert.True(t, stream.trySend(), "the stream lives")
	})
}

// brokenError panics when it is asked what it says.
type brokenError struct{}

func (brokenError) Error() string { panic("speechless") }

// The producer's callback runs on a goroutine of the producer's.
func TestAPanicInACallbackCostsItsMessageAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{})
		stream := open(t, service)
		stream.send(outgoing(1, 2)...)
		held := producer.take(-1)
		held[0].done(broker.MessageReceipt{}, brokenError{})
		held[0].done(broker.MessageReceipt{}, nil) // against the contract
		producer.storeOne(held[1])
		assert.Equal(t, []int{1}, sequences(stream.results(), messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME))
		assert.Equal(t, []int{2}, sequences(stream.results(), stored))
		assert.Zero(t, service.Stats().OutstandingBytes)
	})
}

// panickingServerStream panics on receiving or on sending.
type panickingServerStream struct {
	Stream
	recv, send bool
}

func (s *panickingServerStream) RecvMsg(m any) error {
	if s.recv {
		panic("a bug in receiving")
	}
	return s.Stream.RecvMsg(m)
}

func (s *panickingServerStream) SendMsg(m any) error {
	if s.send {
		panic("a bug in sending")
	}
	return s.Stream.SendMsg(m)
}

// A panic while a request is read ends its stream, and nothing else.
func TestAPanicInTheReaderEndsItsStreamAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := NewService(storing(), Config{})
		first := true
		conn := dial(t, func(stream Stream) error {
			s := &panickingServerStream{Stream: stream, recv: first}
			first = false
			return service.Handle(s)
		})
		stream := produce(t, conn)
		_, st := receiveUntilEnd(stream.Recv)
		require.Equal(t, codes.Internal, st.Code())
		require.Len(t, st.Details(), 1)
		requireWorks(t, conn)
	})
}

// A panic of the writer, which the server's interceptor turns into INTERNAL, leaves no
// reader behind that waits for results to be sent.
func TestAPanicInTheWriterLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingMessages: 2})
		conn := dial(t, func(stream Stream) (err error) {
			defer func() { err = status.Error(codes.Internal, fmt.Sprint(recover())) }()
			return service.Handle(&panickingServerStream{Stream: stream, send: true})
		})
		stream := produce(t, conn)
		require.NoError(t, stream.Send(&messageproxyv1.ProduceRequest{Messages: outgoing(1, 9)}))
		synctest.Wait()
		producer.store(1)
		_, st := receiveUntilEnd(stream.Recv)
		require.Equal(t, "a bug in sending", st.Message())
		synctest.Wait()
		producer.store(-1)
		assert.Zero(t, service.Stats().Streams)
		assert.Zero(t, service.Stats().OutstandingBytes)
	})
}

func requireWorks(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	stream := produce(t, conn)
	require.NoError(t, stream.Send(&messageproxyv1.ProduceRequest{Messages: outgoing(1, 2)}))
	require.NoError(t, stream.CloseSend())
	responses, st := receiveUntilEnd(stream.Recv)
	require.Nil(t, st)
	require.NotEmpty(t, responses)
}
