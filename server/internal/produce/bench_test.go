package produce

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

const (
	benchFrame   = 100 // messages a request
	benchPayload = 100 // bytes
)

// batchProducer answers from a goroutine of its own, in batches, as the client of
// a broker does.
type batchProducer struct {
	mu     sync.Mutex
	held   []func(broker.MessageReceipt, error)
	signal chan struct{}
}

func (p *batchProducer) ProduceAsync(_ *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
	p.mu.Lock()
	p.held = append(p.held, done)
	p.mu.Unlock()
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

func (p *batchProducer) Flush(context.Context) error { return nil }
func (p *batchProducer) Close() error                { return nil }

func (p *batchProducer) run(ctx context.Context) {
	receipt := broker.MessageReceipt{ID: "orders/0/123456789", Timestamp: time.UnixMilli(1)}
	var batch []func(broker.MessageReceipt, error)
	for {
		select {
		case <-p.signal:
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		batch, p.held = p.held, batch[:0]
		p.mu.Unlock()
		for _, done := range batch {
			done(receipt, nil)
		}
	}
}

// echo answers every message with a receipt, with nothing behind it: what gRPC
// and protobuf cost alone.
func echo(stream Stream) error {
	for {
		request, err := stream.Recv()
		if err != nil {
			return nil
		}
		response := &messageproxyv1.ProduceResponse{}
		for _, m := range request.GetMessages() {
			response.Results = append(response.Results, &messageproxyv1.ProduceResult{
				Sequence: m.GetSequence(),
				Outcome: &messageproxyv1.ProduceResult_Receipt{Receipt: &messageproxyv1.MessageReceipt{
					MessageId: "orders/0/123456789", TimestampMs: 1,
				}},
			})
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

// pump sends b.N messages over one stream, reads their results, and returns how
// long that took.
func pump(b *testing.B, handle func(Stream) error) time.Duration {
	stream := produce(b, dial(b, handle))
	request := &messageproxyv1.ProduceRequest{}
	for i := range benchFrame {
		request.Messages = append(request.Messages, &messageproxyv1.OutgoingMessage{
			Sequence: uint64(i), Topic: "orders", Value: make([]byte, benchPayload),
		})
	}
	frames := (b.N + benchFrame - 1) / benchFrame
	b.ReportAllocs()
	b.ResetTimer()
	sent := make(chan error, 1)
	go func() {
		for range frames {
			if err := stream.Send(request); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	received := 0
	for left := frames * benchFrame; left > 0; received++ {
		response, err := stream.Recv()
		require.NoError(b, err)
		left -= len(response.GetResults())
	}
	b.StopTimer()
	b.ReportMetric(float64(frames*benchFrame)/float64(received), "results/frame")
	require.NoError(b, <-sent)
	require.NoError(b, stream.CloseSend())
	return b.Elapsed()
}

func pumpProxy(b *testing.B) time.Duration {
	producer := &batchProducer{signal: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(b.Context())
	wg.Go(func() { producer.run(ctx) })
	defer wg.Wait()
	defer cancel()
	return pump(b, NewService(producer, Config{}).Handle)
}

// The cost of a message, client included. Compare the two, or see the ratio.
func BenchmarkStream(b *testing.B)     { pumpProxy(b) }
func BenchmarkBareStream(b *testing.B) { pump(b, echo) }

// BenchmarkOverBareStream reports how many times as long a message takes as over
// a stream that answers by itself.
func BenchmarkOverBareStream(b *testing.B) {
	bare := pump(b, echo)
	b.StartTimer()
	proxy := pumpProxy(b)
	b.ReportMetric(float64(proxy)/float64(bare), "times-bare")
}
