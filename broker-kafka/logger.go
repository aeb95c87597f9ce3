package kafka

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// clientLogger passes what the Kafka client library logs on to a slog.Logger: its
// warnings and errors as such, and everything else at the debug level, for what is
// news to the library (a connection, a metadata update) is detail to the proxy's
// operator. So are its errors about what was given up on purpose: a consumer that
// is closed while it joins makes one.
type clientLogger struct{ log *slog.Logger }

func newClientLogger(log *slog.Logger) kgo.Logger {
	return clientLogger{log.With("component", "kafka-client")}
}

func (l clientLogger) Level() kgo.LogLevel {
	ctx := context.Background()
	switch {
	case l.log.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	case l.log.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelWarn
	case l.log.Enabled(ctx, slog.LevelError):
		return kgo.LogLevelError
	}
	return kgo.LogLevelNone
}

func (l clientLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slogLevel(level)
	if slices.ContainsFunc(keyvals, isCancellation) {
		to = slog.LevelDebug
	}
	l.log.Log(context.Background(), to, msg, keyvals...)
}

func isCancellation(value any) bool {
	err, ok := value.(error)
	return ok && errors.Is(err, context.Canceled)
}

func slogLevel(level kgo.LogLevel) slog.Level {
	switch level {
	case kgo.LogLevelError:
		return slog.LevelError
	case kgo.LogLevelWarn:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}
