package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/messageproxy/messageproxy/broker-kafka/kafkadev"
	"github.com/messageproxy/messageproxy/server/internal/config"
)

func newDevCommand(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Serve messages of an embedded Kafka, to try things out",
		Long: fmt.Sprintf(`Serve messages of a Kafka that runs inside this process: nothing else is needed.
Topics are created on first use. Nothing is kept, unless --data-dir says where.
Of each partition it has the latest %d MiB, or %d MiB with --data-dir: older
messages are deleted, consumed or not.
It is for trying things out and for tests, not for production.

`, kafkadev.DefaultPartitionBytes>>20, kafkadev.DefaultPartitionBytesOnDisk>>20) + settingsHelp,
		Example: "  messageproxy dev\n  messageproxy dev --data-dir ./data",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := p.load(cmd, config.DevServe)
			if err != nil {
				return err
			}
			return p.dev(cmd.Context(), settings.Settings)
		},
	}
	config.AddFlags(cmd.Flags(), config.DevServe)
	return cmd
}

// dev runs the proxy over an embedded Kafka.
func (p program) dev(ctx context.Context, s config.Settings) error {
	log := p.newLogger(s.Log)
	ctx, release := untilSignal(ctx, log)
	defer release()
	cluster, err := kafkadev.Start(kafkadev.Options{
		DataDir:           s.Dev.DataDir,
		Listen:            s.Dev.KafkaListen,
		DefaultPartitions: s.Dev.Partitions,
		Logger:            log,
	})
	if err != nil {
		return err
	}
	s.Kafka.Brokers = cluster.Brokers()
	s.Kafka.CreateTopics = true
	log.Info("embedded Kafka started", "kafka", strings.Join(s.Kafka.Brokers, ","),
		"data_dir", s.Dev.DataDir, "kept", s.Dev.DataDir != "")
	err = serveKafka(ctx, s, log, func(addr net.Addr) { p.greet(addr, s) })
	return errors.Join(err, cluster.Close())
}

// greet tells a person where everything is.
func (p program) greet(addr net.Addr, s config.Settings) {
	data := "nothing is kept when this stops (--data-dir keeps it)"
	if s.Dev.DataDir != "" {
		data = "kept in " + s.Dev.DataDir
	}
	_, _ = fmt.Fprintf(p.stdout, `messageproxy dev: for trying things out, not for production
  proxy  %s  (gRPC, without TLS)
  Kafka  %s  (embedded; Kafka's own tools can look here)
  data   %s
`, reachableAt(addr), strings.Join(s.Kafka.Brokers, ","), data)
}

// reachableAt is the address to connect to from this machine.
func reachableAt(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("localhost:%d, from anywhere", tcp.Port)
	}
	return addr.String()
}
