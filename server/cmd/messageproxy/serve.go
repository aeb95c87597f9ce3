package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"github.com/messageproxy/messageproxy/broker"
	kafka "github.com/messageproxy/messageproxy/broker-kafka"
	"github.com/messageproxy/messageproxy/server"
	"github.com/messageproxy/messageproxy/server/internal/config"
	"github.com/messageproxy/messageproxy/server/memory"
)

func newServeCommand(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve messages of a Kafka cluster",
		Long: `Serve messages of a Kafka cluster until a signal (SIGTERM or SIGINT) says to stop.
Then what was accepted is finished, within --drain-timeout, and the exit code is
0. A second signal stops at once.

` + settingsHelp,
		Example: "  messageproxy serve --kafka-brokers kafka-1:9092,kafka-2:9092",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := p.load(cmd, config.Serve)
			if err != nil {
				return err
			}
			return p.serve(cmd.Context(), settings.Settings)
		},
	}
	config.AddFlags(cmd.Flags(), config.Serve)
	return cmd
}

var errNoBrokers = usageError{errors.New(
	`no Kafka brokers are set: give --kafka-brokers host:port (or MESSAGEPROXY_KAFKA_BROKERS, or brokers under kafka in the file); "messageproxy dev" needs no Kafka`)}

// serve runs the proxy over a Kafka cluster.
func (p program) serve(ctx context.Context, s config.Settings) error {
	if len(s.Kafka.Brokers) == 0 {
		return errNoBrokers
	}
	log := p.newLogger(s.Log)
	memory.LimitToContainer(log)
	memory.AllowGarbage()
	ctx, release := untilSignal(ctx, log)
	defer release()
	go memory.CollectWhenIdle(ctx)
	return serveKafka(ctx, s, log, func(net.Addr) {})
}

// serveKafka runs the proxy over the Kafka that the settings name, until ctx ends,
// and calls listening when clients can connect.
func serveKafka(ctx context.Context, s config.Settings, log *slog.Logger, listening func(net.Addr)) error {
	b, err := kafka.New(kafka.Options{
		Brokers:        s.Kafka.Brokers,
		CommitInterval: s.Kafka.CommitInterval,
		CommitMessages: s.Kafka.CommitMessages,
		SessionTimeout: s.Kafka.SessionTimeout,
		CreateTopics:   s.Kafka.CreateTopics,
		MaxFetchBytes:  maxFetchBytes(s.Server),
		Logger:         log.With("side", "kafka"),
	})
	if err != nil {
		return usageError{err}
	}
	return errors.Join(serveBroker(ctx, b, s, log, listening), b.Close())
}

func serveBroker(ctx context.Context, b broker.Broker, s config.Settings, log *slog.Logger, listening func(net.Addr)) error {
	s.Server.Logger = log
	proxy, err := server.New(b, s.Server)
	if err != nil {
		return usageError{err}
	}
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("can't listen on %s (--listen names another address): %w", s.Listen, err)
	}
	log.Info("listening", "addr", listener.Addr().String())
	listening(listener.Addr())
	return proxy.Serve(ctx, listener)
}
