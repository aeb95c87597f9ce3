package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal returns a context that ends at the first signal to stop. At the
// second, the process exits at once. release ends both.
func untilSignal(parent context.Context, log *slog.Logger) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	released := make(chan struct{})
	go func() {
		first, ok := nextSignal(signals, released)
		if !ok {
			return
		}
		log.Info("stopping; another signal stops at once", "signal", first.String())
		cancel()
		if second, ok := nextSignal(signals, released); ok {
			log.Error("stopped at once: what was under way is cut off", "signal", second.String())
			os.Exit(exitFailure)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(released)
		cancel()
	}
}

func nextSignal(signals <-chan os.Signal, released <-chan struct{}) (os.Signal, bool) {
	select {
	case s := <-signals:
		return s, true
	case <-released:
		return nil, false
	}
}
