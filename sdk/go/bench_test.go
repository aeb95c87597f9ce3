package messageproxy_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// These benchmarks compare the SDK with the generated stubs, used by hand with
// frames of rawFrame messages, over a service that does nothing, in memory. The
// metric x-raw is how many times as long the SDK takes.

const (
	rawFrame    = 100
	benchWindow = 1000
)

// bareService answers and delivers as fast as it can.
type bareService struct {
	messageproxyv1.UnimplementedMessageProxyServer
}

// Produce answers each request in one response.
func (bareService) Produce(stream produceServer) error {
	for {
		request, err := stream.Recv()
		if err != nil {
			return nil
		}
		results := make([]messageproxyv1.ProduceResult, len(request.GetMessages()))
		response := &messageproxyv1.ProduceResponse{Results: make([]*messageproxyv1.ProduceResult, len(results))}
		receipt := &messageproxyv1.ProduceResult_Receipt{Receipt: &messageproxyv1.MessageReceipt{MessageId: "orders/0/123456"}}
		for i, m := range request.GetMessages() {
			results[i].Sequence, results[i].Outcome = m.GetSequence(), receipt
			response.Results[i] = &results[i]
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

// Consume keeps benchWindow messages of 8 partitions with the client.
func (bareService) Consume(stream consumeServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	responses := make([]*messageproxyv1.ConsumeResponse, 8)
	for p := range responses {
		messages := make([]*messageproxyv1.Message, rawFrame)
		for i := range messages {
			messages[i] = &messageproxyv1.Message{Id: "orders/0/123456", Key: make([]byte, 8), Value: make([]byte, 100)}
		}
		responses[p] = batchOf(&messageproxyv1.PartitionMessages{Topic: "orders", Partition: int32(p), Messages: messages})
	}
	for held, next := 0, 0; ; next++ {
		for held > benchWindow-rawFrame {
			request, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			held -= len(request.GetAck().GetMessageIds())
		}
		if err := stream.Send(responses[next%len(responses)]); err != nil {
			return err
		}
		held += rawFrame
	}
}

// startBare serves a bareService and returns a dialer and a client.
func startBare(b *testing.B) (*messageproxy.Client, messageproxyv1.MessageProxyClient) {
	b.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(math.MaxInt32))
	messageproxyv1.RegisterMessageProxyServer(server, bareService{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	dial := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) })
	client, err := messageproxy.NewClient("passthrough:///bare", messageproxy.WithDialOptions(dial), messageproxy.WithMaxOutstanding(benchWindow, 64<<20))
	if err != nil {
		b.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///bare", dial, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = client.Close()
		_ = conn.Close()
		server.Stop()
		serving.Wait()
	})
	return client, messageproxyv1.NewMessageProxyClient(conn)
}

// reportRatio reports how many times as long n messages took as they do by hand.
func reportRatio(b *testing.B, n int, raw func(n int) error) {
	b.Helper()
	elapsed := b.Elapsed()
	began := time.Now()
	if err := raw(n); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(elapsed)/float64(time.Since(began)), "x-raw")
	b.ReportMetric(float64(n)/elapsed.Seconds(), "msg/s")
}

func BenchmarkProduceAsync(b *testing.B) {
	client, stub := startBare(b)
	m := &messageproxy.Message{Topic: "orders", Key: make([]byte, 8), Value: make([]byte, 100)}
	check := func(_ messageproxy.Receipt, err error) {
		if err != nil {
			b.Error(err)
		}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		client.ProduceAsync(b.Context(), m, check)
		n++
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	reportRatio(b, n, func(n int) error { return rawProduce(b.Context(), stub, n) })
}

func BenchmarkProduceFrom100Goroutines(b *testing.B) {
	client, stub := startBare(b)
	m := &messageproxy.Message{Topic: "orders", Key: make([]byte, 8), Value: make([]byte, 100)}
	b.ReportAllocs()
	b.SetParallelism(100)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := client.Produce(b.Context(), m); err != nil {
				b.Error(err)
			}
		}
	})
	reportRatio(b, b.N, func(n int) error { return rawProduce(b.Context(), stub, n) })
}

// rawProduce produces n messages by hand.
func rawProduce(ctx context.Context, stub messageproxyv1.MessageProxyClient, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := stub.Produce(ctx)
	if err != nil {
		return err
	}
	window := make(chan struct{}, benchWindow/rawFrame)
	received := make(chan error, 1)
	go func() {
		for answered := 0; answered < n; {
			response, err := stream.Recv()
			if err != nil {
				received <- err
				return
			}
			answered += len(response.GetResults())
			<-window
		}
		received <- nil
	}()
	for sent := 0; sent < n; {
		messages := make([]messageproxyv1.OutgoingMessage, min(rawFrame, n-sent))
		request := &messageproxyv1.ProduceRequest{}
		for i := range messages {
			sent++
			messages[i].Sequence, messages[i].Topic = uint64(sent), "orders"
			messages[i].Key, messages[i].Value = make([]byte, 8), make([]byte, 100)
			request.Messages = append(request.Messages, &messages[i])
		}
		window <- struct{}{}
		if err := stream.Send(request); err != nil {
			return err
		}
	}
	return <-received
}

func BenchmarkConsume(b *testing.B) {
	client, stub := startBare(b)
	ctx, cancel := context.WithCancel(b.Context())
	handled := make(chan struct{}, benchWindow)
	done := make(chan error, 1)
	go func() {
		done <- client.Subscription("s", "orders").Consume(ctx, func(context.Context, *messageproxy.Message) error {
			select {
			case handled <- struct{}{}:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	<-handled
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		<-handled
		n++
	}
	reportRatioAfter(b, n, cancel, done, stub)
}

// reportRatioAfter ends the consumer before the raw one begins.
func reportRatioAfter(b *testing.B, n int, cancel func(), done <-chan error, stub messageproxyv1.MessageProxyClient) {
	b.Helper()
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	reportRatio(b, n, func(n int) error { return rawConsume(b.Context(), stub, n) })
}

// rawConsume consumes n messages by hand, and hands each over as the SDK's
// benchmark does.
func rawConsume(ctx context.Context, stub messageproxyv1.MessageProxyClient, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := stub.Consume(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{Subscribe: &messageproxyv1.SubscribeRequest{}}}); err != nil {
		return err
	}
	handled := make(chan struct{}, benchWindow)
	go func() {
		for range n {
			<-handled
		}
	}()
	for received := 0; received < n; {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		ack := &messageproxyv1.AckRequest{}
		for _, p := range response.GetBatch().GetPartitions() {
			for _, m := range p.GetMessages() {
				if received++; received <= n {
					handled <- struct{}{}
				}
				ack.MessageIds = append(ack.MessageIds, m.GetId())
			}
		}
		if err := stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{Ack: ack}}); err != nil {
			return err
		}
	}
	return nil
}
