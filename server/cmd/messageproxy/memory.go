package main

import (
	"log/slog"
	"math"
	"runtime/debug"
	"strconv"
	"strings"

	kafka "github.com/messageproxy/messageproxy/broker-kafka"
	"github.com/messageproxy/messageproxy/server"
)

// maxFetchBytes is what may be on its way from Kafka: it comes on top of what the
// server holds, and so has to be small beside it.
func maxFetchBytes(cfg server.Config) int64 {
	return min(kafka.DefaultMaxFetchBytes, max(cfg.Consume.MaxBufferedBytes/4, 1))
}

// limitMemory tells Go's garbage collector how much memory the container has, less a
// tenth for what it doesn't manage, unless GOMEMLIMIT says something. Otherwise it
// would let garbage grow to as much as is in use, past the container's limit if need
// be, which kills the process.
func limitMemory(log *slog.Logger, readFile func(string) ([]byte, error)) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return // GOMEMLIMIT
	}
	if limit := containerMemory(readFile); limit > 0 {
		debug.SetMemoryLimit(limit - limit/10)
		log.Info("memory is limited: garbage is collected in time", "container", limit, "limit", limit-limit/10)
	}
}

// containerMemory is how much memory this process's control group may use, or 0 if
// there is no limit, or none that can be known.
func containerMemory(readFile func(string) ([]byte, error)) int64 {
	for _, name := range []string{
		"/sys/fs/cgroup/memory.max",                   // version 2
		"/sys/fs/cgroup/memory/memory.limit_in_bytes", // version 1, which writes a very large number for no limit
	} {
		text, err := readFile(name)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit < 1<<50 {
			return max(limit, 0)
		}
	}
	return 0
}
