package messageproxy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/test/bufconn"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// drainingService answers what it gets until it drains; then it accepts nothing
// more and says so.
type drainingService struct {
	rawService
	listener *bufconn.Listener
	server   *grpc.Server
	drain    chan struct{}

	mu     sync.Mutex
	values []string
}

func newDrainingService() *drainingService {
	s := &drainingService{listener: bufconn.Listen(1 << 20), server: grpc.NewServer(), drain: make(chan struct{})}
	s.produce = s.answer
	messageproxyv1.RegisterMessageProxyServer(s.server, s)
	return s
}

func (s *drainingService) answer(stream produceServer) error {
	go func() {
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			s.mu.Lock()
			select {
			case <-s.drain:
				s.mu.Unlock()
				return
			default:
			}
			for _, m := range request.GetMessages() {
				s.values = append(s.values, string(m.GetValue()))
				result := &messageproxyv1.ProduceResult{Sequence: m.GetSequence(), Outcome: &messageproxyv1.ProduceResult_Receipt{}}
				_ = stream.Send(&messageproxyv1.ProduceResponse{Results: []*messageproxyv1.ProduceResult{result}})
			}
			s.mu.Unlock()
		}
	}()
	select {
	case <-s.drain:
	case <-stream.Context().Done():
		return nil
	}
	time.Sleep(10 * time.Second) // a long goodbye, under GOAWAY
	return stream.Send(&messageproxyv1.ProduceResponse{TerminalError: &messageproxyv1.Error{Code: messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, Retryable: true}})
}

func (s *drainingService) stored() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.values...)
}

func TestWhatADrainingServerDidNotAcceptGoesToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		services := map[string]*drainingService{"a": newDrainingService(), "b": newDrainingService()}
		var serving sync.WaitGroup
		for _, s := range services {
			serving.Go(func() { _ = s.server.Serve(s.listener) })
		}
		names := manual.NewBuilderWithScheme("test")
		names.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: "a"}, {Addr: "b"}}})
		dial := grpc.WithContextDialer(func(ctx context.Context, name string) (net.Conn, error) {
			return services[name].listener.DialContext(ctx)
		})
		client, err := messageproxy.NewClient("test:///proxies", messageproxy.WithDialOptions(grpc.WithResolvers(names), dial))
		require.NoError(t, err)

		_, err = client.Produce(t.Context(), message("k", "1"))
		require.NoError(t, err)
		first, second := services["a"], services["b"]
		if len(first.stored()) == 0 {
			first, second = second, first
		}
		close(first.drain)
		go first.server.GracefulStop()
		synctest.Wait()
		_, err = client.Produce(t.Context(), message("k", "2"))
		require.NoError(t, err)
		assert.Equal(t, []string{"1"}, first.stored())
		assert.Equal(t, []string{"2"}, second.stored())

		require.NoError(t, client.Close())
		second.server.Stop()
		serving.Wait()
	})
}

func TestTLS(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil) // has a certificate for 127.0.0.1
	pair.StartTLS()
	certificate, roots := pair.TLS.Certificates[0], x509.NewCertPool()
	roots.AddCert(pair.Certificate())
	pair.Close()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	messageproxyv1.RegisterMessageProxyServer(server, bareService{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	defer serving.Wait()
	defer server.Stop()

	produce := func(opts ...messageproxy.Option) error {
		client, err := messageproxy.NewClient(listener.Addr().String(), opts...)
		require.NoError(t, err)
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = client.Produce(ctx, message("k", "v"))
		return err
	}
	require.NoError(t, produce(messageproxy.WithTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})))
	require.ErrorContains(t, produce(messageproxy.WithTLS(nil)), "certificate", "the system doesn't know it")
	require.ErrorIs(t, produce(), context.DeadlineExceeded, "plaintext isn't answered")
}
