package main

import (
	"log/slog"

	"github.com/messageproxy/messageproxy/server/internal/config"
)

// newLogger makes the logger that the settings ask for, on standard error.
func (p program) newLogger(l config.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: l.SlogLevel()}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(p.stderr, options))
	}
	return slog.New(slog.NewTextHandler(p.stderr, options))
}
