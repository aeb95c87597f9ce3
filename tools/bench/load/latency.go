package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/tools/bench/stats"
)

// Means is by what a latency is measured.
type Means string

// The means.
const (
	ByDirect     Means = "direct"
	ByBareDirect Means = "bare_direct" // to the bare server and back, and then direct
	ByStubs      Means = "stubs"
	BySDK        Means = "sdk"
)

// latencyPatience is how long the last messages may take.
const latencyPatience = 20 * time.Second

// LatencySpec says what to send, and how often.
type LatencySpec struct {
	Means        Means    `json:"means"`
	Kafka        []string `json:"kafka"`
	Target       string   `json:"target"`
	Topic        string   `json:"topic"`
	Subscription string   `json:"subscription"`
	ValueBytes   int      `json:"value_bytes"`
	// Rate is in messages a second. Warmup messages come before the Messages that are
	// measured.
	Rate     int           `json:"rate"`
	Warmup   int           `json:"warmup"`
	Messages int           `json:"messages"`
	Timeout  time.Duration `json:"timeout"`
}

// LatencyResult has the time from when a message was to be sent until a consumer had
// it, in milliseconds.
type LatencyResult struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

// Latency sends messages at a steady rate and receives them. A message's time counts
// from when it was due by the schedule, whether or not the sender was late: what
// holds up the sender holds up messages, and is not left out.
func Latency(ctx context.Context, spec LatencySpec) (LatencyResult, error) {
	ctx, cancel := context.WithTimeout(ctx, spec.Timeout)
	defer cancel()
	means := map[Means]func(context.Context, LatencySpec, *schedule) error{
		ByDirect: latencyDirect, ByBareDirect: latencyBareDirect, ByStubs: latencyStubs, BySDK: latencySDK,
	}[spec.Means]
	if means == nil {
		return LatencyResult{}, fmt.Errorf("there are no means %q", spec.Means)
	}
	s := newSchedule(spec)
	if err := means(ctx, spec, s); err != nil {
		return LatencyResult{}, fmt.Errorf("%w, after %d of %d messages", err, s.received.Load(), len(s.took))
	}
	return s.result(spec.Warmup), nil
}

// tick is how often messages are sent at most: those that are due between two ticks go
// together, at the later one.
const tick = time.Millisecond

// primer is the index of the message that shows that the consumer is ready.
const primer = -1

// schedule says when each message is due, and notes when it comes.
type schedule struct {
	interval time.Duration
	start    time.Time // set before the first message is sent
	text     *values

	// took has the time that each message took; 0 until it comes. Each is written
	// once, by who receives it, and read when all is closed.
	took     []atomic.Int64
	received atomic.Int64
	primed   chan struct{} // receives when a primer comes
	all      chan struct{} // closed when every message has come
}

func newSchedule(spec LatencySpec) *schedule {
	return &schedule{
		interval: time.Second / time.Duration(spec.Rate),
		text:     newValues(spec.ValueBytes, 1),
		took:     make([]atomic.Int64, spec.Warmup+spec.Messages),
		primed:   make(chan struct{}, 1),
		all:      make(chan struct{}),
	}
}

// note takes in a message that has come.
func (s *schedule) note(value []byte) {
	now, index := time.Now(), int64(binary.BigEndian.Uint64(value))
	if index == primer {
		select {
		case s.primed <- struct{}{}:
		default:
		}
		return
	}
	took := now.Sub(s.start) - time.Duration(index)*s.interval
	if s.took[index].CompareAndSwap(0, int64(max(took, 1))) && s.received.Add(1) == int64(len(s.took)) {
		close(s.all)
	}
}

