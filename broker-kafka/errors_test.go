package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"testing"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkasErrors returns every error that the client library has a code for.
func kafkasErrors() []*kerr.Error {
	var all []*kerr.Error
	for code := int16(math.MinInt16); ; code++ {
		if e := kerr.TypedErrorForCode(code); e != nil && e.Code == code {
			all = append(all, e)
		}
		if code == math.MaxInt16 {
			return all
		}
	}
}

func TestEveryErrorOfKafkasHasAVerdict(t *testing.T) {
	all := kafkasErrors()
	require.Greater(t, len(all), 130)
	for _, e := range all {
		v, ok := verdicts[e]
		assert.True(t, ok, "%s has none", e.Message)
		assert.NotEmpty(t, v.advice, e.Message)
		if e.Retriable && v.code != broker.CodeInternal && e != kerr.CorruptMessage {
			assert.True(t, v.retryable, "%s passes by itself", e.Message)
		}
	}
	assert.Len(t, verdicts, len(all))
}

func TestRefusalsLeaveNoDoubt(t *testing.T) {
	assert.False(t, leavesDoubt(0))
	for _, e := range []*kerr.Error{
		kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.NotLeaderForPartition, kerr.KafkaStorageError,
		kerr.UnknownServerError, kerr.NetworkException,
	} {
		assert.True(t, leavesDoubt(e.Code), e.Message)
	}
	for code := range refusals {
		assert.False(t, leavesDoubt(code))
	}
	assert.True(t, leavesDoubt(math.MaxInt16), "what nobody knows yet")
}

func TestErrorsAreMapped(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, c := range []struct {
		err       error
		code      broker.Code
		retryable bool
	}{
		{kerr.UnknownTopicOrPartition, broker.CodeTopicNotFound, true},
		{fmt.Errorf("context: %w", kerr.MessageTooLarge), broker.CodeMessageTooLarge, false},
		{kerr.TopicAuthorizationFailed, broker.CodePermissionDenied, false},
		{kerr.SaslAuthenticationFailed, broker.CodeUnauthenticated, false},
		{kerr.UnsupportedVersion, broker.CodeUnsupported, false},
		{&kerr.Error{Code: 4711, Message: "NEWER_THAN_THIS"}, broker.CodeUnknownOutcome, true},
		{refused, broker.CodeUnavailable, true},
		{fmt.Errorf("unable to dial: %w", refused), broker.CodeUnavailable, true},
		{io.EOF, broker.CodeUnavailable, true},
		{io.ErrUnexpectedEOF, broker.CodeUnavailable, true},
		{context.DeadlineExceeded, broker.CodeUnavailable, true},
		{context.Canceled, broker.CodeUnavailable, true},
		{kgo.ErrRecordTimeout, broker.CodeUnavailable, true},
		{&kgo.ErrFirstReadEOF{}, broker.CodeUnavailable, true},
		{kgo.ErrClientClosed, broker.CodeClosed, false},
		{errors.New("never heard of"), broker.CodeInternal, false},
	} {
		e := mapError(c.err, "orders", 3)
		assert.Equal(t, c.code, e.Code, "%v", c.err)
		assert.Equal(t, c.retryable, e.Retryable, "%v", c.err)
		assert.Equal(t, "orders", e.Topic)
		assert.EqualValues(t, 3, e.Partition)
		assert.NotEmpty(t, e.Message)
		assert.ErrorIs(t, e, c.err)
	}
	assert.Nil(t, mapError(nil, "", broker.AnyPartition))
	assert.Same(t, broker.ErrClosed, mapError(fmt.Errorf("context: %w", broker.ErrClosed), "orders", 3))
}
