package config

import (
	"log/slog"
	"time"

	"github.com/messageproxy/messageproxy/server"
)

// Settings are all settings of the command.
type Settings struct {
	Listen string
	Kafka  Kafka
	Server server.Config
	Log    Log
	Dev    Dev
}

// Kafka says how to reach Kafka, and how to use it.
type Kafka struct {
	Brokers        []string
	CommitInterval time.Duration
	CommitMessages int
	SessionTimeout time.Duration
	CreateTopics   bool
}

// Log says what is logged, and how.
type Log struct {
	Level  string // one of logLevels
	Format string // one of logFormats
}

// Dev has what only the embedded Kafka needs.
type Dev struct {
	DataDir     string
	KafkaListen string
	Partitions  int
}

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
)

// SlogLevel returns Level for slog.
func (l Log) SlogLevel() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// Command is one of the program's commands, or several of them.
type Command int

// The commands that have settings.
const (
	Serve Command = 1 << iota
	DevServe
)

// String returns what a person types.
func (c Command) String() string {
	switch c {
	case Serve:
		return "serve"
	case DevServe:
		return "dev"
	}
	return "serve and dev"
}

// Defaults returns the settings of a command of which nothing is set.
func Defaults(c Command) Settings {
	s := Settings{
		Listen: ":7070",
		Kafka: Kafka{
			CommitInterval: 5 * time.Second,
			CommitMessages: 1000,
			SessionTimeout: 15 * time.Second,
		},
		Server: server.DefaultConfig(),
		Log:    Log{Level: "info", Format: "text"},
		Dev:    Dev{KafkaListen: "127.0.0.1:0", Partitions: 8},
	}
	if c == DevServe {
		s.Listen = "127.0.0.1:7070" // it is for this machine alone, as its Kafka is
	}
	return s
}
