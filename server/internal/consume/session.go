package consume

import (
	"context"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
)

// The back-off between polls while they fail.
const (
	minPollDelay = 100 * time.Millisecond
	maxPollDelay = 2 * time.Second
)

// session opens a consumer, polls it until ctx ends, and closes it.
func (sub *subscription) session(ctx context.Context, spec coordinator.Spec) {
	cfg := sub.service.cfg
	consumer, err := sub.newConsumer(ctx, broker.ConsumerOptions{
		Subscription:    sub.name,
		Topics:          spec.Topics,
		Start:           spec.Start,
		PartitionWindow: cfg.PartitionWindow,
		HandoverTimeout: cfg.HandoverTimeout,
	})
	if err != nil {
		if ctx.Err() == nil {
			sub.log.Warn("subscription can't be opened at the broker", "error", err)
		}
		sub.post(coordinator.OpenFailed{Err: err})
		return
	}
	sub.post(opened{consumer: consumer})
	sub.poll(ctx, consumer)

	closing, cancel := context.WithTimeout(context.Background(), cfg.CloseTimeout)
	defer cancel()
	if err := sub.close(closing, consumer); err != nil {
		sub.log.Warn("subscription could not be closed cleanly at the broker: messages that were ACKed last may come again",
			"error", err)
	} else {
		sub.log.Info("subscription closed at the broker")
	}
	sub.post(coordinator.Closed{})
}

// poll hands on what the consumer tells, until ctx ends.
func (sub *subscription) poll(ctx context.Context, consumer broker.Consumer) {
	var delay time.Duration // not 0 while polls fail
	for {
		events, err := sub.pollMessages(ctx, consumer)
		if len(events) > 0 {
			bytes := bytesOf(events)
			sub.service.budget.add(bytes) // at once: the loop may be long in coming
			sub.post(polled{coordinator.Polled{Events: events}, bytes})
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && delay > 0:
			delay = 0
			sub.log.Info("messages are received again")
			sub.post(coordinator.PollRecovered{})
		case err != nil:
			if delay == 0 {
				sub.log.Warn("messages can't be received", "error", err)
			}
			sub.post(coordinator.PollFailed{Err: err})
			if !broker.IsRetryable(err) {
				<-ctx.Done() // the coordinator gives this consumer up
				return
			}
			delay = min(max(2*delay, minPollDelay), maxPollDelay)
			wait(ctx, delay)
		}
	}
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
