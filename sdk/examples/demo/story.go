package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

const (
	topic        = "orders"
	subscription = "billing"
	customers    = 20
	// firstOrders are there before the workers come, moreOrders come afterwards.
	firstOrders, moreOrders = 300, 300
	// work is how long a worker takes over an order.
	work = 5 * time.Millisecond
)

// names are the workers'; leaver is the one that leaves.
var names = []string{"ada", "bob", "cem"}

const leaver = 1

// story tells what a proxy does, by doing it.
func story(ctx context.Context, addr string, out io.Writer) error {
	client, err := messageproxy.NewClient(addr, messageproxy.WithClientName("demo"))
	if err != nil {
		return err
	}
	defer client.Close()

	fmt.Fprintf(out, "\nProducing %d orders of %d customers to the topic %q\n", firstOrders, customers, topic)
	began := time.Now()
	if err := produce(ctx, client, 0, firstOrders, 0); err != nil {
		return err
	}
	fmt.Fprintf(out, "  all stored, in %v\n", time.Since(began).Round(time.Millisecond))

	board := newBoard(names)
	crew := startWorkers(ctx, client, board)
	defer func() { _ = crew.stopAll() }() // it told its errors before
	fmt.Fprintf(out, "\n%s join the subscription %q, which shares the topic's partitions among them\n", strings.Join(names, ", "), subscription)
	if err := board.await(ctx, func() bool { return board.sharedAmong(0, 1, 2) }); err != nil {
		return fmt.Errorf("waiting for the partitions to be shared: %w", err)
	}
	board.printShares(out, 0, 1, 2)

	if err := leaveWhileOrdersCome(ctx, client, board, crew, out); err != nil {
		return err
	}
	if err := board.await(ctx, func() bool { return board.handledLocked() >= firstOrders+moreOrders }); err != nil {
		return fmt.Errorf("waiting for all orders to be handled: %w", err)
	}
	if err := crew.stopAll(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nAll orders are handled\n")
	board.printHandled(out)
	if err := board.check(firstOrders + moreOrders); err != nil {
		return err
	}
	fmt.Fprintf(out, "  %d produced, %d handled: none is missing, none came twice, each customer's are in order\n",
		firstOrders+moreOrders, firstOrders+moreOrders)
	return nil
}

// leaveWhileOrdersCome has one worker leave in the middle of it all.
func leaveWhileOrdersCome(ctx context.Context, client *messageproxy.Client, board *board, crew *crew, out io.Writer) error {
	produced := make(chan error, 1)
	go func() { produced <- produce(ctx, client, firstOrders, moreOrders, time.Second/moreOrders) }()
	if err := board.await(ctx, func() bool { return board.handledLocked() >= firstOrders }); err != nil {
		return errors.Join(fmt.Errorf("waiting for orders to be handled: %w", err), <-produced)
	}
	fmt.Fprintf(out, "\n%s leaves, while %d more orders come\n", names[leaver], moreOrders)
	if err := crew.stop(leaver); err != nil {
		return errors.Join(err, <-produced)
	}
	fmt.Fprintf(out, "  %s has ACKed the %d orders it handled, and is gone; the others take over\n", names[leaver], board.handledBy(leaver))
	if err := board.await(ctx, func() bool { return board.sharedAmong(0, 2) }); err != nil {
		return errors.Join(fmt.Errorf("waiting for the others to take over: %w", err), <-produced)
	}
	board.printShares(out, 0, 2)
	return <-produced
}

// produce produces n orders, the first with number first, with a pause after
// each, and waits until all are stored.
func produce(ctx context.Context, client *messageproxy.Client, first, n int, pause time.Duration) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for i := first; i < first+n && ctx.Err() == nil; i++ {
		order := &messageproxy.Message{Topic: topic, Key: fmt.Appendf(nil, "customer-%d", i%customers), Value: fmt.Append(nil, i)}
		client.ProduceAsync(ctx, order, func(_ messageproxy.Receipt, err error) {
			if err != nil {
				fail(fmt.Errorf("producing order %d: %w", i, err))
			}
		})
		time.Sleep(pause)
	}
	if err := client.Flush(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return context.Cause(ctx)
}
