// Pipeline produces an invoice from each order. An order is ACKed only when its
// invoice is stored, so none is lost; after a failure one may be made twice.
//
//	go run ./pipeline
package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

func main() {
	addr := flag.String("addr", cmp.Or(os.Getenv("MESSAGEPROXY_ADDR"), "localhost:7070"), "address of the proxy")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr); err != nil {
		log.Fatal(err)
	}
}

// run makes invoices until ctx ends.
func run(ctx context.Context, addr string) error {
	client, err := messageproxy.NewClient(addr, messageproxy.WithLogger(slog.Default()))
	if err != nil {
		return err
	}
	defer client.Close()

	makeInvoice := func(ctx context.Context, order *messageproxy.Message) error {
		_, err := client.Produce(ctx, &messageproxy.Message{
			Topic:   "invoices",
			Key:     order.Key, // a customer's invoices keep the order of the orders
			Value:   append([]byte("invoice for "), bytes.ToUpper(order.Value)...),
			Headers: []messageproxy.Header{{Key: "order", Value: []byte(order.ID)}}, // tells duplicates
		})
		return err
	}
	// The orders of different customers are handled at the same time, so that their
	// invoices travel together.
	return client.Subscription("pipeline-example", "orders").Consume(ctx, makeInvoice, messageproxy.WithKeyWorkers(64))
}
