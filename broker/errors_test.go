package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
)

func TestCodesAreCompleteAndNamed(t *testing.T) {
	codes := broker.Codes()
	require.Equal(t, broker.CodeInternal, codes[0])
	require.Equal(t, broker.CodeClosed, codes[len(codes)-1])
	names := map[string]bool{}
	for i, code := range codes {
		require.Equal(t, broker.Code(i), code, "codes have no gaps")
		require.NotEmpty(t, code.String())
		require.NotContains(t, code.String(), "code ", "code %d has no name of its own", i)
		require.False(t, names[code.String()], "%q names two codes", code)
		names[code.String()] = true
		require.Equal(t, code.String(), code.Error())
	}
}

func TestCodesThatDoNotExistHaveANameToo(t *testing.T) {
	require.Equal(t, "code -1", broker.Code(-1).String())
	require.Equal(t, fmt.Sprintf("code %d", len(broker.Codes())), broker.Code(len(broker.Codes())).String())
}

func TestCodesIsTheCallersOwn(t *testing.T) {
	broker.Codes()[0] = broker.CodeClosed
	require.Equal(t, broker.CodeInternal, broker.Codes()[0])
}

func TestErrorSaysEverythingThatIsKnown(t *testing.T) {
	for want, err := range map[string]*broker.Error{
		"broker unavailable": {Code: broker.CodeUnavailable, Partition: broker.AnyPartition},
		`topic not found: topic "orders": create it first`: {
			Code: broker.CodeTopicNotFound, Topic: "orders", Partition: broker.AnyPartition, Message: "create it first",
		},
		`partition not found: topic "orders" partition 7`: {
			Code: broker.CodePartitionNotFound, Topic: "orders", Partition: 7,
		},
		`partition not found: topic "orders" partition 0: there is none: EOF`: {
			Code: broker.CodePartitionNotFound, Topic: "orders", Partition: 0, Message: "there is none", Err: io.EOF,
		},
		"internal error: EOF":                {Err: io.EOF},
		"internal error: without a topic, 7": {Partition: 7, Message: "without a topic, 7"},
		`closed: topic "\n"`:                 {Code: broker.CodeClosed, Topic: "\n", Partition: broker.AnyPartition},
	} {
		require.Equal(t, want, err.Error())
	}
}

func TestErrorsMatchByCode(t *testing.T) {
	err := fmt.Errorf("while joining: %w", &broker.Error{
		Code: broker.CodeTopicNotFound, Topic: "orders", Partition: broker.AnyPartition, Err: io.EOF,
	})
	require.ErrorIs(t, err, broker.CodeTopicNotFound)
	require.NotErrorIs(t, err, broker.CodePartitionNotFound)
	require.NotErrorIs(t, err, broker.ErrClosed)
	require.ErrorIs(t, err, &broker.Error{Code: broker.CodeTopicNotFound})
	require.NotErrorIs(t, err, &broker.Error{Code: broker.CodeTopicNotFound, Topic: "another"}, "a target with a topic is one error, not a kind")
	require.NotErrorIs(t, err, &broker.Error{Code: broker.CodeTopicNotFound, Err: io.ErrUnexpectedEOF})
	require.ErrorIs(t, err, io.EOF, "the cause")
}

func TestSentinelsMatchErrorsOfTheirCode(t *testing.T) {
	require.ErrorIs(t, &broker.Error{Code: broker.CodeClosed, Message: "the consumer was closed"}, broker.ErrClosed)
	require.ErrorIs(t, &broker.Error{Code: broker.CodeUnsupported, Topic: "orders"}, broker.ErrUnsupported)
	require.NotErrorIs(t, broker.ErrClosed, broker.ErrUnsupported)
	require.ErrorIs(t, broker.ErrClosed, broker.CodeClosed)
	require.NotErrorIs(t, context.Canceled, broker.ErrClosed)
}

func TestCodeOfAndIsRetryableLookThroughTheChain(t *testing.T) {
	retryable := fmt.Errorf("a: %w", errors.Join(io.EOF, &broker.Error{Code: broker.CodeUnavailable, Retryable: true}))
	require.Equal(t, broker.CodeUnavailable, broker.CodeOf(retryable))
	require.True(t, broker.IsRetryable(retryable))
	require.False(t, broker.IsRetryable(&broker.Error{Code: broker.CodeUnavailable}))
	for _, err := range []error{nil, io.EOF, context.Canceled} {
		require.Equal(t, broker.CodeInternal, broker.CodeOf(err))
		require.False(t, broker.IsRetryable(err))
	}
}
