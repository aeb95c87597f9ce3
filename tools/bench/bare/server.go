// Package bare is a gRPC server with the proxy's wire contract and nothing behind it:
// it answers each produced message, and has messages without end for consumers, who
// have to ACK them. What it costs is what the protocol costs.
package bare

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/tools/bench/room"
)

const (
	// PartitionsPerStream is how many partitions each Consume stream has of its own:
	// the first has those from 0 on, the next goes on after them.
	PartitionsPerStream = 8

	// idChars is the length of the ids of the proxy's Kafka backend.
	idChars = 38
)

// Options say what the server does.
type Options struct {
	// Frame is how many messages it sends in a response, Window how many a consumer
	// may have without having ACKed them. Window is a multiple of Frame.
	Frame, Window int
	// ValueBytes is the size of the values that it sends.
	ValueBytes int
}

// Register adds the server to registrar. Its options are those of grpc-go.
func Register(registrar grpc.ServiceRegistrar, options Options) {
	messageproxyv1.RegisterMessageProxyServer(registrar, &server{options: options})
}

type server struct {
	messageproxyv1.UnimplementedMessageProxyServer
	options Options
	streams atomic.Int32 // Consume streams so far
}

func (s *server) Produce(stream grpc.BidiStreamingServer[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse]) error {
	id := strings.Repeat("i", idChars)
	response := &messageproxyv1.ProduceResponse{}
	var spare []*messageproxyv1.ProduceResult
	for {
		request, err := stream.Recv()
		if err != nil {
			return ignoreEOF(err)
		}
		for len(spare) < len(request.GetMessages()) {
			spare = append(spare, &messageproxyv1.ProduceResult{Outcome: &messageproxyv1.ProduceResult_Receipt{
				Receipt: &messageproxyv1.MessageReceipt{MessageId: id, Partition: 1, TimestampMs: 1_800_000_000_000},
			}})
		}
		response.Results = spare[:len(request.GetMessages())]
		for i, message := range request.GetMessages() {
			response.Results[i].Sequence = message.GetSequence()
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

func (s *server) Consume(stream grpc.BidiStreamingServer[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]) error {
	request, err := stream.Recv()
	if err != nil {
		return ignoreEOF(err)
	}
	topics := request.GetSubscribe().GetTopics()
	if len(topics) != 1 {
		return fmt.Errorf("subscribe to one topic first, not to %d", len(topics))
	}
	err = stream.Send(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Subscribed{
		Subscribed: &messageproxyv1.Subscribed{MaxUnackedMessages: uint32(s.options.Window)},
	}})
	if err != nil {
		return err
	}
	number := s.streams.Add(1) - 1
	unacked := room.New(s.options.Window)
	received := make(chan error, 1)
	go func() { received <- receiveACKs(stream, unacked) }()
	if err := s.sendMessages(stream, unacked, topics[0], number*PartitionsPerStream); err != nil {
		return err
	}
	return <-received
}

// sendMessages sends while there is room, until the consumer is gone.
func (s *server) sendMessages(stream grpc.BidiStreamingServer[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse], unacked *room.Room, topic string, first int32) error {
	if !unacked.Take(s.options.Frame) {
		return nil // an idle consumer has nothing but its stream
	}
	messages := make([]*messageproxyv1.Message, s.options.Frame)
	for i := range messages {
		messages[i] = &messageproxyv1.Message{
			Id: strings.Repeat("i", idChars), Value: make([]byte, s.options.ValueBytes),
			TimestampMs: 1_800_000_000_000, DeliveryAttempt: 1,
		}
	}
	partition := &messageproxyv1.PartitionMessages{Topic: topic, Messages: messages}
	response := &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Batch{
		Batch: &messageproxyv1.MessageBatch{Partitions: []*messageproxyv1.PartitionMessages{partition}},
	}}
	var next [PartitionsPerStream]uint64
	for turn := 0; turn == 0 || unacked.Take(len(messages)); turn++ {
		p := turn % PartitionsPerStream
		partition.Partition = first + int32(p)
		for _, message := range messages {
			binary.BigEndian.PutUint64(message.Value, next[p])
			next[p]++
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
	return nil
}

func receiveACKs(stream grpc.BidiStreamingServer[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse], unacked *room.Room) error {
	defer unacked.Close()
	for {
		request, err := stream.Recv()
		if err != nil {
			return ignoreEOF(err)
		}
		unacked.Give(len(request.GetAck().GetMessageIds()))
	}
}

// ignoreEOF is for a client that has half-closed.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
