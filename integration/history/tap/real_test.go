package tap_test

import (
	"context"
	"net"
	"testing"
)

func TestInRealTime(t *testing.T) {
	run(t, loopback, func(t *testing.T, f func(*testing.T)) { f(t) })
}

func loopback() links {
	dialer := &net.Dialer{}
	return links{
		kafkaListen: func(network, _ string) (net.Listener, error) { return net.Listen(network, "127.0.0.1:0") },
		kafkaDial:   dialer.DialContext,
		proxyListen: func() (net.Listener, func(context.Context, string) (net.Conn, error)) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				panic(err)
			}
			return listener, func(ctx context.Context, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", address)
			}
		},
	}
}
