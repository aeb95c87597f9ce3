// Consume prints the messages of a topic, until it is interrupted.
//
//	go run ./consume -topic orders -subscription billing
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

func main() {
	addr := flag.String("addr", cmp.Or(os.Getenv("MESSAGEPROXY_ADDR"), "localhost:7070"), "address of the proxy")
	topic := flag.String("topic", "orders", "where the messages come from")
	subscription := flag.String("subscription", "consume-example", "name of the reading position")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr, *topic, *subscription, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run prints messages until ctx ends.
func run(ctx context.Context, addr, topic, subscription string, out io.Writer) error {
	client, err := messageproxy.NewClient(addr, messageproxy.WithLogger(slog.Default()))
	if err != nil {
		return err
	}
	defer client.Close()

	return client.Subscription(subscription, topic).Consume(ctx, func(_ context.Context, m *messageproxy.Message) error {
		_, err := fmt.Fprintf(out, "%s/%d %s: %s\n", m.Topic, m.Partition, m.Key, m.Value)
		return err // nil ACKs the message; an error has it handled again
	}, messageproxy.WithMaxHandlers(1)) // one line at a time
}
