// Workerpool has several workers share a subscription. When one dies, the others
// get its partitions. Run it several times at once: the processes share too.
//
//	go run ./workerpool -workers 3
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"sync"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

func main() {
	addr := flag.String("addr", cmp.Or(os.Getenv("MESSAGEPROXY_ADDR"), "localhost:7070"), "address of the proxy")
	workers := flag.Int("workers", 3, "how many workers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, *addr, *workers, func(_ context.Context, worker int, m *messageproxy.Message) error {
		fmt.Printf("worker %d: %s/%d %s\n", worker, m.Topic, m.Partition, m.Value)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}

// run works until ctx ends or no worker is left, and returns why the workers
// died.
func run(ctx context.Context, addr string, workers int, work func(ctx context.Context, worker int, m *messageproxy.Message) error) error {
	client, err := messageproxy.NewClient(addr, messageproxy.WithLogger(slog.Default()))
	if err != nil {
		return err
	}
	defer client.Close()

	died := make([]error, workers)
	var running sync.WaitGroup
	for worker := range workers {
		running.Go(func() {
			handler := func(ctx context.Context, m *messageproxy.Message) error { return work(ctx, worker, m) }
			err := client.Subscription("workerpool-example", "orders").Consume(ctx, handler)
			if err != nil {
				died[worker] = fmt.Errorf("worker %d: %w", worker, err)
				log.Print(died[worker], "; the others take over")
			}
		})
	}
	running.Wait()
	return errors.Join(died...)
}
