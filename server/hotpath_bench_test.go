package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// The benchmarks of this file are of a whole server, over TCP, with one client that uses
// the generated stubs and a broker that answers at once. One operation is one message; the
// client's cost is in the figures. The Bare ones have the same client, and a server that
// does nothing but gRPC: compare with them, or see where the difference goes:
//
//	go test -run '^$' -bench 'HotPath' -benchtime 3s -cpuprofile cpu.out . && go tool pprof -top cpu.out
const (
	hotFrame      = 100
	hotWindow     = 1000
	hotPartitions = 8
	hotBytes      = 100
)

func BenchmarkHotPathProduce(b *testing.B)     { pumpProduce(b, serveHot(b)) }
func BenchmarkHotPathProduceBare(b *testing.B) { pumpProduce(b, serveBare(b)) }
func BenchmarkHotPathConsume(b *testing.B)     { pumpConsume(b, serveHot(b)) }
func BenchmarkHotPathConsumeBare(b *testing.B) { pumpConsume(b, serveBare(b)) }

// pumpProduce sends b.N messages, with up to hotWindow outstanding, and reads their
// results.
func pumpProduce(b *testing.B, client messageproxyv1.MessageProxyClient) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	stream, err := client.Produce(ctx)
	require.NoError(b, err)
	frames := (b.N + hotFrame - 1) / hotFrame
	room := make(chan struct{}, hotWindow) // a token for each frame that may be sent
	for range hotWindow / hotFrame {
		room <- struct{}{}
	}
	request := hotRequest()
	b.ReportAllocs()
	b.ResetTimer()
	sent := make(chan error, 1)
	go func() {
		for range frames {
			<-room
			if err := stream.Send(request); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	responses, free := 0, 0
	for left := frames * hotFrame; left > 0; responses++ {
		response, err := stream.Recv()
		require.NoError(b, err)
		left -= len(response.GetResults())
		for free += len(response.GetResults()); free >= hotFrame; free -= hotFrame {
			room <- struct{}{}
		}
	}
	b.StopTimer()
	require.NoError(b, <-sent)
	b.ReportMetric(float64(frames*hotFrame)/float64(responses), "results/frame")
}

func hotRequest() *messageproxyv1.ProduceRequest {
	request := &messageproxyv1.ProduceRequest{}
	for i := range hotFrame {
		request.Messages = append(request.Messages, &messageproxyv1.OutgoingMessage{
			Sequence: uint64(i + 1), Topic: "orders", Key: fmt.Appendf(nil, "key-%04d", i), Value: make([]byte, hotBytes),
		})
	}
	return request
}

// pumpConsume receives b.N messages and ACKs each, those of a frame together.
func pumpConsume(b *testing.B, client messageproxyv1.MessageProxyClient) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	stream, err := client.Consume(ctx)
	require.NoError(b, err)
	require.NoError(b, stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{
		Subscribe: &messageproxyv1.SubscribeRequest{Subscription: "billing", Topics: []string{"orders"}},
	}}))
	b.ReportAllocs()
	b.ResetTimer()
	batches := 0
	for received := 0; received < b.N; {
		response, err := stream.Recv()
		require.NoError(b, err)
		ack := &messageproxyv1.AckRequest{}
		for _, part := range response.GetBatch().GetPartitions() {
			for _, m := range part.GetMessages() {
				ack.MessageIds = append(ack.MessageIds, m.GetId())
			}
		}
		if len(ack.GetMessageIds()) == 0 {
			continue
		}
		batches++
		received += len(ack.GetMessageIds())
		require.NoError(b, stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{Ack: ack}}))
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/float64(batches), "messages/frame")
}

// serveHot runs a server over a hotBroker until the benchmark ends.
func serveHot(b *testing.B) messageproxyv1.MessageProxyClient {
	cfg := DefaultConfig()
	cfg.Logger = slog.New(slog.DiscardHandler)
	s, err := New(newHotBroker(), cfg)
	require.NoError(b, err)
	lis := listenLocally(b)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, lis) }()
	b.Cleanup(func() {
		stop()
		require.NoError(b, <-served)
	})
	return dialTCP(b, lis)
}

// serveBare runs a bareProxy until the benchmark ends.
func serveBare(b *testing.B) messageproxyv1.MessageProxyClient {
	server := grpc.NewServer(grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connectionWindow))
	messageproxyv1.RegisterMessageProxyServer(server, bareProxy{})
	lis := listenLocally(b)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	b.Cleanup(func() {
		server.Stop()
		require.NoError(b, <-served)
	})
	return dialTCP(b, lis)
}

func listenLocally(b *testing.B) net.Listener {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	return lis
}

func dialTCP(b *testing.B, lis net.Listener) messageproxyv1.MessageProxyClient {
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	return messageproxyv1.NewMessageProxyClient(conn)
}

// bareProxy answers each request in one response, and has hotWindow messages with the
// client of a Consume stream.
type bareProxy struct {
	messageproxyv1.UnimplementedMessageProxyServer
}

