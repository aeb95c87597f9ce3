package load

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// slowStep is how often a slow consumer ACKs.
const slowStep = 10 * time.Millisecond

// SlowSpec says how slow to be.
type SlowSpec struct {
	Target       string `json:"target"`
	Topic        string `json:"topic"`
	Subscription string `json:"subscription"`
	Partitions   int    `json:"partitions"`
	ValueBytes   int    `json:"value_bytes"`
	// Rate is how many messages are ACKed a second, for so long.
	Rate     int           `json:"rate"`
	Duration time.Duration `json:"duration"`
}

// SlowResult counts messages.
type SlowResult struct {
	Received int64 `json:"received"`
	ACKed    int64 `json:"acked"`
	Repeated int64 `json:"repeated"`
}

// Slow takes in whatever the server sends, and ACKs it, oldest first, at a steady
// rate.
func Slow(ctx context.Context, spec SlowSpec) (SlowResult, error) {
	conn, err := connect(spec.Target)
	if err != nil {
		return SlowResult{}, err
	}
	defer conn.Close() //nolint:errcheck // there is nothing more to learn from it
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := subscribe(ctx, messageproxyv1.NewMessageProxyClient(conn), spec.Subscription, spec.Topic)
	if err != nil {
		return SlowResult{}, err
	}
	// A server sends no more than its window, so this never fills.
	received := make(chan string, 1_000_000)
	seen := newOrder(spec.Partitions, spec.ValueBytes)
	var result SlowResult
	var work errgroup.Group
	ended := false
	work.Go(func() error {
		defer close(received)
		for {
			response, err := stream.Recv()
			if err != nil {
				return err
			}
			if problem := problemIn(response); problem != nil {
				return fmt.Errorf("the server says: %v", problem)
			}
			n, err := pass(response.GetBatch(), seen, received)
			if result.Received += n; err != nil {
				return err
			}
		}
	})
	work.Go(func() error {
		defer cancel()
		n, err := ackSlowly(ctx, stream, spec, received)
		result.ACKed, ended = n, err == nil
		return err
	})
	if err := work.Wait(); !ended {
		return result, err
	}
	result.Repeated = seen.repeated.Load()
	return result, nil
}

// pass hands on the ids of a batch and counts its messages.
func pass(batch *messageproxyv1.MessageBatch, seen *order, to chan<- string) (n int64, err error) {
	for _, partition := range batch.GetPartitions() {
		for _, message := range partition.GetMessages() {
			if _, err := seen.see(partition.GetPartition(), message.GetValue()); err != nil {
				return n, err
			}
			to <- message.GetId()
			n++
		}
	}
	return n, nil
}

// ackSlowly ACKs what is due by now, as far as it has come.
func ackSlowly(ctx context.Context, stream consumeStream, spec SlowSpec, received <-chan string) (acked int64, err error) {
	ticker := time.NewTicker(slowStep)
	defer ticker.Stop()
	var start time.Time
	for start.IsZero() || time.Since(start) < spec.Duration {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return acked, ctx.Err()
		}
		if start.IsZero() && len(received) == 0 {
			continue // it begins with the first message
		}
		if start.IsZero() {
			start = time.Now()
		}
		ids := upTo(int64(time.Since(start).Seconds()*float64(spec.Rate))-acked, received)
		if len(ids) == 0 {
			continue
		}
		err := stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
			Ack: &messageproxyv1.AckRequest{MessageIds: ids},
		}})
		if err != nil {
			return acked, err
		}
		acked += int64(len(ids))
	}
	return acked, nil
}

// upTo takes what is there, n at most.
func upTo(n int64, received <-chan string) (ids []string) {
	for int64(len(ids)) < n {
		select {
		case id, ok := <-received:
			if !ok {
				return ids
			}
			ids = append(ids, id)
		default:
			return ids
		}
	}
	return ids
}
