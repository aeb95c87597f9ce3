package config

import (
	"slices"
	"strings"
	"time"
)

// EnvPrefix begins the names of all environment variables that are settings.
const EnvPrefix = "MESSAGEPROXY_"

// Setting is one row of the table of settings.
type Setting struct {
	// Flag is the name of the flag, without dashes.
	Flag string
	// Key is the path in the YAML file, with dots.
	Key string
	// Usage says what the setting is for.
	Usage string
	// Commands are those that have it.
	Commands Command
	// Secret values are never shown.
	Secret bool
	// field is the path in server.Config, if it is checked there.
	field string
	// in is its place in a Settings.
	in func(*Settings) value
}

// Env is the name of the environment variable.
func (s Setting) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.Flag, "-", "_"))
}

// nameIn is the setting's name in the way of a layer.
func (s Setting) nameIn(l layer) string {
	switch l {
	case fromFlag:
		return "--" + s.Flag
	case fromEnv:
		return s.Env()
	}
	return s.Key
}

// Kind is what the help says that the value is.
func (s Setting) Kind() string { return s.in(new(Settings)).kind() }

// Default is the text of the setting's default for a command, or empty.
func (s Setting) Default(c Command) string {
	defaults := Defaults(c)
	return s.in(&defaults).String()
}

const both = Serve | DevServe

// table has every setting, in the order in which help and documentation have them.
var table = slices.Concat(generalSettings, kafkaSettings, consumeSettings, produceSettings, devSettings)

var generalSettings = []Setting{
	{
		Flag: "listen", Key: "listen", Commands: both,
		Usage: "where to accept gRPC connections; port 0 means any free one, which the log names",
		in:    func(s *Settings) value { return listenValue{to: &s.Listen} },
	}, {
		Flag: "drain-timeout", Key: "drain_timeout", Commands: both, field: "DrainTimeout",
		Usage: "how long a server that is told to stop waits for ACKs and for what was produced",
		in:    func(s *Settings) value { return durationValue{to: &s.Server.DrainTimeout} },
	}, {
		Flag: "max-streams", Key: "max_streams", Commands: both, field: "MaxStreams",
		Usage: "how many streams all clients may have open",
		in:    func(s *Settings) value { return intValue{to: &s.Server.MaxStreams} },
	}, {
		Flag: "log-level", Key: "log.level", Commands: both,
		Usage: "the least severe kind of line that is logged",
		in:    func(s *Settings) value { return choiceValue{&s.Log.Level, logLevels} },
	}, {
		Flag: "log-format", Key: "log.format", Commands: both,
		Usage: "how lines are logged, to standard error",
		in:    func(s *Settings) value { return choiceValue{&s.Log.Format, logFormats} },
	},
}

var kafkaSettings = []Setting{
	{
		Flag: "kafka-brokers", Key: "kafka.brokers", Commands: Serve,
		Usage: "addresses of some of the Kafka cluster's brokers, host:port, with commas between; required",
		in:    func(s *Settings) value { return addressesValue{&s.Kafka.Brokers} },
	}, {
		Flag: "kafka-commit-interval", Key: "kafka.commit_interval", Commands: both,
		Usage: "how long ACKs may wait to be committed",
		in: func(s *Settings) value {
			return durationValue{to: &s.Kafka.CommitInterval, low: 10 * time.Millisecond, high: time.Hour}
		},
	}, {
		Flag: "kafka-commit-messages", Key: "kafka.commit_messages", Commands: both,
		Usage: "how many ACKed messages of a subscription are committed before the interval is over",
		in:    func(s *Settings) value { return intValue{to: &s.Kafka.CommitMessages, low: 1} },
	}, {
		Flag: "kafka-session-timeout", Key: "kafka.session_timeout", Commands: both,
		Usage: "how long the partitions of a proxy that was killed wait before others get them",
		in: func(s *Settings) value {
			return durationValue{to: &s.Kafka.SessionTimeout, low: time.Second, high: 30 * time.Minute}
		},
	}, {
		Flag: "kafka-create-topics", Key: "kafka.create_topics", Commands: Serve,
		Usage: "create topics that don't exist when they are first used",
		in:    func(s *Settings) value { return boolValue{&s.Kafka.CreateTopics} },
	},
}

