package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/tools/bench/room"
)

// receiveWindow is that of the Go SDK, in bytes. By default gRPC finds one out with pings,
// one for most of what is received, which cost a tenth of a client's processor time.
const receiveWindow = 16 << 20

// connect makes a connection with gRPC's defaults, but for the window and the limit on
// what is received: SDKs have none either.
func connect(target string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(receiveWindow),
		grpc.WithStaticConnWindowSize(receiveWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
}

// onConnections runs a client on each of so many connections.
func onConnections(ctx context.Context, spec Spec, client func(context.Context, messageproxyv1.MessageProxyClient, int) error) error {
	work, ctx := errgroup.WithContext(ctx)
	for number := range spec.Clients {
		work.Go(func() error {
			conn, err := connect(spec.Target)
			if err != nil {
				return err
			}
			err = client(ctx, messageproxyv1.NewMessageProxyClient(conn), number)
			return errors.Join(err, conn.Close())
		})
	}
	return work.Wait()
}

func streamProduce(ctx context.Context, spec Spec, m *meter) (counts, error) {
	err := onConnections(ctx, spec, func(ctx context.Context, client messageproxyv1.MessageProxyClient, number int) error {
		stream, err := client.Produce(ctx)
		if err != nil {
			return err
		}
		p := streamProducer{spec: spec, stream: stream, meter: m, share: spec.share(number), room: room.New(spec.Outstanding)}
		return p.run(newValues(spec.ValueBytes, uint64(number)))
	})
	return counts{done: m.total.Load()}, err
}

type produceStream = grpc.BidiStreamingClient[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse]

// streamProducer sends full frames while there is room for one, and takes in results
// at the same time.
type streamProducer struct {
	spec   Spec
	stream produceStream
	meter  *meter
	share  int64
	room   *room.Room
}

func (p *streamProducer) run(values *values) error {
	var sending errgroup.Group
	sending.Go(func() error { return p.send(values) })
	err := p.receive()
	p.room.Close()
	return errors.Join(err, sending.Wait())
}

func (p *streamProducer) send(values *values) error {
	frame := make([]messageproxyv1.OutgoingMessage, p.spec.Frame)
	request := &messageproxyv1.ProduceRequest{}
	for sequence := int64(1); sequence <= p.share; {
		n := int(min(int64(p.spec.Frame), p.share-sequence+1))
		if !p.room.Take(n) {
			return nil // receive says why
		}
		request.Messages = request.Messages[:0]
		for i := range n {
			message := &frame[i]
			message.Sequence, message.Topic, message.Value = uint64(sequence), p.spec.Topic, values.value()
			request.Messages = append(request.Messages, message)
			sequence++
		}
		// A sent frame is encoded when Send returns, so its messages can be used again.
		if err := p.stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
			return err // at io.EOF, receive says why
		}
	}
	return p.stream.CloseSend()
}

func (p *streamProducer) receive() error {
	answered := make([]bool, p.share+1)
	left := p.share
	for {
		response, err := p.stream.Recv()
		if errors.Is(err, io.EOF) && left == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%d messages without a result: %w", left, err)
		}
		for _, result := range response.GetResults() {
			sequence := result.GetSequence()
			if result.GetReceipt() == nil || sequence > uint64(p.share) || answered[sequence] {
				return fmt.Errorf("not the receipt of a message: %v", result)
			}
			answered[sequence] = true
		}
		n := len(response.GetResults())
		left -= int64(n)
		p.room.Give(n)
		p.meter.add(n)
	}
}
