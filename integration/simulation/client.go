//go:build synctests

package simulation

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// client is a producer or a consumer.
type client interface {
	// node is its node in the network.
	node() string
	finished() <-chan struct{}
}

// dialer is how a client's node reaches proxies.
func (w *world) dialer(node string) grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		return w.network.dial(ctx, node, address)
	})
}

// connect returns the stubs of a bare client of a proxy, and its connection.
func (w *world) connect(client, node string, p *proxy) (messageproxyv1.MessageProxyClient, *grpc.ClientConn, error) {
	options := append(w.tap.ClientOptions(client, p.name), w.dialer(node),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.WaitForReady(true)))
	conn, err := grpc.NewClient("passthrough:///"+p.address, options...)
	if err != nil {
		return nil, nil, err
	}
	return messageproxyv1.NewMessageProxyClient(conn), conn, nil
}

// sdkClient returns an SDK client that knows the addresses of all proxies.
func (w *world) sdkClient(client, node string) (*messageproxy.Client, error) {
	options := append(w.tap.ClientOptions(client, ""), w.dialer(node), grpc.WithResolvers(allProxies{}))
	return messageproxy.NewClient(allProxies{}.Scheme()+":///proxies", messageproxy.WithClientName(client),
		messageproxy.WithLogger(w.log.With("client", client)), messageproxy.WithDialOptions(options...))
}

// allProxies resolves any name to the addresses of all proxies.
type allProxies struct{}

func (allProxies) Scheme() string { return "simulation" }

func (allProxies) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	err := cc.UpdateState(resolver.State{Addresses: []resolver.Address{{Addr: addresses["p1"]}, {Addr: addresses["p2"]}}})
	return allProxies{}, err
}

func (allProxies) ResolveNow(resolver.ResolveNowOptions) {}
func (allProxies) Close()                                {}
