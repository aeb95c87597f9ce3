package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"sync"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// toxic is a fault of a network, in the words of toxiproxy: its type and
// attributes (latency, bandwidth, timeout, slicer, limit_data, …).
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     direction      `json:"stream"`
	Attributes map[string]int `json:"attributes"`
}

// direction is where the bytes go that a toxic is for.
type direction string

const (
	upstream   direction = "upstream"   // from those who dial to those who listen
	downstream direction = "downstream" // back
)

// network is a network that a test can disturb: a toxiproxy in this process in
// front of every address that is dialled through it.
type network struct {
	t      *testing.T
	server *toxiproxy.ApiServer

	mu      sync.Mutex
	links   map[string]*toxiproxy.Proxy // by the address behind
	inForce []toxic
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{
		t: t, server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
		links: make(map[string]*toxiproxy.Proxy),
	}
	t.Cleanup(n.stop)
	return n
}

func (n *network) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, link := range n.links {
		link.Stop()
	}
}

// through returns the address by which a target is reached through the network.
func (n *network) through(target string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if link, ok := n.links[target]; ok {
		return link.Listen
	}
	link := toxiproxy.NewProxy(n.server, target, "127.0.0.1:0", target)
	if err := link.Start(); err != nil {
		n.t.Errorf("no way through the network to %s: %v", target, err)
		return "127.0.0.1:1" // where nobody listens
	}
	n.links[target] = link
	for _, x := range n.inForce {
		n.add(link, x)
	}
	return link.Listen
}

// dial dials through the network. It is for clients that learn the addresses that
// they dial from the other side, as Kafka's do.
func (n *network) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, kind, n.through(address))
}

// disturb puts toxics in force on all connections, those that are open and those to
// come.
func (n *network) disturb(toxics ...toxic) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.inForce = append(n.inForce, toxics...)
	for _, link := range n.links {
		for _, x := range toxics {
			n.add(link, x)
		}
	}
}

func (n *network) add(link *toxiproxy.Proxy, x toxic) {
	x.Name = x.Type + " " + string(x.Stream)
	encoded, err := json.Marshal(x)
	if err == nil {
		_, err = link.Toxics.AddToxicJson(bytes.NewReader(encoded))
	}
	if err != nil {
		n.t.Errorf("disturb the network by %s: %v", x.Name, err)
	}
}

// heal ends every disturbance. Bytes that were held back arrive now; connections
// that lost bytes are closed.
func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.inForce = nil
	for _, link := range n.links {
		link.Toxics.ResetToxics(context.Background())
	}
}

// cut closes all connections; what is under way is lost.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, link := range n.links {
		link.Stop()
		require.NoError(n.t, link.Start())
	}
}

// The toxics, each for one direction.

// held: nothing arrives until the network heals, and then all of it does, in
// order, as after an outage that TCP outlasts: requests that their senders have
// long given up are carried out late.
func held(d direction) toxic {
	const hour = 3_600_000
	return toxic{Type: "latency", Stream: d, Attributes: map[string]int{"latency": hour}}
}

// swallowed: nothing arrives, ever, and nobody is told; the connection is closed
// when the network heals.
func swallowed(d direction) toxic {
	return toxic{Type: "timeout", Stream: d, Attributes: map[string]int{"timeout": 0}}
}

// delayed: everything arrives later by some milliseconds, more or less.
func delayed(d direction, by, jitter int) toxic {
	return toxic{Type: "latency", Stream: d, Attributes: map[string]int{"latency": by, "jitter": jitter}}
}

// throttled: so many KiB a second arrive, on each connection.
func throttled(d direction, kib int) toxic {
	return toxic{Type: "bandwidth", Stream: d, Attributes: map[string]int{"rate": kib}}
}

// sliced: bytes arrive in small pieces.
func sliced(d direction) toxic {
	return toxic{Type: "slicer", Stream: d, Attributes: map[string]int{"average_size": 512, "size_variation": 256, "delay": 100}}
}

// shortLived: connections break after so many bytes, in the middle of whatever that
// is.
func shortLived(d direction, bytes int) toxic {
	return toxic{Type: "limit_data", Stream: d, Attributes: map[string]int{"bytes": bytes}}
}

// both makes a toxic of each direction.
func both(of func(direction) toxic) []toxic { return []toxic{of(upstream), of(downstream)} }
