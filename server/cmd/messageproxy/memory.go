package main

import (
	kafka "github.com/messageproxy/messageproxy/broker-kafka"
	"github.com/messageproxy/messageproxy/server"
)

// maxFetchBytes is what may be on its way from Kafka: it comes on top of what the
// server holds, and so has to be small beside it.
func maxFetchBytes(cfg server.Config) int64 {
	return min(kafka.DefaultMaxFetchBytes, max(cfg.Consume.MaxBufferedBytes/4, 1))
}
