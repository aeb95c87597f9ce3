package server

import (
	"context"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

func TestReflectionListsTheServices(t *testing.T) {
	f := newFixture(t).onTCP().start()
	info, err := reflectionpb.NewServerReflectionClient(f.dial()).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, info.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
	}))
	answer, err := info.Recv()
	require.NoError(t, err)
	var names []string
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	require.Subset(t, names, []string{"messageproxy.v1.MessageProxy", "grpc.health.v1.Health"})
	require.NoError(t, info.CloseSend())
	_, err = info.Recv()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, f.drain())
}

func TestAPanicEndsItsStreamAlone(t *testing.T) {
	f := newFixture(t).onTCP()
	f.produce.handle = func(produceStream, <-chan struct{}) error { panic("out of tune") }
	f.start()
	client := f.client()
	bystander, err := client.Consume(t.Context())
	require.NoError(t, err)
	<-f.consume.handling
	broken, err := client.Produce(t.Context())
	require.NoError(t, err)

	_, err = broken.Recv()

	st := status.Convert(err)
	require.Equal(t, codes.Internal, st.Code())
	require.Len(t, st.Details(), 1)
	require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, st.Details()[0].(*messageproxyv1.Error).GetCode())
	require.NotContains(t, st.Message(), "out of tune", "what went wrong inside is for the log")
	logged := f.logs.withMessage(t, "a handler panicked; its call ends with INTERNAL")
	require.Len(t, logged, 1)
	require.Equal(t, "out of tune", logged[0]["panic"])
	require.Contains(t, logged[0]["stack"], "TestAPanicEndsItsStreamAlone")
	require.Equal(t, "/messageproxy.v1.MessageProxy/Produce", logged[0]["method"])
	require.NoError(t, f.drain())
	_, err = bystander.Recv()
	require.ErrorIs(t, err, io.EOF)
}

func TestUnknownMethodsAreUnimplemented(t *testing.T) {
	f := newFixture(t).onTCP().start()
	for _, method := range []string{"/messageproxy.v1.MessageProxy/Browse", "/messageproxy.v9.MessageProxy/Produce"} {
		err := f.dial().Invoke(t.Context(), method, &emptypb.Empty{}, &emptypb.Empty{})
		require.Equal(t, codes.Unimplemented, status.Code(err), method)
	}
	require.NoError(t, f.drain())
}

func TestReceiveLimitIsWellAboveTheMessageLimit(t *testing.T) {
	for maxMessage, want := range map[int]int{
		1: 64 * mib, 16 * mib: 64 * mib, 32*mib + 1: 64*mib + 2, gib: math.MaxInt32,
	} {
		require.Equal(t, want, receiveLimit(ProduceConfig{MaxMessageBytes: maxMessage, MaxRequestBytes: 64 * mib}), "%d", maxMessage)
	}
}

func TestLargeRequestsArriveAndTooLargeOnesEndTheirStreamAlone(t *testing.T) {
	f := newFixture(t).onTCP()
	got := make(chan int, 1)
	f.produce.handle = func(stream produceStream, _ <-chan struct{}) error {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		got <- len(request.GetMessages()[0].GetValue())
		return nil
	}
	f.start()
	client := f.client()
	send := func(size int) error {
		stream, err := client.Produce(t.Context())
		require.NoError(t, err)
		_ = stream.Send(&messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{{Value: make([]byte, size)}}})
		_, err = stream.Recv()
		return err
	}
	require.Equal(t, codes.ResourceExhausted, status.Code(send(65*mib)))
	require.ErrorIs(t, send(60*mib), io.EOF)
	require.Equal(t, 60*mib, <-got)
	require.NoError(t, f.drain())
}

func TestEndlessMetadataIsRefused(t *testing.T) {
	f := newFixture(t).onTCP().start()
	client := f.client()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-long", strings.Repeat("x", 2*maxHeaderBytes))
	stream, err := client.Produce(ctx)
	if err == nil {
		_, err = stream.Recv()
	}
	require.NotEqual(t, codes.OK, status.Code(err), "%v", err)
	require.Empty(t, f.produce.handling)
	require.NoError(t, f.drain())
}

func TestServerOptionsOfTheCallerApply(t *testing.T) {
	f := newFixture(t).onTCP()
	f.cfg.ServerOptions = []grpc.ServerOption{grpc.ChainUnaryInterceptor(
		func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
			return nil, status.Error(codes.Unauthenticated, "no token")
		})}
	f.start()
	_, err := healthpb.NewHealthClient(f.dial()).Check(t.Context(), &healthpb.HealthCheckRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.NoError(t, f.drain())
}
