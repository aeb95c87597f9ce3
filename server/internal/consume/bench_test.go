package consume

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

const (
	benchPartitions = 8
	benchEach       = 125 // messages of each partition: together a client's window
	benchMessages   = benchPartitions * benchEach
)

// BenchmarkConsume is the whole way of 1,000 messages of 100 bytes through this package
// and back as ACKs, with what gRPC has protobuf do and without its transport: polled,
// delivered, framed, encoded; the ACKs decoded, resolved and handed to the broker. The
// allocations are those of 1,000 messages.
func BenchmarkConsume(b *testing.B) {
	for _, acks := range []int{1, 100, benchMessages} {
		b.Run(fmt.Sprintf("ACKs of %d", acks), func(b *testing.B) {
			p := newBenchPath(b)
			requests := p.requests(b, acks)
			events := p.events()
			b.ReportAllocs()
			for b.Loop() {
				p.deliver(b, events)
				p.ack(b, requests)
			}
			if p.broker.consumer.acked != b.N*benchMessages {
				b.Fatalf("%d of %d messages were ACKed", p.broker.consumer.acked, b.N*benchMessages)
			}
			reportPerMessage(b)
		})
	}
}

// BenchmarkFraming is the part of it that the writer does.
func BenchmarkFraming(b *testing.B) {
	p := newBenchPath(b)
	p.turn(polled{coordinator.Polled{Events: p.events()}, 0})
	items, _, _ := p.client.outbox.take(nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.client.sendAll(items); err != nil {
			b.Fatal(err)
		}
	}
	reportPerMessage(b)
}

// BenchmarkReceiveAcks is the part of it that the reader does, and the loop's answer to
// ACKs that don't count.
func BenchmarkReceiveAcks(b *testing.B) {
	p := newBenchPath(b)
	requests := p.requests(b, 100)
	b.ReportAllocs()
	for b.Loop() {
		p.ack(b, requests)
		_, _, _ = p.client.outbox.take(nil)
	}
	reportPerMessage(b)
}

func reportPerMessage(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchMessages, "ns/message")
}

// benchPath is a subscription with one client, whose goroutines' work one goroutine does.
type benchPath struct {
	sub    *subscription
	client *client
	stream *benchStream
	broker *benchBroker
}

func newBenchPath(b *testing.B) *benchPath {
	stream := &benchStream{ctx: b.Context(), codec: encoding.GetCodecV2("proto")}
	p := &benchPath{stream: stream, broker: &benchBroker{}}
	s := NewService(p.broker, Config{})
	p.sub = newSubscription(s, "s")
	p.client = newClient(s, 1, "", stream, p.sub.log)
	p.turn(joined{coordinator.Join{Client: 1, Spec: coordinator.Spec{Topics: []string{"orders"}}}, p.client})
	<-p.sub.mailbox.signal // the session has opened
	p.sub.turn()
	assigned := broker.EventAssigned{}
	for i := range int32(benchPartitions) {
		assigned.Partitions = append(assigned.Partitions, broker.TopicPartition{Topic: "orders", Partition: i})
	}
	p.turn(polled{coordinator.Polled{Events: broker.Events{assigned}}, 0})
	_, _, _ = p.client.outbox.take(nil)
	b.Cleanup(func() {
		p.sub.closeConsumer()
		<-p.sub.sessionOver
	})
	return p
}

// turn is one of the loop.
func (p *benchPath) turn(event coordinator.Event) {
	p.sub.post(event)
	<-p.sub.mailbox.signal
	p.sub.turn()
}

func (p *benchPath) events() broker.Events {
	var events broker.Events
	for partition := range int32(benchPartitions) {
		messages := make([]broker.Message, benchEach)
		for i := range messages {
			messages[i] = broker.Message{ID: benchID(partition, i), Value: make([]byte, 100), Timestamp: time.UnixMilli(1)}
		}
		events = append(events, broker.EventMessages{Partition: broker.TopicPartition{Topic: "orders", Partition: partition}, Messages: messages})
	}
	return events
}

// deliver has the client get these messages, at the next positions.
func (p *benchPath) deliver(b *testing.B, events broker.Events) {
	for _, event := range events {
		messages := event.(broker.EventMessages).Messages
		for i := range messages {
			messages[i].Position = p.broker.consumer.base + uint64(i)
		}
	}
	p.turn(polled{coordinator.Polled{Events: events}, 0})
	items, _, _ := p.client.outbox.take(p.client.spare)
	if err := p.client.sendAll(items); err != nil {
		b.Fatal(err)
	}
	clear(items)
	p.client.spare = items
}

// requests ACK all messages, so many at a time.
func (p *benchPath) requests(b *testing.B, each int) (encoded [][]byte) {
	var ids []string
	for partition := range int32(benchPartitions) {
		for i := range benchEach {
			ids = append(ids, benchID(partition, i))
		}
	}
	for ; len(ids) > 0; ids = ids[each:] {
		data, err := proto.Marshal(&messageproxyv1.ConsumeRequest{
			Request: &messageproxyv1.ConsumeRequest_Ack{Ack: &messageproxyv1.AckRequest{MessageIds: ids[:each]}},
		})
		if err != nil {
			b.Fatal(err)
		}
		encoded = append(encoded, data)
	}
	return encoded
}

// ack has the loop take these ACKs a turn each, and goes on to the next positions.
func (p *benchPath) ack(b *testing.B, requests [][]byte) {
	for _, p.stream.request = range requests {
		ids, _, err := wire.ReceiveAcks(p.stream)
		if err != nil {
			b.Fatal(err)
		}
		p.client.takeCredit()
		p.turn(acked{p.sub.resolve(p.client, ids), p.client})
	}
	p.broker.consumer.base += benchEach
}

// benchStream encodes and decodes as gRPC does.
type benchStream struct {
	grpc.BidiStreamingServer[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]
	ctx     context.Context
	codec   encoding.CodecV2
	request []byte
}

func (s *benchStream) Context() context.Context { return s.ctx }

func (s *benchStream) Send(m *messageproxyv1.ConsumeResponse) error { return s.SendMsg(m) }

func (s *benchStream) SendMsg(m any) error {
	data, err := s.codec.Marshal(m)
	data.Free()
	return err
}

func (s *benchStream) RecvMsg(m any) error {
	return s.codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(s.request)}, m)
}

// benchBroker has one consumer.
type benchBroker struct {
	broker.Broker
	consumer benchConsumer
}

func (k *benchBroker) NewConsumer(context.Context, broker.ConsumerOptions) (broker.Consumer, error) {
	return &k.consumer, nil
}

// benchConsumer has ids that are places in what was delivered last.
type benchConsumer struct {
	broker.Consumer
	base  uint64 // the position of the first
	acked int
}

// benchIDPrefix makes ids as long as those of Kafka.
const benchIDPrefix = "AAAAAAAAAAAAAAAAAAAAAQAAAAAAA"

func benchID(partition int32, i int) string {
	return fmt.Sprintf("%s%d/%07d", benchIDPrefix, partition, i)
}

func (k *benchConsumer) PollMessages(ctx context.Context) (broker.Events, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (k *benchConsumer) ResolveID(text string) (broker.MessageID, bool) {
	const at = len(benchIDPrefix)
	i, err := strconv.Atoi(text[at+2:])
	return broker.MessageID{
		Partition: broker.TopicPartition{Topic: "orders", Partition: int32(text[at] - '0')},
		Position:  k.base + uint64(i),
	}, err == nil
}

func (k *benchConsumer) Ack(ids ...broker.MessageID) { k.acked += len(ids) }

func (k *benchConsumer) Close(context.Context) error { return nil }
