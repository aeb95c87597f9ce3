package server

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
)

// orders is the one partition of the topic that these tests use.
var orders = broker.TopicPartition{Topic: "orders"}

// newProxyFixture is a server of the true sides over a broker in memory, which has
// the topic orders.
func newProxyFixture(t *testing.T) *fixture {
	f := newFixture(t)
	f.real = membroker.New(membroker.Options{})
	require.NoError(t, f.real.CreateTopic(orders.Topic, 1))
	return f
}

// close drains the server and closes the broker.
func (f *fixture) close() {
	f.t.Helper()
	require.NoError(f.t, f.drain())
	require.NoError(f.t, f.real.Close())
}

// produceStreamOf opens a stream that produces.
func produceStreamOf(t *testing.T, client messageproxyv1.MessageProxyClient) messageproxyv1.MessageProxy_ProduceClient {
	stream, err := client.Produce(t.Context(), grpc.MaxCallSendMsgSize(1<<30))
	require.NoError(t, err)
	return stream
}

func produceAll(t *testing.T, stream messageproxyv1.MessageProxy_ProduceClient, messages ...*messageproxyv1.OutgoingMessage) map[uint64]*messageproxyv1.ProduceResult {
	require.NoError(t, stream.Send(&messageproxyv1.ProduceRequest{Messages: messages}))
	results := make(map[uint64]*messageproxyv1.ProduceResult)
	for len(results) < len(messages) {
		answer, err := stream.Recv()
		require.NoError(t, err)
		for _, r := range answer.GetResults() {
			results[r.GetSequence()] = r
		}
	}
	return results
}

func outgoing(sequence uint64, value []byte) *messageproxyv1.OutgoingMessage {
	return &messageproxyv1.OutgoingMessage{Sequence: sequence, Topic: orders.Topic, Value: value}
}

func subscribe(t *testing.T, client messageproxyv1.MessageProxyClient) messageproxyv1.MessageProxy_ConsumeClient {
	stream, err := client.Consume(t.Context(), grpc.MaxCallRecvMsgSize(1<<30))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{
		Subscribe: &messageproxyv1.SubscribeRequest{Subscription: "billing", Topics: []string{orders.Topic}},
	}}))
	return stream
}

func ack(t *testing.T, stream messageproxyv1.MessageProxy_ConsumeClient, messages ...*messageproxyv1.Message) {
	var ids []string
	for _, m := range messages {
		ids = append(ids, m.GetId())
	}
	require.NoError(t, stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
		Ack: &messageproxyv1.AckRequest{MessageIds: ids},
	}}))
}

// receive returns the next n messages.
func receive(t *testing.T, stream messageproxyv1.MessageProxy_ConsumeClient, n int) []*messageproxyv1.Message {
	var messages []*messageproxyv1.Message
	for len(messages) < n {
		answer, err := stream.Recv()
		require.NoError(t, err)
		for _, p := range answer.GetBatch().GetPartitions() {
			messages = append(messages, p.GetMessages()...)
		}
	}
	require.Len(t, messages, n)
	return messages
}

func TestMessagesGoThroughWholeAndBack(t *testing.T) {
	f := newProxyFixture(t).onTCP().start()
	client := f.client()
	large := bytes.Repeat([]byte("0123456789abcdef"), 15*mib/16)
	sent := []*messageproxyv1.OutgoingMessage{
		{Sequence: 1, Topic: orders.Topic, Key: []byte("k"), Value: large},
		{Sequence: 2, Topic: orders.Topic, Key: []byte{}, Value: nil},
		{Sequence: 3, Topic: orders.Topic, Key: nil, Value: []byte{}, Headers: []*messageproxyv1.Header{
			{Key: "a", Value: nil}, {Key: "a", Value: []byte{}}, {Key: "", Value: []byte("v")},
		}},
	}
	results := produceAll(t, produceStreamOf(t, client), sent...)

	stream := subscribe(t, client)
	got := receive(t, stream, len(sent))
	for i, m := range got {
		require.Equal(t, results[sent[i].GetSequence()].GetReceipt().GetMessageId(), m.GetId())
		require.True(t, proto.Equal(
			&messageproxyv1.OutgoingMessage{Key: sent[i].Key, Value: sent[i].Value, Headers: sent[i].Headers},
			&messageproxyv1.OutgoingMessage{Key: m.Key, Value: m.Value, Headers: m.Headers},
		), "message %d", i)
	}
	ack(t, stream, got...)
	require.NoError(t, stream.CloseSend())
	_, err := stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	f.close()
	first, ok := f.real.FirstUnacked("billing", orders)
	require.True(t, ok)
	require.Equal(t, f.real.End(orders), first, "all ACKs are durable")
}

func TestATooLargeMessageCostsNoOtherAnything(t *testing.T) {
	f := newProxyFixture(t).onTCP().start()
	stream := produceStreamOf(t, f.client())
	results := produceAll(t, stream,
		outgoing(1, []byte("small")), outgoing(2, make([]byte, 16*mib+1)), outgoing(3, make([]byte, 16*mib)))
	require.NotNil(t, results[1].GetReceipt())
	require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_MESSAGE_TOO_LARGE, results[2].GetError().GetCode())
	require.NotNil(t, results[3].GetReceipt())
	require.NotNil(t, produceAll(t, stream, outgoing(4, []byte("later")))[4].GetReceipt())
	f.close()
}

func TestDrainFinishesWhatWasAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newProxyFixture(t).onBufconn().start()
		conn := f.dial()
		defer conn.Close()
		client := f.clientOn(conn)
		producing := produceStreamOf(t, client)
		produceAll(t, producing, outgoing(1, []byte("one")), outgoing(2, []byte("two")))
		consuming := subscribe(t, client)
		held := receive(t, consuming, 2)

		f.stop()

		terminal := lastResponse(t, producing, (*messageproxyv1.ProduceResponse).GetTerminalError)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, terminal.GetCode())
		answer, err := consuming.Recv()
		require.NoError(t, err)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, answer.GetNotice().GetCode())
		time.Sleep(f.cfg.DrainTimeout / 2) // it waits for the ACKs
		ack(t, consuming, held...)
		terminal = lastResponse(t, consuming, (*messageproxyv1.ConsumeResponse).GetTerminalError)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, terminal.GetCode())
		require.NoError(t, <-f.served)
		require.Equal(t, true, f.logs.withMessage(t, "drained")[0]["complete"])
		first, ok := f.real.FirstUnacked("billing", orders)
		require.True(t, ok)
		require.Equal(t, f.real.End(orders), first)
		require.NoError(t, f.real.Close())
	})
}

// lastResponse reads a stream to its end and returns the terminal error, which the
// last response and the status must both have.
func lastResponse[R any](t *testing.T, stream grpc.ServerStreamingClient[R], terminalOf func(*R) *messageproxyv1.Error) *messageproxyv1.Error {
	var terminal *messageproxyv1.Error
	for {
		answer, err := stream.Recv()
		if err == nil {
			require.Nil(t, terminal, "a response after the terminal error")
			terminal = terminalOf(answer)
			continue
		}
		details := status.Convert(err).Details()
		require.Len(t, details, 1, "%v", err)
		require.True(t, proto.Equal(terminal, details[0].(*messageproxyv1.Error)), "%v is not %v", terminal, details[0])
		return terminal
	}
}

// A client that stops reading is not reached by its terminal error. Its connection
// is closed, and its messages go to others.
func TestAClientThatStopsReadingLosesItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newProxyFixture(t).onBufconn().start()
		stuckConn, conn := f.dial(), f.dial()
		defer stuckConn.Close()
		defer conn.Close()
		stuck := subscribe(t, f.clientOn(stuckConn))
		producing := produceStreamOf(t, f.clientOn(conn))
		const n = 100
		for i := range uint64(n) {
			produceAll(t, producing, outgoing(i+1, fmt.Appendf(make([]byte, 10*kib), "%d", i)))
		}
		time.Sleep(time.Second)
		others := subscribe(t, f.clientOn(conn))
		require.Equal(t, connectivity.Ready, stuckConn.GetState())

		start := time.Now()
		require.True(t, stuckConn.WaitForStateChange(t.Context(), connectivity.Ready))
		require.LessOrEqual(t, time.Since(start), f.cfg.Consume.AckTimeout+f.cfg.Consume.EvictionGrace+2*time.Second)
		got := receive(t, others, n)
		for i, m := range got {
			require.Equal(t, fmt.Appendf(make([]byte, 10*kib), "%d", i), m.GetValue(), "in order")
		}
		ack(t, others, got...)
		_, err := stuck.Recv()
		for err == nil { // what its window had room for
			_, err = stuck.Recv()
		}
		require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		f.close()
	})
}

// One that doesn't read when the server drains is cut off at the drain timeout,
// without the grace that others have.
func TestADrainDoesNotWaitForAClientThatStoppedReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newProxyFixture(t).onBufconn()
		f.cfg.Consume.EvictionGrace = time.Hour
		f.cfg.Consume.AckTimeout = f.cfg.Consume.MaxAckTimeout
		f.start()
		stuckConn, conn := f.dial(), f.dial()
		defer stuckConn.Close()
		defer conn.Close()
		subscribe(t, f.clientOn(stuckConn))
		producing := produceStreamOf(t, f.clientOn(conn))
		for i := range uint64(100) {
			produceAll(t, producing, outgoing(i+1, make([]byte, 10*kib)))
		}
		time.Sleep(time.Second)

		start := time.Now()
		require.NoError(t, f.drain())
		require.LessOrEqual(t, time.Since(start), f.cfg.DrainTimeout+lastWords+time.Second)
		require.Equal(t, false, f.logs.withMessage(t, "drained")[0]["complete"])
		require.NoError(t, f.real.Close())
	})
}

func TestServesBeforeTheBrokerCanBeReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newProxyFixture(t).onBufconn()
		f.real.SetReachable(false)
		f.start()
		conn := f.dial()
		defer conn.Close()
		stream := produceStreamOf(t, f.clientOn(conn))
		require.NoError(t, stream.Send(&messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{outgoing(1, nil)}}))
		time.Sleep(5 * time.Second)
		f.real.SetReachable(true)
		answer, err := stream.Recv()
		require.NoError(t, err)
		require.NotNil(t, answer.GetResults()[0].GetReceipt(), "%v", answer)
		require.NoError(t, stream.CloseSend())
		f.close()
	})
}