var consumeSettings = []Setting{
	{
		Flag: "max-unacked-messages", Key: "consume.max_unacked_messages", Commands: both, field: "Consume.MaxUnackedMessages",
		Usage: "how many messages a client may hold without having ACKed them",
		in:    func(s *Settings) value { return intValue{to: &s.Server.Consume.MaxUnackedMessages} },
	}, {
		Flag: "max-unacked-bytes", Key: "consume.max_unacked_bytes", Commands: both, field: "Consume.MaxUnackedBytes",
		Usage: "how many bytes of messages a client may hold without having ACKed them",
		in:    func(s *Settings) value { return sizeValue[int64]{&s.Server.Consume.MaxUnackedBytes} },
	}, {
		Flag: "ack-timeout", Key: "consume.ack_timeout", Commands: both, field: "Consume.AckTimeout",
		Usage: "how long a client may take over its oldest unACKed message before it is disconnected",
		in:    func(s *Settings) value { return durationValue{to: &s.Server.Consume.AckTimeout} },
	}, {
		Flag: "max-ack-timeout", Key: "consume.max_ack_timeout", Commands: both, field: "Consume.MaxAckTimeout",
		Usage: "the longest ACK timeout that a client may ask for",
		in:    func(s *Settings) value { return durationValue{to: &s.Server.Consume.MaxAckTimeout} },
	}, {
		Flag: "partition-window", Key: "consume.partition_window", Commands: both, field: "Consume.PartitionWindow",
		Usage: "how many messages of a partition may be fetched and not yet durably ACKed",
		in:    func(s *Settings) value { return intValue{to: &s.Server.Consume.PartitionWindow} },
	}, {
		Flag: "max-buffered-bytes", Key: "consume.max_buffered_bytes", Commands: both, field: "Consume.MaxBufferedBytes",
		Usage: "how many bytes of fetched messages the whole server holds; it begins to fetch less at half of it",
		in:    func(s *Settings) value { return sizeValue[int64]{&s.Server.Consume.MaxBufferedBytes} },
	}, {
		Flag: "max-subscriptions", Key: "consume.max_subscriptions", Commands: both, field: "Consume.MaxSubscriptions",
		Usage: "how many subscriptions clients may have open at once",
		in:    func(s *Settings) value { return intValue{to: &s.Server.Consume.MaxSubscriptions} },
	}, {
		Flag: "handover-timeout", Key: "consume.handover_timeout", Commands: both, field: "Consume.HandoverTimeout",
		Usage: "how long clients may go on ACKing what they hold of a partition that moves to another proxy",
		in:    func(s *Settings) value { return durationValue{to: &s.Server.Consume.HandoverTimeout} },
	},
}

var produceSettings = []Setting{
	{
		Flag: "max-outstanding-messages", Key: "produce.max_outstanding_messages", Commands: both, field: "Produce.MaxOutstandingMessages",
		Usage: "how many messages of one stream may await their result before no more are read",
		in:    func(s *Settings) value { return intValue{to: &s.Server.Produce.MaxOutstandingMessages} },
	}, {
		Flag: "max-outstanding-bytes", Key: "produce.max_outstanding_bytes", Commands: both, field: "Produce.MaxOutstandingBytes",
		Usage: "how many bytes of messages of the whole server may await being stored",
		in:    func(s *Settings) value { return sizeValue[int64]{&s.Server.Produce.MaxOutstandingBytes} },
	}, {
		Flag: "produce-timeout", Key: "produce.timeout", Commands: both, field: "Produce.Timeout",
		Usage: "how long the server tries to store a message",
		in:    func(s *Settings) value { return durationValue{to: &s.Server.Produce.Timeout} },
	}, {
		Flag: "max-message-bytes", Key: "produce.max_message_bytes", Commands: both, field: "Produce.MaxMessageBytes",
		Usage: "the largest message that is accepted: key, value and headers",
		in:    func(s *Settings) value { return sizeValue[int]{&s.Server.Produce.MaxMessageBytes} },
	}, {
		Flag: "max-request-bytes", Key: "produce.max_request_bytes", Commands: both, field: "Produce.MaxRequestBytes",
		Usage: "the largest request that is received; twice --max-message-bytes always is",
		in:    func(s *Settings) value { return sizeValue[int]{&s.Server.Produce.MaxRequestBytes} },
	},
}

var devSettings = []Setting{
	{
		Flag: "data-dir", Key: "dev.data_dir", Commands: DevServe,
		Usage: "the folder in which the embedded Kafka keeps its data; without one, nothing is kept",
		in:    func(s *Settings) value { return pathValue{&s.Dev.DataDir} },
	}, {
		Flag: "kafka-listen", Key: "dev.kafka_listen", Commands: DevServe,
		Usage: "where the embedded Kafka listens, for Kafka's own tools; port 0 means any free one",
		in:    func(s *Settings) value { return listenValue{to: &s.Dev.KafkaListen, told: true} },
	}, {
		Flag: "partitions", Key: "dev.partitions", Commands: DevServe,
		Usage: "how many partitions the embedded Kafka gives to a new topic",
		in:    func(s *Settings) value { return intValue{to: &s.Dev.Partitions, low: 1} },
	},
}

// Of returns the settings of a command, in the order of the documentation.
func Of(c Command) []Setting {
	var of []Setting
	for _, s := range table {
		if s.Commands&c != 0 {
			of = append(of, s)
		}
	}
	return of
}
