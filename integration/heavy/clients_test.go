package heavy_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// dial connects to a proxy, with windows that don't grow: what a client that
// doesn't read makes the server hold must not depend on how fast the network is.
func dial(t testing.TB, addr string) (messageproxyv1.MessageProxyClient, *grpc.ClientConn) {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.WaitForReady(true)),
		grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(1<<20))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // once more, for most
	return messageproxyv1.NewMessageProxyClient(conn), conn
}

type consumeStream = grpc.BidiStreamingClient[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]

type produceStream = grpc.BidiStreamingClient[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse]

// subscribe opens a stream on a connection of its own and reads its first response.
func subscribe(ctx context.Context, t testing.TB, addr, subscription string, topics ...string) consumeStream {
	t.Helper()
	client, _ := dial(t, addr)
	stream, err := client.Consume(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(subscribeRequest(subscription, topics...)))
	response, err := stream.Recv()
	require.NoError(t, err)
	require.NotNil(t, response.GetSubscribed(), "%v", response)
	return stream
}

func openProduce(ctx context.Context, t testing.TB, addr string) produceStream {
	t.Helper()
	client, _ := dial(t, addr)
	stream, err := client.Produce(ctx)
	require.NoError(t, err)
	return stream
}

func subscribeRequest(subscription string, topics ...string) *messageproxyv1.ConsumeRequest {
	return &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{
		Subscribe: &messageproxyv1.SubscribeRequest{Subscription: subscription, Topics: topics},
	}}
}

func ackOf(ids ...string) *messageproxyv1.ConsumeRequest {
	return &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
		Ack: &messageproxyv1.AckRequest{MessageIds: ids},
	}}
}
