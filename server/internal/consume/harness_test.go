package consume_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
	"github.com/messageproxy/messageproxy/server/internal/consume"
)

// harness is a server with the consume side alone, over an in-memory broker and
// network, in virtual time.
type harness struct {
	t        *testing.T
	broker   *membroker.Broker
	service  *consume.Service
	producer broker.Producer
	listener *bufconn.Listener

	mu    sync.Mutex
	conns map[string]net.Conn // by client name
}

// bubble runs a test in virtual time against a service over a topic "t". When it
// ends, no goroutine may be left.
func bubble(t *testing.T, partitions int, cfg consume.Config, test func(t *testing.T, h *harness)) {
	bubbleWith(t, membroker.Options{Topics: map[string]int{"t": partitions}}, cfg, test)
}

func bubbleWith(t *testing.T, opts membroker.Options, cfg consume.Config, test func(t *testing.T, h *harness)) {
	t.Helper()
	bubbleOver(t, func(b broker.Broker) broker.Broker { return b }, opts, cfg, test)
}

// bubbleOver has the service use what wrap makes of the broker.
func bubbleOver(t *testing.T, wrap func(broker.Broker) broker.Broker, opts membroker.Options, cfg consume.Config, test func(t *testing.T, h *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &harness{
			t:        t,
			broker:   membroker.New(opts),
			listener: bufconn.Listen(1 << 16),
			conns:    make(map[string]net.Conn),
		}
		cfg.CloseConnection = h.closeConnection
		cfg.LiveStreams = func(context.Context) int { return 0 }
		h.service = consume.NewService(wrap(h.broker), cfg)
		producer, err := h.broker.NewProducer(t.Context(), broker.ProducerOptions{})
		require.NoError(t, err)
		h.producer = producer
		server := grpc.NewServer()
		messageproxyv1.RegisterMessageProxyServer(server, proxy{service: h.service})
		go func() { _ = server.Serve(h.listener) }()

		defer func() {
			server.Stop()
			synctest.Wait()
			require.NoError(t, producer.Close())
			time.Sleep(time.Minute) // grace timers and consumers that close
			require.NoError(t, h.broker.Close())
		}()
		test(t, h)
	})
}

type proxy struct {
	messageproxyv1.UnimplementedMessageProxyServer
	service *consume.Service
}

func (p proxy) Consume(stream consume.Stream) error { return p.service.Handle(stream) }

func (h *harness) closeConnection(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.conns[md.Get("test-client")[0]].Close()
}

// produce stores messages with these values and waits until they are stored.
func (h *harness) produce(partition int32, values ...string) {
	h.t.Helper()
	for _, value := range values {
		h.producer.ProduceAsync(
			&broker.OutgoingMessage{Topic: "t", Partition: partition, Value: []byte(value)},
			func(_ broker.MessageReceipt, err error) {
				if err != nil {
					h.t.Errorf("produce: %v", err)
				}
			})
	}
	require.NoError(h.t, h.producer.Flush(h.t.Context()))
}

// testClient is one stream on a connection of its own, and what it has received.
type testClient struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]
	cancel context.CancelFunc

	mu         sync.Mutex
	responses  []*messageproxyv1.ConsumeResponse
	messages   []received
	assignment []string
	err        error // how the stream ended
	closed     bool
}

type received struct {
	partition int32
	id, value string
	attempt   uint32
}

// open opens a stream and sends nothing.
func (h *harness) open(name string, opts ...grpc.CallOption) *testClient {
	h.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+name,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			c, err := h.listener.DialContext(ctx)
			h.mu.Lock()
			h.conns[name] = c
			h.mu.Unlock()
			return c, err
		}))
	require.NoError(h.t, err)
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(h.t.Context(), "test-client", name))
	h.t.Cleanup(func() { cancel(); _ = conn.Close() })
	stream, err := messageproxyv1.NewMessageProxyClient(conn).Consume(ctx, opts...)
	require.NoError(h.t, err)
	return &testClient{t: h.t, stream: stream, cancel: cancel}
}

// subscribe opens a stream, subscribes to topic "t" and reads.
func (h *harness) subscribe(name string, options ...func(*messageproxyv1.SubscribeRequest)) *testClient {
	h.t.Helper()
	c := h.subscribeSilently(name, options...)
	go c.read()
	synctest.Wait()
	return c
}

