package server

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// overEachListener runs a test over memory, where all addresses are equal, over
// TCP, and over TLS, where gRPC gets the connection wrapped up.
func overEachListener(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Run("bufconn", func(t *testing.T) { test(t, newFixture(t).onBufconn()) })
	t.Run("tcp", func(t *testing.T) { test(t, newFixture(t).onTCP()) })
	t.Run("tls", func(t *testing.T) { test(t, newFixture(t).onTCP().withTLS()) })
}

// withTLS has the server speak TLS, as ServerOptions of a caller would.
func (f *fixture) withTLS() *fixture {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(f.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"server"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	require.NoError(f.t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(f.t, err)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	f.creds = credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "server"})
	f.cfg.ServerOptions = append(f.cfg.ServerOptions, grpc.Creds(credentials.NewServerTLSFromCert(
		&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private})))
	return f
}

// arrivals has a side tell the test about each of its streams.
func arrivals(f *fixture) <-chan consumeStream {
	arrived := make(chan consumeStream)
	f.consume.handle = func(stream consumeStream, draining <-chan struct{}) error {
		arrived <- stream
		return untilDrain(stream, draining)
	}
	return arrived
}

func TestCloseConnectionEndsItsStreamsAndNoOthers(t *testing.T) {
	overEachListener(t, func(t *testing.T, f *fixture) {
		arrived := arrivals(f)
		f.start()
		evicted, bystander := f.client(), f.client()
		first, err := evicted.Consume(t.Context())
		require.NoError(t, err)
		streamCtx := (<-arrived).Context()
		second, err := evicted.Consume(t.Context())
		require.NoError(t, err)
		<-arrived
		other, err := bystander.Consume(t.Context())
		require.NoError(t, err)
		otherCtx := (<-arrived).Context()

		require.True(t, closeConnection(streamCtx))

		for _, stream := range []messageproxyv1.MessageProxy_ConsumeClient{first, second} {
			_, err := stream.Recv()
			require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		}
		<-streamCtx.Done()
		require.NoError(t, otherCtx.Err())
		require.True(t, closeConnection(streamCtx), "a connection that is closed already")
		require.NoError(t, other.CloseSend())
		require.NoError(t, f.drain())
		_, err = other.Recv()
		require.ErrorContains(t, err, "EOF", "the bystander's stream ends as its handler says")
	})
}

func TestLiveStreamsCountsTheStreamsOfOneConnection(t *testing.T) {
	overEachListener(t, func(t *testing.T, f *fixture) {
		arrived := make(chan consumeStream)
		release := make(chan struct{})
		f.consume.handle = func(stream consumeStream, _ <-chan struct{}) error {
			arrived <- stream
			<-release
			return nil
		}
		f.start()
		shared, single := f.client(), f.client()
		first, err := shared.Consume(t.Context())
		require.NoError(t, err)
		ctx := (<-arrived).Context()
		require.Equal(t, 1, liveStreams(ctx))
		second, err := shared.Consume(t.Context())
		require.NoError(t, err)
		<-arrived
		_, err = single.Consume(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, liveStreams((<-arrived).Context()))
		require.Equal(t, 2, liveStreams(ctx))

		close(release)
		_, _ = first.Recv()
		_, _ = second.Recv()
		require.NoError(t, f.drain())
		require.Zero(t, liveStreams(ctx))
	})
}

func TestConnectionsOfNoServer(t *testing.T) {
	require.False(t, closeConnection(t.Context()))
	require.Zero(t, liveStreams(t.Context()))
}

func TestClosedConnectionsAreForgotten(t *testing.T) {
	conns := newConnections(10)
	f := newFixture(t).onTCP()
	lis := conns.track(f.lis)
	defer lis.Close()
	client, err := f.listen(t.Context(), "")
	require.NoError(t, err)
	defer client.Close()
	accepted, err := lis.Accept()
	require.NoError(t, err)
	require.Len(t, conns.open, 1)
	require.Equal(t, client.RemoteAddr().String(), accepted.LocalAddr().String())

	require.NoError(t, accepted.Close())
	require.Empty(t, conns.open)
}
