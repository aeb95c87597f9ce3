package server

import (
	"context"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/consume"
	"github.com/messageproxy/messageproxy/server/internal/produce"
)

// newProxy makes both sides over a broker and its producer.
func newProxy(b broker.Broker, producer broker.Producer, cfg Config) *proxy {
	producing := newProduceSide(producer, cfg)
	consuming := newConsumeSide(b, cfg)
	return &proxy{produce: producing, consume: consuming, stats: func(s *Stats) { s.ofSides(producing.Stats(), consuming.Stats()) }}
}

func newProduceSide(producer broker.Producer, cfg Config) *produce.Service {
	return produce.NewService(producer, produce.Config{
		MaxOutstandingMessages: cfg.Produce.MaxOutstandingMessages,
		MaxOutstandingBytes:    cfg.Produce.MaxOutstandingBytes,
		Timeout:                cfg.Produce.Timeout,
		MaxMessageBytes:        cfg.Produce.MaxMessageBytes,
		Logger:                 cfg.Logger.With("side", "produce"),
	})
}

func newConsumeSide(b broker.Broker, cfg Config) *consume.Service {
	return consume.NewService(b, consume.Config{
		MaxUnackedMessages: cfg.Consume.MaxUnackedMessages,
		MaxUnackedBytes:    cfg.Consume.MaxUnackedBytes,
		AckTimeout:         cfg.Consume.AckTimeout,
		MaxAckTimeout:      cfg.Consume.MaxAckTimeout,
		PartitionWindow:    cfg.Consume.PartitionWindow,
		MaxBufferedBytes:   cfg.Consume.MaxBufferedBytes,
		MaxSubscriptions:   cfg.Consume.MaxSubscriptions,
		HandoverTimeout:    cfg.Consume.HandoverTimeout,
		EvictionGrace:      cfg.Consume.EvictionGrace,
		CloseTimeout:       cfg.Consume.CloseTimeout,
		Logger:             cfg.Logger.With("side", "consume"),
		LiveStreams:        liveStreams,
		CloseConnection: func(streamCtx context.Context) {
			if !closeConnection(streamCtx) {
				cfg.Logger.Error("a client's connection can't be closed: it is not known which one it is")
			}
		},
	})
}
