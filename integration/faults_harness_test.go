package integration_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/integration/history/tap"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

const (
	// settles is how long proxies and clients have, after the last fault, until
	// everything produced is delivered, ACKed and committed.
	settles = 60 * time.Second

	// What the proxies of a chaos run are set to, so that a fault needn't last a
	// minute to matter.
	chaosCommitInterval = time.Second
	chaosAckTimeout     = 12 * time.Second
	chaosProduceTimeout = 6 * time.Second
)

// chaos is a subscription to a topic under load, in front of a real Kafka, while a
// test breaks something. What clients and servers see is recorded, and checked in
// the end. A test
//
//	c := startChaos(t, sharedKafka.Brokers(), 6) // partitions
//	one := c.startProxy("one", nil)              // or c.serve("one", startProcess(…).addr)
//	c.addLoad(one.addr)                          // producers and consumers, with and without SDK
//	c.awaitFlow()                                // everything works
//	c.clients.disturb(weather{held: true}, weather{}) // break something,
//	c.last(5 * time.Second)                      // let it last,
//	c.clients.heal()                             // and mend it
//	c.settle()                                   // everything is done in time, and the history is right
//
// clients is the network between clients and proxies, of every kind; one.brokers is
// the one between that proxy and Kafka. Several rounds of breaking and mending may
// come before settle, with awaitFlow in between. A test that disturbs proxies or
// Kafka, and not clients alone, says so before: c.history.Record(history.Disturbed{}).
// One that kills a server says that: c.history.Record(history.Stopped{Server: "one"});
// whatever takes its place has another name.
type chaos struct {
	t            *testing.T
	admin        *admin
	topic        string
	incarnation  string // what history calls the topic, which may be created anew
	subscription string
	clients      *network
	history      *history.Recorder
	tap          *tap.Tap
	rules        history.Rules // a test may change them before settle
	silence      time.Duration // that clients allow a connection; a test may change it before addLoad
	flow         *flow
	servers      map[string]string // names, by address
	producers    []producer
	shares       *shares
	networks     []namedNetwork
	names        map[string]int // how many clients bear a name
	checked      bool
	seen         counts // when it is settled
}

// producer is one that is told to stop, and then waits for the results of all that
// it has sent.
type producer interface{ finish() }

func startChaos(t *testing.T, brokers []string, partitions int32, settings ...setting) *chaos {
	t.Helper()
	requireLoadEverywhere(t, partitions)
	a, recorder := newAdmin(t, brokers), new(history.Recorder)
	c := &chaos{
		t: t, admin: a, topic: a.createTopic(partitions, settings...), subscription: unique(t, "sub"),
		clients: newNetwork(t), history: recorder, tap: tap.New(recorder),
		flow: newFlow(), shares: newShares(), servers: make(map[string]string), names: make(map[string]int),
		silence: 4 * time.Second,
		rules: history.Rules{
			AckTimeout: chaosAckTimeout, PartitionWindow: 1000, Overshoot: chaosOvershoot,
			Slack: 2 * time.Second, Settled: true,
		},
	}
	c.networks = []namedNetwork{{"clients", c.clients}}
	c.incarnation = c.topic
	c.watchPositions()
	t.Cleanup(func() {
		if !c.checked { // something went wrong before
			t.Log(countEvents(c.history.Entries()))
		}
	})
	return c
}

// another returns the run as clients of another subscription see it: for more
// consumers. Settle the first one, with this.
func (c *chaos) another() *chaos {
	other := *c
	other.subscription = unique(c.t, "sub")
	other.watchPositions()
	return &other
}

// chaosOvershoot is how many of the load's messages one fetch brings at most: as
// much as the backend asks for of a partition, and one batch.
const chaosOvershoot = (256<<10)/smallestValue + 1000

// watchPositions records where the subscription stands, until the test ends.
func (c *chaos) watchPositions() {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		ticks := time.NewTicker(100 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				soon, cancel := context.WithTimeout(ctx, 2*time.Second)
				_ = c.readPositions(soon) // fails while Kafka is away
				cancel()
			}
		}
	})
	c.t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
}

func (c *chaos) readPositions(ctx context.Context) error {
	return c.tap.ReadPositions(ctx, c.admin.kadm, c.subscription)
}

