// Command kafkaimage makes sure that Docker has a Kafka image for tests, and
// prints its name. What it does meanwhile goes to standard error.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/messageproxy/messageproxy/tools/kafkaimage"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "kafkaimage:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	image, err := kafkaimage.Ensure(ctx, func(line string) { fmt.Fprintln(os.Stderr, "kafkaimage:", line) })
	if err != nil {
		return err
	}
	fmt.Println(image.Name)
	return nil
}
