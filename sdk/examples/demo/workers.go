package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// crew are the running workers.
type crew struct {
	leave []context.CancelFunc
	ended []chan error
}

// startWorkers has each worker consume, on a connection of its own.
func startWorkers(ctx context.Context, client *messageproxy.Client, board *board) *crew {
	c := &crew{}
	for worker := range names {
		ctx, leave := context.WithCancel(ctx)
		ended := make(chan error, 1)
		c.leave = append(c.leave, leave)
		c.ended = append(c.ended, ended)
		go func() {
			handler := func(_ context.Context, m *messageproxy.Message) error { return handle(board, worker, m) }
			observe := messageproxy.WithObserver(func(e messageproxy.Event) { board.observe(worker, e) })
			ended <- client.Subscription(subscription, topic).Consume(ctx, handler, observe)
			close(ended)
		}()
	}
	return c
}

// handle is what a worker does with an order.
func handle(board *board, worker int, m *messageproxy.Message) error {
	order, err := strconv.Atoi(string(m.Value))
	if err != nil {
		return fmt.Errorf("this is not an order: %w", err)
	}
	time.Sleep(work)
	board.handle(worker, string(m.Key), order)
	return nil
}

// stop has a worker leave, and waits until it has.
func (c *crew) stop(worker int) error {
	c.leave[worker]()
	if err := <-c.ended[worker]; err != nil {
		return fmt.Errorf("%s: %w", names[worker], err)
	}
	return nil
}

// stopAll has all workers leave. It may be called twice.
func (c *crew) stopAll() error {
	for _, leave := range c.leave {
		leave()
	}
	var errs []error
	for worker := range c.ended {
		errs = append(errs, c.stop(worker))
	}
	return errors.Join(errs...)
}