// subscribeSilently subscribes and never reads.
func (h *harness) subscribeSilently(name string, options ...func(*messageproxyv1.SubscribeRequest)) *testClient {
	h.t.Helper()
	c := h.open(name)
	request := &messageproxyv1.SubscribeRequest{Subscription: "s", Topics: []string{"t"}, ClientName: name}
	for _, option := range options {
		option(request)
	}
	c.send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{Subscribe: request}})
	return c
}

func (c *testClient) send(r *messageproxyv1.ConsumeRequest) {
	c.t.Helper()
	if err := c.stream.Send(r); !errors.Is(err, io.EOF) {
		require.NoError(c.t, err)
	}
}

func (c *testClient) read() {
	for {
		r, err := c.stream.Recv()
		c.mu.Lock()
		if err != nil {
			c.err, c.closed = err, true
			c.mu.Unlock()
			return
		}
		c.note(r)
		c.mu.Unlock()
	}
}

func (c *testClient) note(r *messageproxyv1.ConsumeResponse) {
	c.responses = append(c.responses, r)
	for _, p := range r.GetBatch().GetPartitions() {
		for _, m := range p.GetMessages() {
			c.messages = append(c.messages, received{p.GetPartition(), m.GetId(), string(m.GetValue()), m.GetDeliveryAttempt()})
		}
	}
	if a := r.GetAssignment(); a != nil {
		c.assignment = nil
		for _, p := range a.GetPartitions() {
			c.assignment = append(c.assignment, fmt.Sprintf("%s/%d", p.GetTopic(), p.GetPartition()))
		}
	}
}

// values returns what the client has received so far, in order.
func (c *testClient) values() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	values := make([]string, len(c.messages))
	for i, m := range c.messages {
		values[i] = m.value
	}
	return values
}

func (c *testClient) received() []received {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.messages)
}

func (c *testClient) owned() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.assignment
}

func (c *testClient) ackIDs(ids ...string) {
	c.t.Helper()
	c.send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
		Ack: &messageproxyv1.AckRequest{MessageIds: ids},
	}})
	synctest.Wait()
}

// ack ACKs the messages with these values.
func (c *testClient) ack(values ...string) {
	c.t.Helper()
	var ids []string
	for _, m := range c.received() {
		if slices.Contains(values, m.value) {
			ids = append(ids, m.id)
		}
	}
	require.GreaterOrEqual(c.t, len(ids), len(values), "the client has received what it is to ACK")
	c.ackIDs(ids...)
}

func (c *testClient) leave() {
	c.send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Leave{Leave: &messageproxyv1.LeaveRequest{}}})
	synctest.Wait()
}

// vanish ends the stream as a client does that dies.
func (c *testClient) vanish() {
	c.cancel()
	synctest.Wait()
}

func (c *testClient) halfClose() {
	require.NoError(c.t, c.stream.CloseSend())
	synctest.Wait()
}

// find returns the responses for which pick returns something, in order.
func find[T any](c *testClient, pick func(*messageproxyv1.ConsumeResponse) *T) []*T {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*T
	for _, r := range c.responses {
		if v := pick(r); v != nil {
			found = append(found, v)
		}
	}
	return found
}

// errorCodes returns the codes of errors found by find.
func errorCodes(errs []*messageproxyv1.Error) []messageproxyv1.ErrorCode {
	var found []messageproxyv1.ErrorCode
	for _, e := range errs {
		found = append(found, e.GetCode())
	}
	return found
}

// ending waits for the end of the stream and returns its terminal error, which must
// have come both as the last response and as a detail of the status, or nil if the
// stream ended with OK.
func (c *testClient) ending() *messageproxyv1.Error {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	require.True(c.t, c.closed, "the stream has ended")
	if errors.Is(c.err, io.EOF) {
		return nil
	}
	require.NotEmpty(c.t, c.responses, "%v", c.err)
	terminal := c.responses[len(c.responses)-1].GetTerminalError()
	require.NotNil(c.t, terminal, "the last response is the terminal error")
	details := status.Convert(c.err).Details()
	require.Len(c.t, details, 1)
	require.Equal(c.t, terminal.GetCode(), details[0].(*messageproxyv1.Error).GetCode())
	require.Equal(c.t, terminal.GetMessage(), details[0].(*messageproxyv1.Error).GetMessage())
	return terminal
}

func (c *testClient) isOpen() bool {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed
}

func partition(number int32) broker.TopicPartition {
	return broker.TopicPartition{Topic: "t", Partition: number}
}

// acked is how far the subscription's messages of a partition are durably ACKed.
func (h *harness) acked(number int32) []uint64 { return h.broker.Acked("s", partition(number)) }
