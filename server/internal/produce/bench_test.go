package produce

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

const (
	benchFrame   = 100                                      // messages a request
	benchPayload = 100                                      // bytes
	benchID      = "AAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAAAAAQ" // as long as those of Kafka
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
	receipt := broker.MessageReceipt{ID: benchID, Timestamp: time.UnixMilli(1)}
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

// BenchmarkPath is the whole way of 1,000 messages of 100 bytes through this package, in
// requests of 100, with what gRPC has protobuf do and without its transport. The producer
// answers at once; the results are sent in frames of so many. One goroutine does
// everybody's work. The allocations are those of 1,000 messages.
func BenchmarkPath(b *testing.B) {
	const window = 1000
	for _, frame := range []int{benchFrame, window} {
		b.Run(fmt.Sprintf("%d results a frame", frame), func(b *testing.B) {
			client := newBenchStream(b)
			st := newStream(NewService(&benchProducer{}, Config{}), client)
			defer st.stopTimer()
			var batch []*wire.Result
			b.ReportAllocs()
			for b.Loop() {
				for range window / frame {
					for range frame / benchFrame {
						receiveOne(b, st)
					}
					batch, _ = st.take(batch)
					if len(batch) != frame {
						b.Fatalf("%d results of %d messages", len(batch), frame)
					}
					if err := st.send(batch); err != nil {
						b.Fatal(err)
					}
					clear(batch)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/window, "ns/message")
		})
	}
}

// receiveOne is a turn of the reader.
func receiveOne(b *testing.B, st *stream) {
	request, bytes, err := wire.ReceivePieces(st.client)
	if err != nil {
		b.Fatal(err)
	}
	st.process(request, bytes)
}

// BenchmarkResults is the part of it that the writer does: results are framed and
// encoded. The allocations are those of 1,000.
func BenchmarkResults(b *testing.B) {
	client := newBenchStream(b)
	st := newStream(NewService(&benchProducer{}, Config{}), client)
	defer st.stopTimer()
	for range 1000 / benchFrame {
		receiveOne(b, st)
	}
	batch, _ := st.take(nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := st.send(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch)), "ns/message")
}

// benchProducer answers at once.
type benchProducer struct{ broker.Producer }

func (*benchProducer) ProduceAsync(_ *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
	done(broker.MessageReceipt{ID: benchID, Timestamp: time.UnixMilli(1)}, nil)
}

// benchStream has the same request again and again, and encodes and decodes as gRPC
// does.
type benchStream struct {
	Stream
	ctx     context.Context
	codec   encoding.CodecV2
	request []byte
}

func newBenchStream(b *testing.B) *benchStream {
	data, err := proto.Marshal(benchRequest())
	require.NoError(b, err)
	return &benchStream{ctx: b.Context(), codec: encoding.GetCodecV2("proto"), request: data}
}

func (s *benchStream) Context() context.Context { return s.ctx }

func (s *benchStream) Send(m *messageproxyv1.ProduceResponse) error { return s.SendMsg(m) }

func (s *benchStream) SendMsg(m any) error {
	data, err := s.codec.Marshal(m)
	data.Free()
	return err
}

func (s *benchStream) RecvMsg(m any) error {
	return s.codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(s.request)}, m)
}

func benchRequest() *messageproxyv1.ProduceRequest {
	request := &messageproxyv1.ProduceRequest{}
	for i := range benchFrame {
		request.Messages = append(request.Messages, &messageproxyv1.OutgoingMessage{
			Sequence: uint64(i + 1), Topic: "orders", Value: make([]byte, benchPayload),
		})
	}
	return request
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
					MessageId: benchID, TimestampMs: 1,
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
	request := benchRequest()
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