func (bareProxy) Produce(stream messageproxyv1.MessageProxy_ProduceServer) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		response := &messageproxyv1.ProduceResponse{}
		for _, m := range request.GetMessages() {
			response.Results = append(response.Results, &messageproxyv1.ProduceResult{
				Sequence: m.GetSequence(),
				Outcome:  &messageproxyv1.ProduceResult_Receipt{Receipt: &messageproxyv1.MessageReceipt{MessageId: hotID(0, 0), TimestampMs: 1}},
			})
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

func (bareProxy) Consume(stream messageproxyv1.MessageProxy_ConsumeServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	part := &messageproxyv1.PartitionMessages{Topic: "orders"}
	for i := range hotFrame {
		part.Messages = append(part.Messages, &messageproxyv1.Message{
			Id: hotID(0, i), Key: []byte("key-0000"), Value: make([]byte, hotBytes), TimestampMs: 1, DeliveryAttempt: 1,
		})
	}
	response := &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Batch{
		Batch: &messageproxyv1.MessageBatch{Partitions: []*messageproxyv1.PartitionMessages{part}},
	}}
	for held := 0; ; held += hotFrame {
		for held > hotWindow-hotFrame {
			request, err := stream.Recv()
			if err != nil {
				return err
			}
			held -= len(request.GetAck().GetMessageIds())
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

// hotBroker answers what is produced from a goroutine of its own, in batches, as the
// client of a broker does, and has endless messages to consume.
type hotBroker struct {
	broker.Broker
	ids [hotPartitions][hotIDs]string
}

// hotIDs is how many messages of a partition have an id of their own: more than a
// window.
const hotIDs = 4096

func newHotBroker() *hotBroker {
	k := &hotBroker{}
	for partition := range k.ids {
		for i := range k.ids[partition] {
			k.ids[partition][i] = hotID(partition, i)
		}
	}
	return k
}

// hotID is as long as the ids of Kafka.
func hotID(partition, i int) string { return fmt.Sprintf("%s%d/%07d", hotIDPrefix, partition, i) }

const hotIDPrefix = "AAAAAAAAAAAAAAAAAAAAAQAAAAAAA"

func (k *hotBroker) Ping(context.Context) error { return nil }

func (k *hotBroker) NewProducer(context.Context, broker.ProducerOptions) (broker.Producer, error) {
	p := &hotProducer{signal: make(chan struct{}, 1), closed: make(chan struct{})}
	p.running.Go(p.run)
	return p, nil
}

func (k *hotBroker) NewConsumer(context.Context, broker.ConsumerOptions) (broker.Consumer, error) {
	c := &hotConsumer{broker: k, signal: make(chan struct{}, 1)}
	c.signal <- struct{}{}
	return c, nil
}

type hotProducer struct {
	signal  chan struct{}
	closed  chan struct{}
	running sync.WaitGroup

	mu   sync.Mutex
	held []func(broker.MessageReceipt, error)
}

func (p *hotProducer) ProduceAsync(_ *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
	p.mu.Lock()
	p.held = append(p.held, done)
	first := len(p.held) == 1
	p.mu.Unlock()
	if first {
		p.signal <- struct{}{}
	}
}

func (p *hotProducer) Flush(context.Context) error { return nil }

func (p *hotProducer) Close() error {
	close(p.closed)
	p.running.Wait()
	return nil
}

func (p *hotProducer) run() {
	receipt := broker.MessageReceipt{ID: hotID(0, 0), Timestamp: time.UnixMilli(1)}
	var batch []func(broker.MessageReceipt, error)
	for {
		select {
		case <-p.signal:
		case <-p.closed:
			return
		}
		p.mu.Lock()
		batch, p.held = p.held, batch[:0]
		p.mu.Unlock()
		for _, done := range batch {
			done(receipt, nil)
		}
		clear(batch)
	}
}

// hotConsumer has the next messages of a partition whenever half of its window is free.
type hotConsumer struct {
	broker.Consumer
	broker   *hotBroker
	signal   chan struct{} // has a token when there is something to poll
	assigned bool          // used by PollMessages

	mu    sync.Mutex
	next  [hotPartitions]uint64 // the position of the next message
	acked [hotPartitions]uint64 // how many are ACKed
}

func (c *hotConsumer) PollMessages(ctx context.Context) (broker.Events, error) {
	if !c.assigned {
		c.assigned = true
		event := broker.EventAssigned{}
		for i := range int32(hotPartitions) {
			event.Partitions = append(event.Partitions, broker.TopicPartition{Topic: "orders", Partition: i})
		}
		return broker.Events{event}, nil
	}
	select {
	case <-c.signal:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var events broker.Events
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range hotPartitions {
		if n := hotWindow - int(c.next[i]-c.acked[i]); n >= hotWindow/2 {
			partition := broker.TopicPartition{Topic: "orders", Partition: int32(i)}
			events = append(events, broker.EventMessages{Partition: partition, Messages: c.messagesLocked(i, n)})
		}
	}
	return events, nil
}

func (c *hotConsumer) messagesLocked(partition, n int) []broker.Message {
	messages := make([]broker.Message, n)
	for i := range messages {
		position := c.next[partition]
		messages[i] = broker.Message{
			ID: c.broker.ids[partition][position%hotIDs], Position: position,
			Key: hotKey, Value: hotValue, Timestamp: time.UnixMilli(1),
		}
		c.next[partition]++
	}
	return messages
}

var hotKey, hotValue = []byte("key-0000"), make([]byte, hotBytes)

func (c *hotConsumer) Ack(ids ...broker.MessageID) {
	c.mu.Lock()
	more := false
	for i := range ids {
		partition := ids[i].Partition.Partition
		c.acked[partition]++
		more = more || c.next[partition]-c.acked[partition] == hotWindow/2
	}
	c.mu.Unlock()
	if more {
		select {
		case c.signal <- struct{}{}:
		default:
		}
	}
}

// ResolveID finds the last message that has this id.
func (c *hotConsumer) ResolveID(text string) (broker.MessageID, bool) {
	const at = len(hotIDPrefix)
	i, err := strconv.ParseUint(text[at+2:], 10, 64)
	partition := int32(text[at] - '0')
	c.mu.Lock()
	next := c.next[partition]
	c.mu.Unlock()
	back := (next - 1 - i) % hotIDs
	return broker.MessageID{
		Partition: broker.TopicPartition{Topic: "orders", Partition: partition}, Position: next - 1 - back,
	}, err == nil
}

func (c *hotConsumer) Close(context.Context) error { return nil }
