//go:build synctests

package simulation

import (
	"context"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// network connects the nodes of a simulation. Every connection has a node at each
// end, and suffers from what is wrong with either. A connection in memory behaves
// as one of TCP does: what is written is on its way, whatever becomes of its
// writer; a node that has gone silent is only noticed by its silence.
type network struct {
	mu        sync.Mutex
	storms    map[string][]*storm // by node
	listeners map[string]*listener
	wires     map[*wire]struct{}
}

// storm is something that is wrong with the network of a node, until it is lifted.
type storm struct {
	node string
	weather
}

// weather is what connections suffer from.
type weather struct {
	refused bool // no new connections
	stalled bool // nothing passes
	delay   time.Duration
	rate    int // bytes a second; 0: any
}

// latency is how long everything is on its way in fair weather. It must be more than
// nothing: where a client asks again as soon as it has an answer, virtual time would
// stand still for ever.
const latency = 10 * time.Microsecond

func newNetwork() *network {
	return &network{storms: map[string][]*storm{}, listeners: map[string]*listener{}, wires: map[*wire]struct{}{}}
}

var (
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	errReset   = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	errBroken  = &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}
)

// disturb makes the weather of a node worse, and returns how many connections it
// has.
func (n *network) disturb(node string, w weather) (s *storm, connections int) {
	s = &storm{node, w}
	n.mu.Lock()
	n.storms[node] = append(n.storms[node], s)
	wires := n.wiresOfLocked(node)
	n.mu.Unlock()
	n.refresh(wires)
	return s, len(wires)
}

// lift ends a storm. It may be called twice.
func (n *network) lift(s *storm) {
	n.mu.Lock()
	n.storms[s.node] = slices.DeleteFunc(n.storms[s.node], func(other *storm) bool { return other == s })
	wires := n.wiresOfLocked(s.node)
	n.mu.Unlock()
	n.refresh(wires)
}

// reset breaks the connections of a node and returns how many these are.
func (n *network) reset(node string) int {
	n.mu.Lock()
	wires := n.wiresOfLocked(node)
	n.mu.Unlock()
	for _, w := range wires {
		w.reset()
	}
	return len(wires)
}

// hurry makes everything that is on its way arrive now.
func (n *network) hurry() {
	n.mu.Lock()
	wires := slices.Collect(maps.Keys(n.wires))
	n.mu.Unlock()
	for _, w := range wires {
		w.hurry()
	}
}

func (n *network) wiresOfLocked(node string) []*wire {
	var wires []*wire
	for w := range n.wires {
		if slices.Contains(w.nodes[:], node) {
			wires = append(wires, w)
		}
	}
	return wires
}

// between is the weather between two nodes.
func (n *network) between(a, b string) weather {
	n.mu.Lock()
	defer n.mu.Unlock()
	sum := weather{delay: latency}
	for _, node := range [...]string{a, b} {
		for _, s := range n.storms[node] {
			sum.refused = sum.refused || s.refused
			sum.stalled = sum.stalled || s.stalled
			sum.delay += s.delay
			if s.rate > 0 && (sum.rate == 0 || s.rate < sum.rate) {
				sum.rate = s.rate
			}
		}
	}
	return sum
}

// refresh tells connections of changed weather.
func (n *network) refresh(wires []*wire) {
	for _, w := range wires {
		w.setWeather(n.between(w.nodes[0], w.nodes[1]))
	}
}

// listen opens an address of a node.
func (n *network) listen(node, address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[address] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l := &listener{network: n, node: node, address: address, accepted: make(chan net.Conn, 128), closed: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

// dial connects a node to an address. Where nothing passes, it waits for better
// weather.
func (n *network) dial(ctx context.Context, node, address string) (net.Conn, error) {
	for {
		n.mu.Lock()
		l := n.listeners[address]
		n.mu.Unlock()
		if l == nil {
			return nil, errRefused
		}
		state := n.between(node, l.node)
		switch {
		case state.refused:
			return nil, errRefused
		case !state.stalled:
			return n.connect(node, l, state)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond): // a SYN again
		}
	}
}

func (n *network) connect(node string, l *listener, state weather) (net.Conn, error) {
	w := newWire(n, node, l, state)
	n.mu.Lock()
	n.wires[w] = struct{}{}
	n.mu.Unlock()
	n.refresh([]*wire{w}) // it may just have changed
	select {
	case <-l.closed:
	default:
		select {
		case l.accepted <- w.ends[1]:
			return w.ends[0], nil
		default:
		}
	}
	n.forget(w)
	return nil, errRefused
}

func (n *network) forget(w *wire) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wires, w)
}

// listener is an open address.
type listener struct {
	network  *network
	node     string
	address  string
	accepted chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the address, and breaks the connections that nobody accepted.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, l.address)
		l.network.mu.Unlock()
		close(l.closed)
		for {
			select {
			case conn := <-l.accepted:
				conn.(*end).wire.reset()
			default:
				return
			}
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return address(l.address) }

// address is a net.Addr.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
