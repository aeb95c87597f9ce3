// Demo starts a proxy with an embedded broker and shows what it does: messages
// produced, shared among workers, and taken over when one leaves. It ends with an
// error if anything doesn't add up.
//
//	go run ./demo -messageproxy path/to/messageproxy
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

// patience is how long the whole demo may take.
const patience = 2 * time.Minute

func main() {
	binary := flag.String("messageproxy", "messageproxy", "path of the messageproxy binary")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it took longer than %v", patience))
	defer cancel()
	if err := demo(ctx, *binary, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "\nThe demo failed:", err)
		os.Exit(1)
	}
}

// demo runs the whole story against a proxy of its own.
func demo(ctx context.Context, binary string, out io.Writer) error {
	fmt.Fprintf(out, "Starting a proxy with an embedded broker: messageproxy dev\n")
	proxy, err := startProxy(ctx, binary)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  it listens on %s\n", proxy.addr)

	err = errors.Join(story(ctx, proxy.addr, out), proxy.stop())
	if err != nil {
		return errors.Join(err, fmt.Errorf("the proxy's log:\n%s", proxy.log()))
	}
	fmt.Fprintf(out, "\nThe proxy has stopped cleanly. That's all.\n")
	return nil
}
