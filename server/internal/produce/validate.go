package produce

import (
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// maxHeaders is how many headers a message may have.
const maxHeaders = 1000

// problem returns what is wrong with a message, or nil. What only the broker can
// know (whether the topic exists) is for the broker to say.
func (c *Config) problem(m *wire.Outgoing) *messageproxyv1.Error {
	if p := wire.TopicProblem(m.Topic); p != "" {
		return invalid("topic %s", p)
	}
	if m.HasPartition && m.Partition < 0 {
		return invalid("partition is %d: give a number from 0 on, or leave it out to have it chosen by the key", m.Partition)
	}
	if m.HasTimestamp && (m.TimestampMs < 0 || m.TimestampMs > wire.MaxTimestampMs) {
		return invalid("timestamp_ms is %d, outside of 0 to %d (%s): give milliseconds since 1970, or leave it out",
			m.TimestampMs, wire.MaxTimestampMs, time.UnixMilli(wire.MaxTimestampMs).UTC().Format(time.DateOnly))
	}
	if n := len(m.Headers); n > maxHeaders {
		return invalid("headers has %d entries, more than %d", n, maxHeaders)
	}
	if n := m.Size(); n > c.MaxMessageBytes {
		return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_MESSAGE_TOO_LARGE, false,
			"key, value and headers have %d bytes, more than this server's limit of %d: "+
				"send a smaller message, or have the limit raised", n, c.MaxMessageBytes)
	}
	return nil
}

func invalid(format string, args ...any) *messageproxyv1.Error {
	return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT, false, format, args...)
}
