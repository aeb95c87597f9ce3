package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

const (
	// lastWords is how long clients have, at least, to take in how their streams
	// have ended, when a drain is over.
	lastWords = time.Second
	// handlerGrace is how long handlers have to notice that every connection has
	// been closed.
	handlerGrace = 5 * time.Second
)

// running is a server while it serves. run owns it.
type running struct {
	cfg         Config
	log         *slog.Logger
	listener    net.Listener
	connections *connections
	streams     *streamLimit
	grpc        *grpc.Server
	health      *health.Server
	brokerWatch *brokerWatch
	producer    broker.Producer
	proxy       *proxy
	// endAuxiliary ends the streams that are not the proxy's own.
	endAuxiliary context.CancelFunc
}

// start puts together what serves.
func (s *Server) start(ctx context.Context, lis net.Listener) (*running, error) {
	producer, err := s.broker.NewProducer(ctx, broker.ProducerOptions{
		Timeout:         s.cfg.Produce.Timeout,
		MaxMessageBytes: s.cfg.Produce.MaxMessageBytes,
	})
	if err != nil {
		return nil, fmt.Errorf("server: open the broker's producer: %w", err)
	}
	auxiliary, endAuxiliary := context.WithCancel(context.Background())
	r := &running{
		cfg: s.cfg, log: s.log, producer: producer, proxy: s.makeProxy(s.broker, producer, s.cfg),
		connections: newConnections(maxConnections(s.cfg)), streams: &streamLimit{max: int64(s.cfg.MaxStreams)}, health: newHealth(), endAuxiliary: endAuxiliary,
	}
	r.listener = r.connections.track(lis)
	r.brokerWatch = &brokerWatch{broker: s.broker, health: r.health, log: s.log}
	r.grpc = grpc.NewServer(serverOptions(auxiliary, r.streams, s.cfg)...)
	messageproxyv1.RegisterMessageProxyServer(r.grpc, r.proxy)
	healthpb.RegisterHealthServer(r.grpc, r.health)
	reflection.RegisterV1(r.grpc)
	return r, nil
}

// run serves until ctx ends or the listener fails, and then drains.
func (r *running) run(ctx context.Context) error {
	watchCtx, stopWatch := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { r.brokerWatch.run(watchCtx) })
	defer stopWatch()

	failed := make(chan error, 1)
	wg.Go(func() { failed <- r.grpc.Serve(r.listener) })
	var err error
	select {
	case <-ctx.Done():
		r.log.Info("draining", "timeout", r.cfg.DrainTimeout)
	case err = <-failed:
		err = fmt.Errorf("server: accept connections: %w", err)
		r.log.Error("draining: the listener has failed", "error", err, "timeout", r.cfg.DrainTimeout)
	}
	stopWatch()
	r.drain()
	return err
}

// drain ends everything, in the order that Serve promises.
func (r *running) drain() {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.DrainTimeout)
	defer cancel()

	r.health.Shutdown()
	stopped := make(chan struct{})
	go func() {
		r.grpc.GracefulStop()
		close(stopped)
	}()
	r.connections.refuse()

	sides := r.drainSides(ctx)
	select {
	case <-sides.known:
	case <-ctx.Done():
	}
	r.endAuxiliary()
	r.waitForClients(ctx, stopped)
	r.stopHard(stopped)
	<-sides.known
	if err := r.producer.Close(); err != nil {
		r.log.Warn("the broker's producer did not close cleanly", "error", err)
	}
	r.log.Info("drained", "complete", sides.complete, "took", time.Since(start).Round(time.Millisecond))
}

// drainSides drains both sides at once, and says whether nothing was cut off when
// that is known: at the latest some time after ctx has ended and every connection
// is closed.
func (r *running) drainSides(ctx context.Context) *outcome {
	o := &outcome{known: make(chan struct{})}
	var produceErr, consumeErr error
	var wg sync.WaitGroup
	wg.Go(func() { produceErr = r.proxy.produce.Drain(ctx) })
	wg.Go(func() { consumeErr = r.proxy.consume.Drain(ctx) })
	go func() {
		wg.Wait()
		if produceErr != nil {
			r.log.Warn("the drain ended before every produced message was answered", "error", produceErr)
		}
		if consumeErr != nil {
			r.log.Warn("the drain ended before every consumer was done", "error", consumeErr)
		}
		o.complete = produceErr == nil && consumeErr == nil
		close(o.known)
	}()
	return o
}

// outcome is how draining both sides went.
type outcome struct {
	known    chan struct{} // closed when complete is set
	complete bool
}

// waitForClients waits until every client has taken in how its streams ended.
// Those that don't read have until the drain timeout, or lastWords if that is
// later.
func (r *running) waitForClients(ctx context.Context, stopped <-chan struct{}) {
	atLeast := time.NewTimer(lastWords)
	defer atLeast.Stop()
	select {
	case <-stopped:
		return
	case <-atLeast.C:
	}
	select {
	case <-stopped:
	case <-ctx.Done():
	}
}

// stopHard closes the connections that are left.
func (r *running) stopHard(stopped <-chan struct{}) {
	r.grpc.Stop()
	grace := time.NewTimer(handlerGrace)
	defer grace.Stop()
	select {
	case <-stopped:
	case <-grace.C:
		r.log.Error("streams are still running although their connections are closed", "waited", handlerGrace)
	}
}