// chaosProxy is a proxy in this process, and the network between it and Kafka.
type chaosProxy struct {
	*proxy
	brokers *network
}

func (c *chaos) startProxy(name string, change func(*proxyConfig)) chaosProxy {
	c.t.Helper()
	brokers := newNetwork(c.t)
	c.networks = append(c.networks, namedNetwork{name + " and Kafka", brokers})
	p := startProxy(c.t, c.admin.brokers, func(cfg *proxyConfig) {
		cfg.kafka.ClientOptions = append(cfg.kafka.ClientOptions, kgo.Dialer(brokers.dial))
		cfg.kafka.CommitInterval = chaosCommitInterval
		cfg.server.Produce.Timeout = chaosProduceTimeout
		cfg.server.Consume.AckTimeout = chaosAckTimeout
		cfg.server.Consume.EvictionGrace = time.Second
		cfg.server.ServerOptions = append(c.tap.ServerOptions(name),
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: 3 * time.Second, Timeout: 8 * time.Second}))
		cfg.wrap = func(b broker.Broker) broker.Broker { return c.tap.Broker(name, b) }
		if change != nil {
			change(cfg)
		}
	})
	c.serve(name, p.addr)
	return chaosProxy{p, brokers}
}

// serve says what the proxy at an address is called in the history.
func (c *chaos) serve(name, addr string) {
	c.servers[addr] = name
	c.tap.Serves(c.clients.through(addr), name)
}

// addLoad starts clients of a proxy, or of any of several ("a,b"): two producers
// and two consumers with the SDK, one of each without it.
func (c *chaos) addLoad(addr string) {
	c.t.Helper()
	for range 2 {
		c.produce(addr)
		c.consume(addr)
	}
	c.produceRaw(addr)
	c.consumeRaw(addr)
}

// addClients starts two clients of a proxy, a producer and a consumer, with the SDK
// or without it, and returns their network, which they share with nobody.
func (c *chaos) addClients(addr string, sdk bool) *network {
	c.t.Helper()
	others := c.clients
	defer func() { c.clients = others }()
	c.clients = newNetwork(c.t)
	kind := "raw"
	if sdk {
		kind = "sdk"
		c.produce(addr)
		c.consume(addr)
	} else {
		c.produceRaw(addr)
		c.consumeRaw(addr)
	}
	name := fmt.Sprintf("%s clients %d", kind, c.names[kind+"-consumer"])
	c.networks = append(c.networks, namedNetwork{name, c.clients})
	return c.clients
}

// name returns a name for a client that no other has.
func (c *chaos) name(kind string) string {
	c.names[kind]++
	return fmt.Sprintf("%s-%d", kind, c.names[kind])
}

// dialOptions are those of all clients.
func (c *chaos) dialOptions(name, addr string) []grpc.DialOption {
	return append(c.tap.ClientOptions(name, c.servers[addr]), grpc.WithResolvers(anyOf{}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: c.silence}))
}

// connect returns a client with the SDK.
func (c *chaos) connect(name, addr string) *messageproxy.Client {
	c.t.Helper()
	return connect(c.t, c.target(addr), messageproxy.WithClientName(name),
		messageproxy.WithReconnectBackoff(50*time.Millisecond, time.Second),
		messageproxy.WithDialOptions(c.dialOptions(name, addr)...))
}

// raw returns a client without the SDK.
func (c *chaos) raw(name, addr string) messageproxyv1.MessageProxyClient {
	c.t.Helper()
	return rawClient(c.t, c.target(addr), c.dialOptions(name, addr)...)
}

// consume starts a consumer with the SDK.
func (c *chaos) consume(addr string) *worker {
	c.t.Helper()
	name := c.name("sdk-consumer")
	handler := c.tap.Handler(name, func(context.Context, *messageproxy.Message) error {
		c.flow.note(c.flow.handled, name, 1)
		return nil
	})
	c.flow.join(c.flow.handled, name)
	w := consume(c.t, c.connect(name, addr), c.subscription, []string{c.topic}, handler)
	c.shares.ask(name, w)
	return w
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
	c.awaitThrough("messages to get through", func(stored, handled map[string]int) bool {
		return sum(stored) >= 200 && sum(handled) >= 200
	})
}

