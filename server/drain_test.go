package server

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

func TestDrainTellsClientsBeforeTheServicesAreDone(t *testing.T) {
	f := newFixture(t).onTCP()
	f.consume.holdDrain = make(chan struct{})
	f.consume.handle = func(consumeStream, <-chan struct{}) error {
		<-f.consume.holdDrain
		return nil
	}
	f.start()
	conn := f.dial()
	stream, err := f.clientOn(conn).Consume(t.Context())
	require.NoError(t, err)
	<-f.consume.handling
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		require.True(t, conn.WaitForStateChange(t.Context(), state))
	}

	f.stop()

	require.True(t, conn.WaitForStateChange(t.Context(), connectivity.Ready), "GOAWAY while a stream runs")
	require.Eventually(t, func() bool {
		c, err := f.listen(t.Context(), "")
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, 5*time.Second, time.Millisecond, "no new connections")
	select {
	case err := <-f.served:
		t.Fatalf("Serve returned (%v) while a side drains", err)
	default:
	}
	close(f.consume.holdDrain)
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF, "the stream ends as its handler says")
	require.NoError(t, <-f.served)
	require.Equal(t, 1, f.broker.closedProducers())
}

func TestDrainIsNotHeldUpByAConnectionThatSaysNothing(t *testing.T) {
	f := newFixture(t).onTCP().start()
	stream, err := f.client().Consume(t.Context())
	require.NoError(t, err)
	<-f.consume.handling
	silent, err := f.listen(t.Context(), "")
	require.NoError(t, err)
	defer silent.Close()
	// The server has accepted it when it has sent its settings.
	_, err = io.ReadFull(silent, make([]byte, 9))
	require.NoError(t, err)

	f.stop()

	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, silent.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = io.Copy(io.Discard, silent)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.False(t, isTimeout(err), "it was closed: %v", err)
	require.NoError(t, <-f.served)
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

func TestDrainEndsHealthAndReflectionStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t).onBufconn()
		f.produce.holdDrain = make(chan struct{})
		f.start()
		conn := f.dial()
		defer conn.Close()
		watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		for nextStatus(t, watch) != serving { // the first ping may be still to come
		}
		info, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		require.NoError(t, err)
		synctest.Wait()

		start := time.Now()
		f.stop()
		require.Equal(t, notServing, nextStatus(t, watch), "while the sides drain")
		close(f.produce.holdDrain)
		require.NoError(t, <-f.served)

		require.Less(t, time.Since(start), f.cfg.DrainTimeout, "nobody waited for the streams")
		_, err = watch.Recv()
		require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		_, err = info.Recv()
		require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
	})
}

func TestDrainTimeoutCutsOffWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t).onBufconn()
		f.produce.holdDrain = make(chan struct{}) // never
		f.consume.handle = func(stream consumeStream, _ <-chan struct{}) error {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		f.start()
		conn := f.dial()
		defer conn.Close()
		stream, err := f.clientOn(conn).Consume(t.Context())
		require.NoError(t, err)
		synctest.Wait()

		start := time.Now()
		require.NoError(t, f.drain())

		require.GreaterOrEqual(t, time.Since(start), f.cfg.DrainTimeout)
		require.LessOrEqual(t, time.Since(start), f.cfg.DrainTimeout+lastWords)
		_, err = stream.Recv()
		require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		require.Equal(t, 1, f.broker.closedProducers())
		drained := f.logs.withMessage(t, "drained")
		require.Len(t, drained, 1)
		require.Equal(t, false, drained[0]["complete"])
	})
}

func TestServeDrainsWhenItsListenerFails(t *testing.T) {
	f := newFixture(t).onTCP().start()
	stream, err := f.client().Consume(t.Context())
	require.NoError(t, err)
	<-f.consume.handling

	require.NoError(t, f.lis.Close())

	require.ErrorIs(t, <-f.served, net.ErrClosed)
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF, "the stream was drained")
	require.Equal(t, 1, f.broker.closedProducers())
	f.stop()
}

func TestServeOnlyOnce(t *testing.T) {
	f := newFixture(t).onTCP().start()
	require.NoError(t, f.drain())
	again := newFixture(t).onTCP()
	require.ErrorContains(t, f.server.Serve(t.Context(), again.lis), "Serve was called before")
	_, err := again.lis.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestServeWithoutAProducer(t *testing.T) {
	f := newFixture(t).onTCP()
	f.broker.producerErr = errDown
	f.start()
	require.ErrorIs(t, <-f.served, errDown)
	_, err := f.lis.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	f.stop()
}
