package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

type (
	produceClient = grpc.BidiStreamingClient[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse]
	consumeClient = grpc.BidiStreamingClient[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]
)

// produce stores n messages, all with the same key, and returns the stream.
func produce(t *testing.T, conn *grpc.ClientConn, n int) produceClient {
	t.Helper()
	stream, err := messageproxyv1.NewMessageProxyClient(conn).Produce(inTime(t))
	require.NoError(t, err)
	request := new(messageproxyv1.ProduceRequest)
	for i := range n {
		request.Messages = append(request.Messages, &messageproxyv1.OutgoingMessage{
			Sequence: uint64(i + 1), Topic: "orders", Key: []byte("k"), Value: fmt.Append(nil, i),
		})
	}
	require.NoError(t, stream.Send(request))
	for answered := 0; answered < n; {
		response, err := stream.Recv()
		require.NoError(t, err)
		for _, result := range response.GetResults() {
			require.NotNil(t, result.GetReceipt(), "%v", result)
			answered++
		}
	}
	return stream
}

// subscribe joins the subscription billing.
func subscribe(t *testing.T, conn *grpc.ClientConn, options ...grpc.CallOption) consumeClient {
	t.Helper()
	stream, err := messageproxyv1.NewMessageProxyClient(conn).Consume(inTime(t), options...)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{
		Subscribe: &messageproxyv1.SubscribeRequest{Subscription: "billing", Topics: []string{"orders"}},
	}}))
	return stream
}

// receive returns the ids of the next n messages, whose values must count from
// first.
func receive(t *testing.T, stream consumeClient, first, n int) []string {
	t.Helper()
	var ids []string
	for len(ids) < n {
		response, err := stream.Recv()
		require.NoError(t, err)
		for _, p := range response.GetBatch().GetPartitions() {
			for _, m := range p.GetMessages() {
				require.Equal(t, fmt.Sprint(first+len(ids)), string(m.GetValue()))
				ids = append(ids, m.GetId())
			}
		}
	}
	require.Len(t, ids, n)
	return ids
}

func ack(t *testing.T, stream consumeClient, ids ...string) {
	t.Helper()
	require.NoError(t, stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
		Ack: &messageproxyv1.AckRequest{MessageIds: ids},
	}}))
}

// terminalError reads a stream to its end.
func terminalError[R any](t *testing.T, stream grpc.ServerStreamingClient[R], of func(*R) *messageproxyv1.Error) *messageproxyv1.Error {
	t.Helper()
	var last *messageproxyv1.Error
	for {
		response, err := stream.Recv()
		if err != nil {
			require.NotNil(t, last, "%v", err)
			return last
		}
		last = of(response)
	}
}