// awaitThrough waits until enough has got through since now, or says where things stand.
func (c *chaos) awaitThrough(what string, enough func(stored, handled map[string]int) bool) {
	c.t.Helper()
	since := time.Now()
	c.flow.await(c.t, settles, enough, func() string { return what + c.report(since) })
}

// awaitEverybody waits until every single client's messages are stored, and every
// consumer handles some. There must be enough partitions for all.
func (c *chaos) awaitEverybody() {
	c.t.Helper()
	c.awaitThrough("messages to get through to everybody", func(stored, handled map[string]int) bool {
		return least(stored) >= 20 && least(handled) >= 20
	})
}

// settle says that nothing is broken any more, waits until everything that was
// produced is delivered, ACKed and committed, for the others' subscriptions too, and
// checks the history.
func (c *chaos) settle(others ...*chaos) {
	c.t.Helper()
	healed := time.Now()
	c.history.Record(history.Healed{}, history.Expected{Subscription: c.subscription, Partitions: c.partitions()})
	c.awaitFlow()
	c.t.Logf("messages flow again after %v", time.Since(healed).Round(time.Millisecond))
	for _, p := range c.producers {
		p.finish()
	}
	c.awaitCommitted()
	for _, other := range others {
		other.awaitCommitted()
		require.NoError(c.t, other.readPositions(c.admin.ctx()))
	}
	c.t.Logf("everything is settled after %v", time.Since(healed).Round(time.Millisecond))
	c.check()
}

// partitions are those of the topic.
func (c *chaos) partitions() (all []history.Partition) {
	for p := range c.admin.ends(c.topic) {
		all = append(all, history.Partition{Topic: c.incarnation, Number: p})
	}
	return all
}

// awaitCommitted waits until everything in the topic is committed. When it isn't,
// that is for the history to explain.
func (c *chaos) awaitCommitted() {
	c.t.Helper()
	end := sum(c.admin.ends(c.topic))
	deadline := time.Now().Add(settles)
	for c.admin.committedSum(c.subscription, c.topic) < end {
		if time.Now().After(deadline) {
			c.t.Errorf("after %v not everything is committed: %d of %d", settles, c.admin.committedSum(c.subscription, c.topic), end)
			return
		}
		c.last(50 * time.Millisecond)
	}
}

func (c *chaos) check() {
	c.t.Helper()
	c.checked = true
	require.NoError(c.t, c.readPositions(c.admin.ctx()))
	require.NoError(c.t, c.tap.ReadLogs(c.admin.ctx(), c.admin.client, c.topic))
	entries := c.history.Entries()
	c.seen = countEvents(entries)
	c.t.Logf("since %s: %v", entries[0].At.Format("15:04:05.000"), c.seen)
	for _, v := range history.Check(entries, c.rules) {
		c.t.Error(v)
	}
}

// counts are what a history has seen: clients' streams, and servers' partitions.
type counts struct {
	produced, broken        int
	outcomes                map[history.Outcome]int
	delivered, acked, ended int
	lost                    int
}

func countEvents(entries []history.Entry) counts {
	n := counts{outcomes: make(map[history.Outcome]int)}
	for _, e := range entries {
		switch e := e.Event.(type) {
		case history.Produced:
			n.produced++
		case history.Answered:
			n.outcomes[e.Outcome]++
		case history.ProduceEnded:
			if e.Broken {
				n.broken++
			}
		case history.Delivered:
			if e.Side == history.Client {
				n.delivered += len(e.Messages)
			}
		case history.Acked:
			if e.Side == history.Client {
				n.acked += len(e.IDs)
			}
		case history.ConsumeEnded:
			if e.Side == history.Client {
				n.ended++
			}
		case history.Lost:
			n.lost += len(e.Partitions)
		}
	}
	return n
}

func (n counts) String() string {
	return fmt.Sprintf("%d produced: %d stored, %d failed, %d of unknown outcome, %d streams broke; "+
		"%d deliveries, %d ACKs, %d streams ended; %d times a server lost a partition",
		n.produced, n.outcomes[history.Stored], n.outcomes[history.Failed], n.outcomes[history.Unknown], n.broken,
		n.delivered, n.acked, n.ended, n.lost)
}
