package server

import (
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

func TestStreamsAboveTheLimitAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newProxyFixture(t).onBufconn()
		f.cfg.MaxStreams = 3
		f.start()
		shared := f.client()
		produceAll(t, produceStreamOf(t, shared), outgoing(1, nil))
		consuming := subscribe(t, shared)
		ack(t, consuming, receive(t, consuming, 1)...)
		monitor := f.dial()
		watching, err := healthpb.NewHealthClient(monitor).Watch(t.Context(), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		_, err = watching.Recv()
		require.NoError(t, err)

		producing := produceStreamOf(t, shared)
		refused, err := producing.Recv()
		require.NoError(t, err)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED, refused.GetTerminalError().GetCode())
		require.True(t, refused.GetTerminalError().GetRetryable())
		_, err = producing.Recv()
		require.Equal(t, codes.ResourceExhausted, status.Code(err), "and in the status")
		require.Len(t, status.Convert(err).Details(), 1)

		second, err := shared.Consume(t.Context()) // it may be over before anything could be sent
		require.NoError(t, err)
		answer, err := second.Recv()
		require.NoError(t, err)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED, answer.GetTerminalError().GetCode())
		_, err = second.Recv()
		require.Equal(t, codes.ResourceExhausted, status.Code(err))

		another, err := healthpb.NewHealthClient(monitor).Watch(t.Context(), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		_, err = another.Recv()
		require.Equal(t, codes.ResourceExhausted, status.Code(err))

		require.NoError(t, consuming.CloseSend())
		for err = nil; err == nil; {
			_, err = consuming.Recv()
		}
		synctest.Wait()
		third := produceStreamOf(t, shared)
		require.Len(t, produceAll(t, third, outgoing(1, nil)), 1, "there is room again")
		require.NoError(t, third.CloseSend())
		f.close()
	})
}

func TestConnectionsAboveTheLimitAreClosed(t *testing.T) {
	f := newFixture(t).onTCP()
	cs := newConnections(2)
	lis := cs.track(f.lis)
	defer lis.Close()
	accept := func() (client, server net.Conn) {
		client, err := f.listen(t.Context(), "")
		require.NoError(t, err)
		t.Cleanup(func() { _ = client.Close() })
		server, err = lis.Accept()
		require.NoError(t, err)
		_, err = client.Write([]byte("x"))
		require.NoError(t, err)
		return client, server
	}
	_, one := accept()
	_, two := accept()
	refused, _ := accept()
	_, err := refused.Read(make([]byte, 1))
	require.Error(t, err, "it is closed")
	require.NoError(t, one.Close())
	_, four := accept()
	_, err = four.Read(make([]byte, 1))
	require.NoError(t, err, "there is room again")
	require.NoError(t, two.Close())
	require.NoError(t, four.Close())
	require.Empty(t, cs.open)
}
