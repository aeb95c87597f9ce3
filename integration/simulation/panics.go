//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/messageproxy/messageproxy/integration/history"
)

// panics are those that the proxy has recovered from. Each costs what it happened in,
// and clients begin anew, so that nothing else may show that something is wrong.
type panics struct {
	mu    sync.Mutex
	found []history.Violation
}

func (p *panics) add(message string, value slog.Value) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found = append(p.found, history.Violation{Rule: "panics", Problem: fmt.Sprintf("%s: %v", message, value)})
}

func (p *panics) all() []history.Violation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.found
}

// panicWatch is a logger's handler that notes panics among what is logged, whether or
// not that is printed.
type panicWatch struct {
	slog.Handler
	panics *panics
}

func (h panicWatch) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError || h.Handler.Enabled(ctx, level)
}

func (h panicWatch) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "panic" {
			h.panics.add(r.Message, a.Value)
		}
		return true
	})
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h panicWatch) WithAttrs(attrs []slog.Attr) slog.Handler {
	return panicWatch{h.Handler.WithAttrs(attrs), h.panics}
}

func (h panicWatch) WithGroup(name string) slog.Handler {
	return panicWatch{h.Handler.WithGroup(name), h.panics}
}
