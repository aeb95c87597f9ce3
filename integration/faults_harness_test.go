package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/integration/history"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// How soon things are noticed in a chaos run, where the defaults would make each
// fault take a minute.
const (
	// settles is how long proxies and clients have, after the last fault, until
	// everything produced is delivered, ACKed and committed.
	settles = 45 * time.Second

	chaosCommitInterval = time.Second
	chaosAckTimeout     = 10 * time.Second
	chaosProduceTimeout = 6 * time.Second
)

// chaos is a subscription to a topic under load, in front of a real Kafka, while a
// test breaks something. What clients and servers see is recorded, and checked in
// the end. A test
//
//	c := startChaos(t, sharedKafka.Brokers(), 6) // partitions
//	p := c.startProxy(nil)                       // or any proxy process
//	c.addLoad(p.addr)                            // producers and consumers, with and without SDK
//	c.awaitFlow()                                // everything works
//	c.clients.disturb(both(held)...)             // break something,
//	c.last(5 * time.Second)                      // let it last,
//	c.clients.heal()                             // and mend it
//	c.settle()                                   // everything is done in time, and the history is right
//
// clients is the network between clients and proxies, of every kind; brokers is the
// one between the proxies of startProxy and Kafka. Several rounds of breaking and
// mending may come before settle, with awaitFlow in between.
type chaos struct {
	t            *testing.T
	admin        *admin
	topic        string
	subscription string
	clients      *network
	brokers      *network
	history      *history.Recorder
	flow         *flow
	producers    []producer
}

// producer is one that is told to stop, and then waits for the results of all that
// it has sent.
type producer interface{ finish() }

func startChaos(t *testing.T, brokers []string, partitions int32) *chaos {
	t.Helper()
	a := newAdmin(t, brokers)
	return &chaos{
		t: t, admin: a, topic: a.createTopic(partitions), subscription: unique(t, "sub"),
		clients: newNetwork(t), brokers: newNetwork(t), history: new(history.Recorder), flow: newFlow(),
	}
}

// startProxy starts a proxy in this process, which reaches Kafka through the
// network.
func (c *chaos) startProxy(change func(*proxyConfig)) *proxy {
	c.t.Helper()
	return startProxy(c.t, c.admin.brokers, func(cfg *proxyConfig) {
		cfg.kafka.ClientOptions = append(cfg.kafka.ClientOptions, kgo.Dialer(c.brokers.dial))
		cfg.kafka.CommitInterval = chaosCommitInterval
		cfg.server.Produce.Timeout = chaosProduceTimeout
		cfg.server.Consume.AckTimeout = chaosAckTimeout
		cfg.server.Consume.EvictionGrace = time.Second
		cfg.server.ServerOptions = append(cfg.server.ServerOptions,
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: 3 * time.Second, Timeout: 3 * time.Second}))
		if change != nil {
			change(cfg)
		}
	})
}

// addLoad starts clients of a proxy: two producers and two consumers with the SDK,
// one of each without it.
func (c *chaos) addLoad(addr string) {
	c.t.Helper()
	for range 2 {
		c.produce(addr)
		c.consume(addr)
	}
	c.produceRaw(addr)
	c.consumeRaw(addr)
}

// dialOptions are those of all clients.
func (c *chaos) dialOptions(string) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}),
	}
}

func (c *chaos) connect(addr string) *messageproxy.Client {
	c.t.Helper()
	return connect(c.t, c.clients.through(addr), messageproxy.WithReconnectBackoff(50*time.Millisecond, time.Second),
		messageproxy.WithDialOptions(c.dialOptions(addr)...))
}

// last lets what is broken last. There is no signal to wait for: the fault is that
// time passes.
func (c *chaos) last(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.t.Context().Done():
	}
}

// awaitFlow waits until messages are stored and handled as ever.
func (c *chaos) awaitFlow() {
	c.t.Helper()
	c.flow.awaitMore(c.t, settles, 200)
}

// settle says that nothing is broken any more, and waits until everything that was
// produced is delivered, ACKed and committed.
func (c *chaos) settle() {
	c.t.Helper()
	began := time.Now()
	c.history.Record(history.Healed{})
	c.awaitFlow()
	c.t.Logf("messages flow again after %v", time.Since(began).Round(time.Millisecond))
	for _, p := range c.producers {
		p.finish()
	}
	ends := sum(c.admin.ends(c.topic))
	require.Eventually(c.t, func() bool { return c.admin.committedSum(c.subscription, c.topic) == ends },
		settles, 50*time.Millisecond, "everything is committed")
	c.t.Logf("settled after %v: %d messages in the topic", time.Since(began).Round(time.Millisecond), ends)
}

// consume starts a consumer with the SDK.
func (c *chaos) consume(addr string) *worker {
	c.t.Helper()
	return consume(c.t, c.connect(addr), c.subscription, []string{c.topic}, c.handle)
}

func (c *chaos) handle(context.Context, *messageproxy.Message) error {
	c.flow.note(0, 1)
	return nil
}

// raw returns the generated stubs.
func (c *chaos) raw(addr string) messageproxyv1.MessageProxyClient {
	c.t.Helper()
	return rawClient(c.t, c.clients.through(addr), c.dialOptions(addr)...)
}
