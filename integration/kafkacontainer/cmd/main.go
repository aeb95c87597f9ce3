// Command cmd runs a Kafka in a container until its standard input ends, and says on
// standard output where it listens: for programs that need one and are not tests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/messageproxy/messageproxy/integration/kafkacontainer"
)

func main() {
	peakSpeed := flag.Bool("peak-speed", false, "run Kafka as fast as it can, as in production")
	hostNetwork := flag.Bool("host-network", false, "have Kafka listen on this machine's loopback itself, without Docker's relay (Docker on this machine's own Linux)")
	flag.Parse()
	if err := run(kafkacontainer.Options{PeakSpeed: *peakSpeed, HostNetwork: *hostNetwork}); err != nil {
		fmt.Fprintln(os.Stderr, "kafka:", err)
		os.Exit(1)
	}
}

func run(options kafkacontainer.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until it ends
		stop()
	}()
	kafka, err := kafkacontainer.Start(ctx, options)
	if err != nil {
		return err
	}
	_, err = fmt.Println("listening on " + strings.Join(kafka.Brokers(), ","))
	if err == nil {
		<-ctx.Done()
	}
	cleanup, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(err, kafka.Terminate(cleanup))
}
