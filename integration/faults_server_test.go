package integration_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/resolver"

	"github.com/messageproxy/messageproxy/integration/history"
)

// chaosServer is a proxy in a process of its own, which a test can kill and freeze.
type chaosServer struct {
	*proxyProcess
	c    *chaos
	name string
}

// startServer starts a proxy as a process. More arguments come after those of every
// chaos run.
func (c *chaos) startServer(name string, args ...string) *chaosServer {
	c.t.Helper()
	return c.startServerAt(freeAddress(c.t), name, args...)
}

func (c *chaos) startServerAt(addr, name string, args ...string) *chaosServer {
	c.t.Helper()
	c.serve(name, addr)
	p := startProcess(c.t, c.admin.brokers, append([]string{
		"--listen", addr,
		"--kafka-commit-interval", chaosCommitInterval.String(),
		"--ack-timeout", chaosAckTimeout.String(),
		"--produce-timeout", chaosProduceTimeout.String(),
	}, args...)...)
	require.Equal(c.t, addr, p.addr)
	return &chaosServer{proxyProcess: p, c: c, name: name}
}

// kill ends the server as a crash does.
func (s *chaosServer) kill() {
	s.proxyProcess.kill()
	s.c.history.Record(history.Stopped{Server: s.name})
}

// restart starts another in place of one that was killed, at the same address.
func (s *chaosServer) restart() *chaosServer {
	s.c.t.Helper()
	return s.c.startServerAt(s.addr, s.c.name(s.name))
}

// freeze stops the process, which keeps its connections and doesn't know.
func (s *chaosServer) freeze() { s.signal(syscall.SIGSTOP) }

// thaw lets it go on.
func (s *chaosServer) thaw() { s.signal(syscall.SIGCONT) }

func (s *chaosServer) signal(signal syscall.Signal) {
	s.c.t.Helper()
	require.NoError(s.c.t, s.cmd.Process.Signal(signal))
}

// freeAddress returns an address to listen at, again and again. It is below the ports
// that systems give to outgoing connections, one of which could take it meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	const first, count = 10_000, 10_000
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(count))
		if lis, err := net.Listen("tcp", addr); err == nil {
			require.NoError(t, lis.Close())
			return addr
		}
	}
	require.FailNow(t, "there is no free port")
	return ""
}

// target is what clients dial for a server, or for any of several, "a,b".
func (c *chaos) target(addr string) string {
	var through []string
	for one := range strings.SplitSeq(addr, ",") {
		through = append(through, c.clients.through(one))
	}
	if len(through) == 1 {
		return through[0]
	}
	return anyOfScheme + ":///" + strings.Join(through, ",")
}

// anyOfScheme is the scheme of targets that are several addresses.
const anyOfScheme = "any-of"

// anyOf resolves them.
type anyOf struct{}

func (anyOf) Scheme() string { return anyOfScheme }

func (anyOf) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	var state resolver.State
	for addr := range strings.SplitSeq(target.Endpoint(), ",") {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: addr}}})
	}
	return anyOf{}, cc.UpdateState(state)
}

func (anyOf) ResolveNow(resolver.ResolveNowOptions) {}
func (anyOf) Close()                                {}
