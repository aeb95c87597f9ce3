package wire

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

func TestStatusMapsEveryErrorCode(t *testing.T) {
	require.Len(t, statusCodes, len(messageproxyv1.ErrorCode_name))
	for number, name := range messageproxyv1.ErrorCode_name {
		t.Run(name, func(t *testing.T) {
			code, ok := statusCodes[messageproxyv1.ErrorCode(number)]
			require.True(t, ok, "the table lacks this code")
			e := NewError(messageproxyv1.ErrorCode(number), number%2 == 0, "what happened")
			e.MessageIds = []string{"m1", "m2"}

			got := status.Convert(Status(e))
			assert.Equal(t, code, got.Code())
			assert.Equal(t, "what happened", got.Message())
			require.Len(t, got.Details(), 1)
			assert.True(t, proto.Equal(e, got.Details()[0].(proto.Message)))
		})
	}
}

func TestStatusCodesAsDocumented(t *testing.T) {
	for code, want := range map[messageproxyv1.ErrorCode]codes.Code{
		messageproxyv1.ErrorCode_ERROR_CODE_TOPIC_NOT_FOUND:       codes.NotFound,
		messageproxyv1.ErrorCode_ERROR_CODE_PARTITION_NOT_FOUND:   codes.NotFound,
		messageproxyv1.ErrorCode_ERROR_CODE_BROKER_UNAVAILABLE:    codes.Unavailable,
		messageproxyv1.ErrorCode_ERROR_CODE_CONSUME_FAILED:        codes.Unavailable,
		messageproxyv1.ErrorCode_ERROR_CODE_ACK_FAILED:            codes.Unavailable,
		messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN:         codes.Unavailable,
		messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD:              codes.FailedPrecondition,
		messageproxyv1.ErrorCode_ERROR_CODE_SUBSCRIPTION_CONFLICT: codes.FailedPrecondition,
		messageproxyv1.ErrorCode_ERROR_CODE_ACK_TIMEOUT:           codes.DeadlineExceeded,
		messageproxyv1.ErrorCode_ERROR_CODE_MESSAGE_TOO_LARGE:     codes.InvalidArgument,
		messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME:       codes.Unknown,
		messageproxyv1.ErrorCode_ERROR_CODE_MESSAGES_EXPIRED:      codes.DataLoss,
	} {
		assert.Equal(t, want, status.Code(Status(&messageproxyv1.Error{Code: code})), code)
	}
	assert.NoError(t, Status(nil))
	assert.Equal(t, codes.Unknown, status.Code(Status(&messageproxyv1.Error{Code: 12345})), "a code of a later version")
}

// Ids without a text take room too.
func TestStatusWithEmptyIDsStaysBelowHeaderLimits(t *testing.T) {
	e := NewError(messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD, false, "what happened")
	e.MessageIds = make([]string, 1000)
	details, err := proto.Marshal(status.Convert(Status(e)).Proto())
	require.NoError(t, err)
	assert.Less(t, len(details), 2<<10)
}

func TestStatusStaysBelowHeaderLimits(t *testing.T) {
	e := NewError(messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD, false, "%s", strings.Repeat("漢", MaxErrorText))
	for range 1000 {
		e.MessageIds = append(e.MessageIds, strings.Repeat("i", 512))
	}
	got := status.Convert(Status(e))

	details, err := proto.Marshal(got.Proto())
	require.NoError(t, err)
	trailers := len(url.PathEscape(got.Message())) + base64.RawStdEncoding.EncodedLen(len(details))
	assert.Less(t, trailers, 7<<10, "with room for the other trailers below 8 KiB")

	carried := got.Details()[0].(*messageproxyv1.Error)
	assert.Len(t, carried.GetMessageIds(), 2, "as many as fit")
	assert.Len(t, e.GetMessageIds(), 1000, "the error itself is left as it is")
}
