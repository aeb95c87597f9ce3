package messageproxy

import (
	"context"
	"testing"

	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// One operation of these benchmarks is a window of messages, 1,000 of 100 bytes, so the
// allocations are those of a window. Nothing is encoded or sent.
const pendingWindow = 1000

func reportPerMessage(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pendingWindow, "ns/message")
}

func mustProducer(b *testing.B) *producer {
	config, err := newClientConfig(nil)
	if err != nil {
		b.Fatal(err)
	}
	p := newProducer(nil, config)
	p.started = true // the benchmark does the goroutines' work
	return p
}

// BenchmarkPending is the way of a message through the producer: taken over, put into
// frames, answered, its callback due.
func BenchmarkPending(b *testing.B) {
	p := mustProducer(b)
	s := p.attach()
	m := &Message{Topic: "orders", Key: make([]byte, 8), Value: make([]byte, 100)}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	sent := newProduceFrame()
	results := newResults()
	answered := 0
	callback := func(Receipt, error) { answered++ }
	b.ReportAllocs()
	for b.Loop() {
		for range pendingWindow {
			p.produceAsync(ctx, m, callback)
		}
		for n := 0; p.fillFrame(sent, s); {
			frame := results[n : n+len(sent.messages)]
			for i, m := range sent.messages {
				frame[i].sequence = m.sequence
			}
			p.takeResults(s, frame)
			n += len(frame)
		}
		for i, m := range p.callbacks {
			m.callback(m.receipt, m.err)
			p.mu.Lock()
			p.toldLocked(m)
			p.mu.Unlock()
			p.callbacks[i] = nil
		}
		p.callbacks = p.callbacks[:0]
	}
	if answered != b.N*pendingWindow {
		b.Fatalf("%d of %d messages were answered", answered, b.N*pendingWindow)
	}
	reportPerMessage(b)
}

func newResults() []produceResult {
	results := make([]produceResult, pendingWindow)
	for i := range results {
		results[i].receipt.MessageID = "AAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAAAAAQ"
	}
	return results
}

// BenchmarkSession is the way of a message through a session: decoded, queued by
// partition, handled, its ACK gathered.
func BenchmarkSession(b *testing.B) {
	const partitions = 8
	config, err := newConsumeConfig(nil)
	if err != nil {
		b.Fatal(err)
	}
	c := newConsumer(b.Context(), &Subscription{}, config, nil, func(context.Context, *Message) error { return nil })
	defer c.cancelHandlers(nil)
	defer c.shut()
	s := newSession(b.Context(), c, nil)
	frames := make([][]byte, partitions)
	for i := range frames {
		batch := &messageproxyv1.PartitionMessages{Topic: "orders", Partition: int32(i)}
		for range pendingWindow / partitions {
			batch.Messages = append(batch.Messages, &messageproxyv1.Message{
				Id: "AAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAAAAAQ", Value: make([]byte, 100), TimestampMs: 1700000000000, DeliveryAttempt: 1,
			})
		}
		frames[i] = marshal(b, batchResponse(batch))
	}
	b.ReportAllocs()
	response := newDeliveries()
	for b.Loop() {
		for _, data := range frames {
			if err := proto.Unmarshal(data, response); err != nil {
				b.Fatal(err)
			}
			s.deliver(response.deliveries)
		}
		if !c.waitIdle(b.Context(), closeTimeout) {
			b.Fatal("a handler doesn't return")
		}
		if n := len(s.acks); n != pendingWindow {
			b.Fatalf("%d of %d messages were ACKed", n, pendingWindow)
		}
		s.acks = s.acks[:0]
	}
	reportPerMessage(b)
}
