package integration_test

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// relay is a network between clients and a proxy that a test can cut.
type relay struct {
	t      *testing.T
	addr   string
	target string
	lis    net.Listener
	open   sync.WaitGroup // goroutines

	mu    sync.Mutex
	conns map[net.Conn]struct{} // both sides of all
	ended bool
}

func startRelay(t *testing.T, target string) *relay {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{t: t, addr: lis.Addr().String(), target: target, lis: lis, conns: make(map[net.Conn]struct{})}
	r.open.Go(r.accept)
	t.Cleanup(r.stop)
	return r
}

func (r *relay) stop() {
	_ = r.lis.Close()
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.cut()
	r.open.Wait()
}

func (r *relay) accept() {
	for {
		client, err := r.lis.Accept()
		if err != nil {
			return // stopped
		}
		proxy, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		r.add(client, proxy)
		r.open.Go(func() { r.copy(client, proxy) })
		r.open.Go(func() { r.copy(proxy, client) })
	}
}

func (r *relay) add(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = struct{}{}
		if r.ended {
			_ = c.Close()
		}
	}
}

// copy moves bytes until one side ends, and then ends both.
func (r *relay) copy(to, from net.Conn) {
	_, _ = io.Copy(to, from) // a cut ends it
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range []net.Conn{to, from} {
		_ = c.Close()
		delete(r.conns, c)
	}
}

// cut resets all connections: what is under way is lost. It returns how many
// there were.
func (r *relay) cut() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	return len(r.conns) / 2
}
