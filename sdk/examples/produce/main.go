// Produce makes a message of each line of its standard input.
//
//	seq 1000 | go run ./produce -topic orders
package main

import (
	"bufio"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"sync/atomic"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

func main() {
	addr := flag.String("addr", cmp.Or(os.Getenv("MESSAGEPROXY_ADDR"), "localhost:7070"), "address of the proxy")
	topic := flag.String("topic", "orders", "where the messages go")
	flag.Parse()
	stored, err := run(context.Background(), *addr, *topic, os.Stdin)
	fmt.Println(stored, "messages stored")
	if err != nil {
		log.Fatal(err)
	}
}

// run produces the lines and returns how many are stored.
func run(ctx context.Context, addr, topic string, lines io.Reader) (int64, error) {
	client, err := messageproxy.NewClient(addr, messageproxy.WithLogger(slog.Default()))
	if err != nil {
		return 0, err
	}
	defer client.Close()

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var stored atomic.Int64
	scanner := bufio.NewScanner(lines)
	for scanner.Scan() && ctx.Err() == nil {
		m := &messageproxy.Message{Topic: topic, Value: scanner.Bytes()}
		client.ProduceAsync(ctx, m, func(_ messageproxy.Receipt, err error) {
			if err != nil {
				fail(err) // ends the rest too
				return
			}
			stored.Add(1)
		})
	}
	if err := client.Flush(context.WithoutCancel(ctx)); err != nil {
		return stored.Load(), err
	}
	return stored.Load(), cmp.Or(context.Cause(ctx), scanner.Err())
}
