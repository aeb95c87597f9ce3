package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// An operator reads warnings and errors: what the client library says of its own
// doings isn't one, nor what was given up on purpose.
func TestLevelsOfWhatTheClientLibraryLogs(t *testing.T) {
	canceled := fmt.Errorf("asking for positions: %w", context.Canceled)
	for name, test := range map[string]struct {
		level kgo.LogLevel
		err   error
		want  string
	}{
		"error":     {kgo.LogLevelError, errors.New("broken"), "level=ERROR"},
		"warning":   {kgo.LogLevelWarn, errors.New("broken"), "level=WARN"},
		"news":      {kgo.LogLevelInfo, nil, "level=DEBUG"},
		"detail":    {kgo.LogLevelDebug, nil, "level=DEBUG"},
		"cancelled": {kgo.LogLevelError, canceled, "level=DEBUG"},
		"timed out": {kgo.LogLevelError, context.DeadlineExceeded, "level=ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
			newClientLogger(log).Log(test.level, "what happened", "err", test.err)
			require.Contains(t, out.String(), test.want)
			require.Contains(t, out.String(), "what happened")
		})
	}
}
