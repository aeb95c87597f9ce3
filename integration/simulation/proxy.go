//go:build synctests

package simulation

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	kafka "github.com/messageproxy/messageproxy/broker-kafka"
	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/server"
)

// proxy is one process of a proxy, from its start to its end. A proxy that is
// started again is another one, and has another name: "p1#2".
type proxy struct {
	name     string // of the process: that of its node too
	address  string
	listener net.Listener
	stop     context.CancelFunc
	draining bool
	killed   bool
	stopped  chan struct{} // closed when Serve has returned and the backend is closed
	gone     sync.Once     // history knows that it is
}

// addresses are where clients find proxies.
var addresses = map[string]string{"p1": "10.0.0.1:7070", "p2": "10.0.0.2:7070"}

// sessionTimeout is the shortest that Kafka accepts.
const sessionTimeout = 6 * time.Second

// kafkaNode is a proxy's network to Kafka; that to its clients bears its name.
func kafkaNode(proxy string) string { return proxy + "/kafka" }

// startProxy starts a proxy, unless it runs.
func (w *world) startProxy(name string) {
	if last := w.proxies[name]; addresses[name] == "" || last != nil && !last.killed && !isClosed(last.stopped) {
		return
	}
	p := &proxy{name: w.names.next(name), address: addresses[name], stopped: make(chan struct{})}
	backend, err := kafka.New(w.kafkaOptions(name, p.name))
	require.NoError(w.t, err)
	srv, err := server.New(w.tap.Broker(p.name, backend), w.serverConfig(p.name))
	require.NoError(w.t, err)
	p.listener, err = w.network.listen(p.name, p.address)
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	if last := w.proxies[name]; last != nil {
		w.formerProxies = append(w.formerProxies, last)
	}
	w.proxies[name] = p
	w.tap.Serves(p.address, p.name)
	go func() {
		defer close(p.stopped)
		_ = srv.Serve(ctx, p.listener)
		_ = backend.Close()
	}()
}

// runs reports whether the proxy serves, and isn't about to stop.
func (p *proxy) runs() bool { return p != nil && !p.draining && !p.killed }

func (w *world) kafkaOptions(name, process string) kafka.Options {
	s := w.plan.Settings
	o := kafka.Options{
		Brokers: w.kafka.addresses, CommitInterval: s.CommitInterval, CommitMessages: s.CommitMessages,
		SessionTimeout: s.SessionTimeout, Logger: w.log.With("proxy", process),
		ClientOptions: []kgo.Opt{kgo.Dialer(w.kafka.requests.dial(name, kafkaNode(process)))},
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = sessionTimeout
	}
	return o
}

func (w *world) serverConfig(process string) server.Config {
	s, cfg := w.plan.Settings, server.DefaultConfig()
	override(&cfg.Consume.MaxUnackedMessages, s.Window)
	override(&cfg.Consume.MaxUnackedBytes, int64(s.WindowBytes))
	override(&cfg.Consume.PartitionWindow, s.PartitionWindow)
	override(&cfg.Consume.MaxBufferedBytes, int64(s.BufferedBytes))
	override(&cfg.Consume.AckTimeout, s.AckTimeout)
	override(&cfg.Consume.HandoverTimeout, s.HandoverTimeout)
	override(&cfg.Consume.EvictionGrace, s.EvictionGrace)
	override(&cfg.Consume.CloseTimeout, s.CloseTimeout)
	override(&cfg.Produce.Timeout, s.ProduceTimeout)
	override(&cfg.Produce.MaxOutstandingMessages, s.Outstanding)
	override(&cfg.DrainTimeout, s.DrainTimeout)
	cfg.Logger = w.log.With("proxy", process)
	cfg.ServerOptions = w.tap.ServerOptions(process)
	return cfg
}

func override[T comparable](field *T, value T) {
	var zero T
	if value != zero {
		*field = value
	}
}

// drain has a proxy shut down in good order.
func (w *world) drain(name string) {
	p := w.proxies[name]
	if !p.runs() {
		return
	}
	w.faults.add("drain", 1)
	p.draining = true
	w.recorder.Record(history.Draining{Server: p.name})
	p.stop()
	w.wg.Go(func() {
		<-p.stopped
		w.recordStopped(p)
	})
}

func (w *world) recordStopped(p *proxy) {
	p.gone.Do(func() { w.recorder.Record(history.Stopped{Server: p.name}) })
}

// kill kills a proxy. What it does from now on, in the time that its goroutines
// need to notice, nobody sees.
func (w *world) kill(name string) {
	p := w.proxies[name]
	if p == nil || p.killed || isClosed(p.stopped) {
		return
	}
	w.faults.add("kill", 1)
	p.killed = true
	w.recordStopped(p)
	for _, node := range []string{p.name, kafkaNode(p.name)} {
		w.network.disturb(node, weather{refused: true})
		w.network.reset(node)
	}
	_ = p.listener.Close()
	p.stop()
}

// freeze lets nothing pass between a proxy and anybody else for a while.
func (w *world) freeze(name string, d time.Duration) {
	p := w.proxies[name]
	if p == nil || p.killed || isClosed(p.stopped) {
		return
	}
	w.faults.add("freeze", 1)
	for _, node := range []string{p.name, kafkaNode(p.name)} {
		storm, _ := w.network.disturb(node, weather{stalled: true})
		w.after(d, func() { w.network.lift(storm) })
	}
}

// someProxy is one that runs, the named one if there is one.
func (w *world) someProxy(name string) *proxy {
	if p := w.proxies[name]; p.runs() {
		return p
	}
	var running []*proxy
	for _, name := range []string{"p1", "p2"} {
		if p := w.proxies[name]; p.runs() {
			running = append(running, p)
		}
	}
	if len(running) == 0 {
		return nil
	}
	return running[w.random.IntN(len(running))]
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
