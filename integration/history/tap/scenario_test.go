package tap_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	kafka "github.com/messageproxy/messageproxy/broker-kafka"
	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/integration/history/tap"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/server"
)

const (
	topic        = "orders"
	subscription = "billing"
)

// links say how a scenario's parts reach each other.
type links struct {
	kafkaPort   int
	kafkaListen func(network, address string) (net.Listener, error)
	kafkaDial   func(ctx context.Context, network, address string) (net.Conn, error)
	proxyListen func() (net.Listener, func(context.Context, string) (net.Conn, error))
}

// scene is a Kafka, a proxy, and a tap on everything.
type scene struct {
	*testing.T
	recorder     history.Recorder
	tap          *tap.Tap
	kafka        *kgo.Client
	kafkaOptions []kgo.Opt
	admin        *kadm.Client
	target       string
	dial         func(context.Context, string) (net.Conn, error)
	stop         func()
}

func newScene(t *testing.T, l links) *scene {
	s := &scene{T: t}
	s.tap = tap.New(&s.recorder)
	cluster, err := kfake.NewCluster(kfake.ListenFn(l.kafkaListen), kfake.NumBrokers(1), kfake.Ports(l.kafkaPort), kfake.SeedTopics(2, topic))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	options := []kgo.Opt{kgo.Dialer(l.kafkaDial), kgo.DisableClientMetrics()}
	s.kafkaOptions = append(slices.Clone(options), kgo.SeedBrokers(cluster.ListenAddrs()...))
	s.kafka, err = kgo.NewClient(s.kafkaOptions...)
	require.NoError(t, err)
	t.Cleanup(s.kafka.Close)
	s.admin = kadm.NewClient(s.kafka)

	backend, err := kafka.New(kafka.Options{Brokers: cluster.ListenAddrs(), ClientOptions: options})
	require.NoError(t, err)
	config := server.DefaultConfig()
	config.Logger = slog.New(slog.DiscardHandler)
	config.ServerOptions = s.tap.ServerOptions("proxy")
	srv, err := server.New(s.tap.Broker("proxy", backend), config)
	require.NoError(t, err)
	var listener net.Listener
	listener, s.dial = l.proxyListen()
	s.target = "passthrough:///" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	s.stop = func() {
		cancel()
		require.NoError(t, <-served)
		require.NoError(t, backend.Close())
	}
	return s
}

func (s *scene) options(client string) []grpc.DialOption {
	return append(s.tap.ClientOptions(client, "proxy"), grpc.WithContextDialer(s.dial))
}

func (s *scene) sdk(client string) *messageproxy.Client {
	c, err := messageproxy.NewClient(s.target, messageproxy.WithClientName(client), messageproxy.WithDialOptions(s.options(client)...))
	require.NoError(s, err)
	return c
}

// stub returns the generated client and what closes its connection.
func (s *scene) stub(client string) (messageproxyv1.MessageProxyClient, func()) {
	options := append(s.options(client), grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(s.target, options...)
	require.NoError(s, err)
	return messageproxyv1.NewMessageProxyClient(conn), func() { require.NoError(s, conn.Close()) }
}

func (s *scene) produce(c *messageproxy.Client, partition int32, tokens ...string) {
	for _, token := range tokens {
		m := &messageproxy.Message{Topic: topic, ToPartition: &partition, Key: []byte(token), Value: tap.Value(token, 50)}
		_, err := c.Produce(s.Context(), m)
		require.NoError(s, err)
	}
}

func subscribe(name string) *messageproxyv1.ConsumeRequest {
	return &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{
		Subscribe: &messageproxyv1.SubscribeRequest{
			Subscription: subscription, Topics: []string{topic}, ClientName: name, MaxUnackedMessages: new(uint32(7)),
		},
	}}
}

func ack(ids ...string) *messageproxyv1.ConsumeRequest {
	return &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
		Ack: &messageproxyv1.AckRequest{MessageIds: ids},
	}}
}

type consumeStream = grpc.BidiStreamingClient[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]

// consume opens a stream that subscribes by a name.
func (s *scene) consume(ctx context.Context, stub messageproxyv1.MessageProxyClient, name string) consumeStream {
	s.Helper()
	stream, err := stub.Consume(ctx)
	require.NoError(s, err)
	require.NoError(s, stream.Send(subscribe(name)))
	return stream
}

// receive receives until n messages have come, and returns their ids.
func (s *scene) receive(stream consumeStream, n int) []string {
	var ids []string
	for len(ids) < n {
		response, err := stream.Recv()
		require.NoError(s, err)
		for _, p := range response.GetBatch().GetPartitions() {
			for _, m := range p.GetMessages() {
				ids = append(ids, m.GetId())
			}
		}
	}
	return ids
}

// awaitEnd receives until the stream has ended, and returns how.
func awaitEnd(stream consumeStream) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

// of returns the events of one type, in order.
func of[E history.Event](s *scene) []E {
	var events []E
	for _, entry := range s.recorder.Entries() {
		if e, ok := entry.Event.(E); ok {
			events = append(events, e)
		}
	}
	return events
}

func numbered(prefix string, n int) []string {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return tokens
}
