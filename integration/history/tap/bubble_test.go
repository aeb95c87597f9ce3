//go:build synctests

package tap_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kfake"
	"google.golang.org/grpc/test/bufconn"
)

func TestInVirtualTime(t *testing.T) {
	run(t, inMemory, synctest.Test)
}

func inMemory() links {
	network := &kfake.VirtualNetwork{}
	return links{
		kafkaPort:   9092,
		kafkaListen: network.Listen,
		kafkaDial:   network.DialContext,
		proxyListen: func() (net.Listener, func(context.Context, string) (net.Conn, error)) {
			listener := bufconn.Listen(1 << 20)
			return listener, func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
		},
	}
}