// send sends a primer, waits until it has come, and then sends the messages when they
// are due: all that are at once. It returns when all have come.
func (s *schedule) send(ctx context.Context, sendAll func(ctx context.Context, values [][]byte) error) error {
	if err := sendAll(ctx, [][]byte{s.text.indexed(primer)}); err != nil {
		return err
	}
	select {
	case <-s.primed:
	case <-ctx.Done():
		return errors.New("the first message did not come")
	}
	s.start = time.Now()
	var due [][]byte
	for next := 0; next < len(s.took); {
		sleepUntil(s.start.Add((time.Duration(next)*s.interval + tick - 1).Truncate(tick)))
		for elapsed := time.Since(s.start); next < len(s.took) && time.Duration(next)*s.interval <= elapsed; next++ {
			due = append(due, s.text.indexed(int64(next)))
		}
		if err := sendAll(ctx, due); err != nil {
			return err
		}
		due = due[:0]
	}
	select {
	case <-s.all:
		return nil
	case <-time.After(latencyPatience):
		return errors.New("messages did not come")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// result leaves out the first messages.
func (s *schedule) result(warmup int) LatencyResult {
	sorted := make([]float64, 0, len(s.took)-warmup)
	for i := warmup; i < len(s.took); i++ {
		sorted = append(sorted, float64(s.took[i].Load())/float64(time.Millisecond))
	}
	slices.Sort(sorted)
	return LatencyResult{
		P50:  stats.Percentile(sorted, 0.5),
		P99:  stats.Percentile(sorted, 0.99),
		P999: stats.Percentile(sorted, 0.999),
		Max:  stats.Percentile(sorted, 1),
	}
}

// together runs a receiver until the sender has returned.
func together(ctx context.Context, receive, send func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	work, ctx := errgroup.WithContext(ctx)
	sent := false
	work.Go(func() error {
		defer cancel()
		err := send(ctx)
		sent = err == nil
		return err
	})
	work.Go(func() error { return receive(ctx) })
	if err := work.Wait(); !sent {
		return errors.Join(err, ctx.Err())
	}
	return nil // however the receiver was ended
}

func latencyDirect(ctx context.Context, spec LatencySpec, s *schedule) error {
	return direct(spec, s, func(produce func(context.Context, []byte), receive func(context.Context) error) error {
		return together(ctx, receive, func(ctx context.Context) error {
			return s.send(ctx, func(ctx context.Context, values [][]byte) error {
				for _, value := range values {
					produce(ctx, value)
				}
				return nil // whatever isn't stored doesn't come
			})
		})
	})
}

// direct runs work with clients of Kafka, one that produces, and one whose messages are
// noted while receive runs.
func direct(spec LatencySpec, s *schedule, work func(produce func(context.Context, []byte), receive func(context.Context) error) error) error {
	consumer, commits, err := joinGroup(spec.Kafka, spec.Subscription, spec.Topic)
	if err != nil {
		return err
	}
	defer consumer.Close()
	producer, err := kgo.NewClient(kgo.SeedBrokers(spec.Kafka...), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer producer.Close()
	produce := func(ctx context.Context, value []byte) {
		producer.Produce(ctx, &kgo.Record{Topic: spec.Topic, Value: value}, nil)
	}
	receive := func(ctx context.Context) error {
		defer commits.running.Wait()
		for {
			fetches := consumer.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				return err
			}
			fetches.EachRecord(func(r *kgo.Record) { s.note(r.Value) })
			commits.handled(ctx, consumer, fetches.NumRecords())
		}
	}
	return work(produce, receive)
}

func latencyStubs(ctx context.Context, spec LatencySpec, s *schedule) error {
	consuming, err := connect(spec.Target)
	if err != nil {
		return err
	}
	defer consuming.Close() //nolint:errcheck // everything has come
	return produceOnStream(ctx, spec, s, func(ctx context.Context, produce produceStream) error {
		consume, err := subscribe(ctx, messageproxyv1.NewMessageProxyClient(consuming), spec.Subscription, spec.Topic)
		if err != nil {
			return err
		}
		work := errgroup.Group{}
		work.Go(func() error { return receiveAndACK(consume, s) })
		work.Go(func() error { return receiveResults(produce, func(uint64) {}) })
		return work.Wait()
	})
}

// latencyBareDirect produces a message direct when its receipt has come from the bare
// server: so it goes over as many hops as one that the proxy takes and delivers, with
// nothing of a proxy on the way.
func latencyBareDirect(ctx context.Context, spec LatencySpec, s *schedule) error {
	return direct(spec, s, func(produce func(context.Context, []byte), receive func(context.Context) error) error {
		text := newValues(spec.ValueBytes, 1)
		return produceOnStream(ctx, spec, s, func(ctx context.Context, stream produceStream) error {
			work := errgroup.Group{}
			work.Go(func() error { return receive(ctx) })
			work.Go(func() error {
				return receiveResults(stream, func(sequence uint64) { produce(ctx, text.indexed(primer+int64(sequence-1))) })
			})
			return work.Wait()
		})
	})
}

// produceOnStream sends the messages, numbered from 1, on a stream with a connection of its
// own, while receive runs. When all have come it ends receive's context, and the stream.
func produceOnStream(ctx context.Context, spec LatencySpec, s *schedule, receive func(context.Context, produceStream) error) error {
	conn, err := connect(spec.Target)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // everything has come
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	produce, err := messageproxyv1.NewMessageProxyClient(conn).Produce(ctx)
	if err != nil {
		return err
	}
	sequence := uint64(0)
	return together(ctx, func(context.Context) error { return receive(ctx, produce) }, func(ctx context.Context) error {
		defer cancel()
		return s.send(ctx, func(_ context.Context, values [][]byte) error {
			request := &messageproxyv1.ProduceRequest{}
			for _, value := range values {
				sequence++
				request.Messages = append(request.Messages, &messageproxyv1.OutgoingMessage{Sequence: sequence, Topic: spec.Topic, Value: value})
			}
			return produce.Send(request)
		})
	})
}

func receiveAndACK(stream consumeStream, s *schedule) error {
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		var ids []string
		for _, partition := range response.GetBatch().GetPartitions() {
			for _, message := range partition.GetMessages() {
				s.note(message.GetValue())
				ids = append(ids, message.GetId())
			}
		}
		if len(ids) == 0 {
			continue
		}
		err = stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
			Ack: &messageproxyv1.AckRequest{MessageIds: ids},
		}})
		if err != nil {
			return err
		}
	}
}

func receiveResults(stream produceStream, stored func(sequence uint64)) error {
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, result := range response.GetResults() {
			if result.GetReceipt() == nil {
				return fmt.Errorf("a message was not stored: %v", result.GetError())
			}
			stored(result.GetSequence())
		}
	}
}

func latencySDK(ctx context.Context, spec LatencySpec, s *schedule) error {
	client, err := messageproxy.NewClient(spec.Target)
	if err != nil {
		return err
	}
	receive := func(ctx context.Context) error {
		return client.Subscription(spec.Subscription, spec.Topic).Consume(ctx, func(_ context.Context, m *messageproxy.Message) error {
			s.note(m.Value)
			return nil
		})
	}
	err = together(ctx, receive, func(ctx context.Context) error {
		return s.send(ctx, func(ctx context.Context, values [][]byte) error {
			for _, value := range values {
				client.ProduceAsync(ctx, &messageproxy.Message{Topic: spec.Topic, Value: value}, nil)
			}
			return nil // whatever isn't stored doesn't come
		})
	})
	return errors.Join(err, client.Close())
}
