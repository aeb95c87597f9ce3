package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/tools/bench/process"
)

const (
	// StreamsPerConnection is how many streams share a connection when there are very
	// many.
	StreamsPerConnection = 100

	// Memory has settled when so many steps hardly change it. An idle server collects
	// its garbage meanwhile.
	settleSteps = 10
	settleMost  = 60 // steps to wait for that
	settled     = 0.01
)

// IdleSpec says which idle streams to open.
type IdleSpec struct {
	Target       string `json:"target"`
	PID          int    `json:"pid"` // of the server
	Consumers    bool   `json:"consumers"`
	Topic        string `json:"topic"`
	Subscription string `json:"subscription"`
	Streams      int    `json:"streams"`
	// Step is how often the memory is looked at: it has settled when it stays the same
	// for some steps.
	Step    time.Duration `json:"step"`
	Timeout time.Duration `json:"timeout"`
}

// IdleResult is the memory in bytes that the server had with the first stream, and
// with all of them, when it had settled.
type IdleResult struct {
	First   int64 `json:"first_bytes"`
	Settled int64 `json:"settled_bytes"`
	Peak    int64 `json:"peak_bytes"`
}

// Idle opens streams that then do nothing. A consumer has been told its partitions,
// a producer has had a message stored.
func Idle(ctx context.Context, spec IdleSpec) (IdleResult, error) {
	ctx, cancel := context.WithTimeout(ctx, spec.Timeout)
	defer cancel()
	streams := idleStreams{spec: spec}
	defer streams.close()
	if err := streams.open(ctx, 1); err != nil {
		return IdleResult{}, fmt.Errorf("the first stream: %w", err)
	}
	first, err := awaitSettled(ctx, spec)
	if err != nil {
		return IdleResult{}, err
	}
	if err := streams.open(ctx, spec.Streams); err != nil {
		return IdleResult{}, fmt.Errorf("stream %d: %w", streams.count+1, err)
	}
	all, err := awaitSettled(ctx, spec)
	return IdleResult{First: first.Resident, Settled: all.Resident, Peak: all.Peak}, err
}

// awaitSettled waits until the server's memory hardly changes.
func awaitSettled(ctx context.Context, spec IdleSpec) (process.Usage, error) {
	ticker := time.NewTicker(spec.Step)
	defer ticker.Stop()
	var recent []process.Usage
	for range settleMost {
		usage, err := process.ReadUsage(spec.PID)
		if err != nil {
			return usage, err
		}
		recent = append(recent, usage)
		if n := len(recent); n > settleSteps {
			before := recent[n-1-settleSteps].Resident
			if math.Abs(float64(usage.Resident-before)) <= settled*float64(before) {
				return usage, nil
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return usage, ctx.Err()
		}
	}
	return recent[len(recent)-1], nil
}

// idleStreams are open streams and their connections.
type idleStreams struct {
	spec        IdleSpec
	count       int
	connections []*grpc.ClientConn
	readers     errgroup.Group
}

func (s *idleStreams) open(ctx context.Context, until int) error {
	for s.count < until {
		if s.count/StreamsPerConnection == len(s.connections) {
			conn, err := connect(s.spec.Target)
			if err != nil {
				return err
			}
			s.connections = append(s.connections, conn)
		}
		client := messageproxyv1.NewMessageProxyClient(s.connections[len(s.connections)-1])
		open := s.openProducer
		if s.spec.Consumers {
			open = s.openConsumer
		}
		if err := open(ctx, client); err != nil {
			return err
		}
		s.count++
	}
	return nil
}

func (s *idleStreams) openProducer(ctx context.Context, client messageproxyv1.MessageProxyClient) error {
	stream, err := client.Produce(ctx)
	if err != nil {
		return err
	}
	err = stream.Send(&messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{
		{Sequence: 1, Topic: s.spec.Topic, Value: make([]byte, 100)},
	}})
	if err != nil {
		return err
	}
	response, err := stream.Recv()
	if err == nil && (len(response.GetResults()) != 1 || response.GetResults()[0].GetReceipt() == nil) {
		err = fmt.Errorf("not a receipt: %v", response)
	}
	return err
}

func (s *idleStreams) openConsumer(ctx context.Context, client messageproxyv1.MessageProxyClient) error {
	stream, err := subscribe(ctx, client, s.spec.Subscription, s.spec.Topic)
	if err != nil {
		return err
	}
	response, err := stream.Recv()
	if err == nil && response.GetSubscribed() == nil {
		err = errors.New("the first response doesn't say that the client is subscribed")
	}
	// What the server says later, as who owns which partitions, is read as it comes.
	s.readers.Go(func() error {
		for {
			if _, err := stream.Recv(); err != nil {
				return err
			}
		}
	})
	return err
}

func (s *idleStreams) close() {
	for _, connection := range s.connections {
		_ = connection.Close() // there is nothing more to learn from it
	}
	_ = s.readers.Wait()
}
