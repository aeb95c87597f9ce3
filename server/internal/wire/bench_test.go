package wire

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// One operation of these benchmarks is a frame of benchFrame messages, so the
// allocations are those of a frame.
const (
	benchFrame = 100
	benchID    = "AAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAAAAAQ" // as long as those of Kafka
)

// benchShapes are messages of so many bytes and headers.
var benchShapes = []struct{ bytes, headers int }{{100, 0}, {1024, 0}, {200, 2}}

func forShapes(b *testing.B, benchmark func(b *testing.B, bytes, headers int)) {
	for _, shape := range benchShapes {
		b.Run(fmt.Sprintf("%d bytes %d headers", shape.bytes, shape.headers), func(b *testing.B) {
			b.ReportAllocs()
			benchmark(b, shape.bytes, shape.headers)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchFrame, "ns/message")
		})
	}
}

func benchDeliveries(bytes, headers int) []Delivery {
	deliveries := make([]Delivery, benchFrame)
	for i := range deliveries {
		m := &broker.Message{ID: benchID, Position: uint64(i), Value: make([]byte, bytes), Timestamp: time.UnixMilli(1)}
		for range headers {
			m.Headers = append(m.Headers, broker.Header{Key: "trace-id", Value: make([]byte, 16)})
		}
		deliveries[i] = Delivery{Message: m, Attempt: 1}
	}
	return deliveries
}

func benchRequest(bytes, headers int) *messageproxyv1.ProduceRequest {
	request := &messageproxyv1.ProduceRequest{}
	for i := range benchFrame {
		m := &messageproxyv1.OutgoingMessage{Sequence: uint64(i + 1), Topic: "orders", Value: make([]byte, bytes)}
		for range headers {
			m.Headers = append(m.Headers, &messageproxyv1.Header{Key: "trace-id", Value: make([]byte, 16)})
		}
		request.Messages = append(request.Messages, m)
	}
	return request
}

// BenchmarkBatch makes a response of messages and encodes it, into a buffer that is
// used again as that of gRPC is.
func BenchmarkBatch(b *testing.B) {
	forShapes(b, func(b *testing.B, bytes, headers int) {
		deliveries := benchDeliveries(bytes, headers)
		var batch Batch
		var buffer []byte
		for b.Loop() {
			batch.Add(broker.TopicPartition{Topic: "orders", Partition: 1}, deliveries)
			var err error
			buffer, err = proto.MarshalOptions{}.MarshalAppend(buffer[:0], &batch)
			if err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
		b.SetBytes(int64(len(buffer)))
	})
}

// BenchmarkReceivePieces decodes a request and makes messages for the broker of it.
func BenchmarkReceivePieces(b *testing.B) {
	forShapes(b, func(b *testing.B, bytes, headers int) {
		data, err := proto.Marshal(benchRequest(bytes, headers))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(data)))
		outgoing := make([]broker.OutgoingMessage, benchFrame)
		for b.Loop() {
			var p pieces
			if err := p.Unmarshal(data); err != nil || p.err != nil {
				b.Fatal(err, p.err)
			}
			for messages := range p.all {
				for i := range messages {
					outgoing[i] = messages[i].ForBroker()
				}
			}
		}
	})
}

// BenchmarkReceiveAcks decodes a request of ACKs.
func BenchmarkReceiveAcks(b *testing.B) {
	ids := make([]string, benchFrame)
	for i := range ids {
		ids[i] = benchID
	}
	data, err := proto.Marshal(&messageproxyv1.ConsumeRequest{
		Request: &messageproxyv1.ConsumeRequest_Ack{Ack: &messageproxyv1.AckRequest{MessageIds: ids}},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		var r acksOrOther
		if err := r.Unmarshal(data); err != nil || r.err != nil {
			b.Fatal(err, r.err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchFrame, "ns/message")
}
