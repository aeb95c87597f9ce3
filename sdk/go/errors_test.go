package messageproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

func TestCodesAreThoseOfTheWireContract(t *testing.T) {
	require.Len(t, codeNames, len(messageproxyv1.ErrorCode_name), "a code is missing here")
	seen := map[string]bool{}
	for number := range messageproxyv1.ErrorCode_name {
		name := Code(number).String()
		assert.NotContains(t, name, "code ", "every code has a name")
		assert.False(t, seen[name], "%s is there twice", name)
		seen[name] = true
	}
	assert.EqualValues(t, messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME, CodeUnknownOutcome)
	assert.EqualValues(t, messageproxyv1.ErrorCode_ERROR_CODE_UNSUPPORTED, CodeUnsupported)
	assert.EqualValues(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, CodeShuttingDown)
}

func TestErrorsMatchTheirCodeAndCause(t *testing.T) {
	cause := &Error{Code: CodeInternal, Message: "a bug"}
	err := fmt.Errorf("while billing: %w", unknownOutcome("the stream was lost", cause))
	require.ErrorIs(t, err, ErrUnknownOutcome)
	require.ErrorIs(t, err, CodeInternal)
	require.NotErrorIs(t, err, CodeNotHeld)
	assert.Equal(t, "while billing: unknown outcome: the stream was lost: internal error: a bug", err.Error())
}

func TestTheErrorAmongTheDetailsOfAStatusCounts(t *testing.T) {
	want := &messageproxyv1.Error{Code: messageproxyv1.ErrorCode_ERROR_CODE_ACK_TIMEOUT, Message: "too slow", Retryable: true, MessageIds: []string{"a"}}
	st, err := status.New(codes.DeadlineExceeded, "whatever").WithDetails(want)
	require.NoError(t, err)
	assert.Equal(t, &Error{Code: CodeAckTimeout, Message: "too slow", Retryable: true, MessageIDs: []string{"a"}}, streamError(st.Err()))
}

func TestAStatusWithoutDetailsIsMapped(t *testing.T) {
	for code, want := range map[codes.Code]struct {
		code Code
		ends bool
	}{
		codes.InvalidArgument:   {CodeInvalidArgument, true},
		codes.Unauthenticated:   {CodeUnauthenticated, true},
		codes.PermissionDenied:  {CodePermissionDenied, true},
		codes.Unimplemented:     {CodeUnsupported, true},
		codes.ResourceExhausted: {CodeResourceExhausted, false},
		codes.Internal:          {CodeInternal, false},
		codes.Unavailable:       {CodeBrokerUnavailable, false},
		codes.Unknown:           {CodeBrokerUnavailable, false},
		codes.Canceled:          {CodeBrokerUnavailable, false},
	} {
		got := streamError(status.Error(code, "why"))
		assert.Equal(t, want.code, got.Code, code)
		assert.Equal(t, want.ends, endsForGood(got), code)
		assert.Equal(t, !want.ends, got.Retryable, code)
		assert.Contains(t, got.Error(), "why")
	}
	assert.False(t, endsForGood(streamError(io.EOF)))
	assert.False(t, endsForGood(streamError(errors.New("anything"))))
}

func TestContextErrorsHaveTheirCause(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrUnexpectedEOF)
	require.ErrorIs(t, contextError(ctx), context.Canceled)
	require.ErrorIs(t, contextError(ctx), io.ErrUnexpectedEOF)
	plain, cancelPlain := context.WithCancel(t.Context())
	cancelPlain()
	assert.Equal(t, context.Canceled, contextError(plain))
}

func TestPanicsThatAreErrorsUnwrap(t *testing.T) {
	require.ErrorIs(t, &PanicError{Value: io.EOF}, io.EOF)
	assert.NoError(t, (&PanicError{Value: "no error"}).Unwrap())
}
