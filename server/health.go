package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

const (
	pingTimeout   = 5 * time.Second
	pingInterval  = 10 * time.Second
	pingBackOff   = 500 * time.Millisecond // after the first failure, then twice as long each time
	maxPingPeriod = 10 * time.Second
)

// healthServices are the names that health is told for: the server as a whole,
// and its service.
var healthServices = []string{"", messageproxyv1.MessageProxy_ServiceDesc.ServiceName}

func newHealth() *health.Server {
	h := health.NewServer()
	setHealth(h, healthpb.HealthCheckResponse_NOT_SERVING)
	return h
}

func setHealth(h *health.Server, status healthpb.HealthCheckResponse_ServingStatus) {
	for _, name := range healthServices {
		h.SetServingStatus(name, status)
	}
}

// brokerWatch pings the broker and makes the server's health what it answers. Its
// state belongs to run.
type brokerWatch struct {
	broker broker.Broker
	health *health.Server
	log    *slog.Logger

	reachable bool
	// reached: the broker has answered at least once.
	reached bool
	backOff time.Duration
}

// run pings until ctx ends.
func (w *brokerWatch) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := w.ping(ctx)
		if ctx.Err() != nil {
			return
		}
		timer.Reset(w.record(err))
	}
}

// ping asks the broker. A panic is an answer too: not that of a broker that is well.
func (w *brokerWatch) ping(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			w.log.Error("pinging the broker panicked: please report this", "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
			err = errors.New("pinging it panicked")
		}
	}()
	return w.broker.Ping(ctx)
}

// record takes a ping's outcome and returns how long to wait for the next.
func (w *brokerWatch) record(err error) time.Duration {
	if err == nil {
		w.recordAnswer()
		return pingInterval
	}
	w.backOff = min(max(2*w.backOff, pingBackOff), maxPingPeriod)
	switch {
	case w.reachable:
		w.log.Error("the broker doesn't answer any more; health is NOT_SERVING until it does", "error", err)
	case !w.reached:
		w.log.Warn("the broker can't be reached; trying again", "error", err, "retry_in", w.backOff)
	}
	w.reachable = false
	setHealth(w.health, healthpb.HealthCheckResponse_NOT_SERVING)
	return w.backOff
}

func (w *brokerWatch) recordAnswer() {
	if !w.reachable {
		w.log.Info("the broker answers; health is SERVING")
	}
	w.reachable, w.reached, w.backOff = true, true, 0
	setHealth(w.health, healthpb.HealthCheckResponse_SERVING)
}
