package godriver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"

	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
)

// describe tells errors apart as an application does.
func describe(err error) *protocol.Error {
	out := &protocol.Error{Kind: protocol.KindOther, Message: err.Error()}
	if e, ok := errors.AsType[*messageproxy.Error](err); ok && !ended(err) {
		out.Code, out.Retryable, out.MessageIDs = int32(e.Code), e.Retryable, e.MessageIDs
	}
	handler, isHandler := errors.AsType[*messageproxy.HandlerError](err)
	_, isFailureHandler := errors.AsType[*failureHandlerError](err)
	switch {
	case errors.Is(err, messageproxy.ErrUnknownOutcome):
		out.Kind = protocol.KindError
	case errors.Is(err, messageproxy.ErrHandlersRunning):
		out.Kind = protocol.KindHandlersRunning
	case errors.Is(err, messageproxy.ErrClosed):
		out.Kind = protocol.KindClosed
	case isFailureHandler:
		out.Kind = protocol.KindFailureHandler
	case isHandler:
		out.Kind = protocol.KindHandler
		out.Attempts, out.MessageID, out.Cause = handler.Attempts, handler.Message.ID, handler.Err.Error()
	case errors.Is(err, context.Canceled):
		out.Kind = protocol.KindCancelled
	case isError(err):
		out.Kind = protocol.KindError
	}
	return out
}

// ended reports whether the caller's end of a call is all there is to its error: what
// else is in it then says why there was no connection.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) && !errors.Is(err, messageproxy.ErrUnknownOutcome)
}

func isError(err error) bool {
	_, ok := errors.AsType[*messageproxy.Error](err)
	return ok
}

// logger writes the SDK's log to standard output.
func (d *driver) logger() *slog.Logger { return slog.New(&logHandler{driver: d}) }

// logHandler is a slog.Handler.
type logHandler struct {
	driver *driver
	fields string
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message + h.fields
	r.Attrs(func(a slog.Attr) bool {
		text += field(a)
		return true
	})
	h.driver.write(protocol.Line{Log: &protocol.Log{Level: levelName(r.Level), Text: text}})
	return nil
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, a := range attrs {
		with.fields += field(a)
	}
	return &with
}

// WithGroup implements slog.Handler. The SDK has no groups.
func (h *logHandler) WithGroup(string) slog.Handler { return h }

func field(a slog.Attr) string { return fmt.Sprintf(" %s=%v", a.Key, a.Value) }

func levelName(level slog.Level) string {
	if level == slog.LevelWarn {
		return "warning"
	}
	return strings.ToLower(level.String())
}
