package server

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const (
	serving    = healthpb.HealthCheckResponse_SERVING
	notServing = healthpb.HealthCheckResponse_NOT_SERVING
)

func nextStatus(t *testing.T, watch healthpb.Health_WatchClient) healthpb.HealthCheckResponse_ServingStatus {
	answer, err := watch.Recv()
	require.NoError(t, err)
	return answer.GetStatus()
}

func TestHealthFollowsTheBroker(t *testing.T) {
	for _, service := range []string{"", "messageproxy.v1.MessageProxy"} {
		t.Run("service "+service, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { healthFollowsTheBroker(t, service) })
		})
	}
}

func healthFollowsTheBroker(t *testing.T, service string) {
	f := newFixture(t).onBufconn()
	f.broker.setPing(errDown)
	f.start()
	conn := f.dial()
	defer conn.Close()
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{Service: service})
	require.NoError(t, err)
	require.Equal(t, notServing, nextStatus(t, watch))

	time.Sleep(time.Hour) // it is retried for as long as it takes
	f.broker.setPing(nil)
	up := time.Now()
	require.Equal(t, serving, nextStatus(t, watch))
	require.LessOrEqual(t, time.Since(up), maxPingPeriod)

	time.Sleep(time.Hour)
	f.broker.setPing(errDown)
	down := time.Now()
	require.Equal(t, notServing, nextStatus(t, watch))
	require.LessOrEqual(t, time.Since(down), pingInterval)

	f.broker.setPing(nil)
	require.Equal(t, serving, nextStatus(t, watch))
	require.NoError(t, f.drain())
}

func TestAPanicOfAPingIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t).onBufconn()
		f.start()
		conn := f.dial()
		defer conn.Close()
		watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		for nextStatus(t, watch) != serving { // it may be too early
			continue
		}
		f.broker.setPing(errPanic)
		require.Equal(t, notServing, nextStatus(t, watch))
		require.NotEmpty(t, f.logs.withMessage(t, "pinging the broker panicked: please report this"))
		f.broker.setPing(nil)
		require.Equal(t, serving, nextStatus(t, watch))
		require.NoError(t, f.drain())
	})
}

func TestEveryFailureAtStartIsLoggedAndChangesAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t).onBufconn()
		f.broker.setPing(errDown)
		f.start()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		tries := f.logs.withMessage(t, "the broker can't be reached; trying again")
		require.Len(t, tries, f.broker.pings)
		require.Greater(t, len(tries), 3)
		require.Equal(t, errDown.Error(), tries[0]["error"])

		f.broker.setPing(nil)
		time.Sleep(time.Minute)
		f.broker.setPing(errDown)
		time.Sleep(time.Minute)
		f.broker.setPing(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, f.logs.withMessage(t, "the broker can't be reached; trying again"), len(tries))
		require.Len(t, f.logs.withMessage(t, "the broker answers; health is SERVING"), 2)
		require.Len(t, f.logs.withMessage(t, "the broker doesn't answer any more; health is NOT_SERVING until it does"), 1)
		require.NoError(t, f.drain())
	})
}

func TestHealthOfAnUnknownService(t *testing.T) {
	f := newFixture(t).onTCP().start()
	_, err := healthpb.NewHealthClient(f.dial()).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "other"})
	require.Equal(t, codes.NotFound, status.Code(err))
	require.NoError(t, f.drain())
}
