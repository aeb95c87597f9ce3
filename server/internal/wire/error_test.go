package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

func TestErrorMapsEveryBrokerCode(t *testing.T) {
	require.Len(t, errorCodes, len(broker.Codes()))
	for _, code := range broker.Codes() {
		t.Run(code.String(), func(t *testing.T) {
			mapped, ok := errorCodes[code]
			require.True(t, ok, "the table lacks this code")
			require.NotEqual(t, messageproxyv1.ErrorCode_ERROR_CODE_UNSPECIFIED, mapped)
			for _, retryable := range []bool{true, false} {
				err := &broker.Error{Code: code, Topic: "orders", Partition: 3, Retryable: retryable, Message: "the reason"}
				got := Error(fmt.Errorf("while testing: %w", err))
				assert.Equal(t, mapped, got.GetCode())
				assert.Contains(t, got.GetMessage(), "the reason")
				assert.Contains(t, got.GetMessage(), `topic "orders" partition 3`)
				assert.Equal(t, retryable || code == broker.CodeClosed, got.GetRetryable())
			}
		})
	}
}

func TestErrorOfOtherKinds(t *testing.T) {
	assert.Nil(t, Error(nil))

	internal := Error(errors.New("a bug"))
	assert.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, internal.GetCode())
	assert.Contains(t, internal.GetMessage(), "a bug")
	assert.False(t, internal.GetRetryable())

	late := Error(fmt.Errorf("asking: %w", context.DeadlineExceeded))
	assert.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_BROKER_UNAVAILABLE, late.GetCode())
	assert.True(t, late.GetRetryable())
}

func TestErrorTextIsAlwaysFitForTheWire(t *testing.T) {
	for name, text := range map[string]string{
		"not UTF-8":           "topic \xff\xfe!",
		"long":                strings.Repeat("x", 10*MaxErrorText),
		"long, wide":          strings.Repeat("漢", MaxErrorText),
		"long, not UTF-8":     strings.Repeat("\xff", 10*MaxErrorText),
		"long, mixed":         strings.Repeat("a\xff", 10*MaxErrorText),
		"exactly at the edge": strings.Repeat("é", MaxErrorText/2),
	} {
		t.Run(name, func(t *testing.T) {
			e := NewError(messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, false, "%s", text)
			assert.LessOrEqual(t, len(e.GetMessage()), MaxErrorText)
			assert.True(t, utf8.ValidString(e.GetMessage()))
			_, err := proto.Marshal(e)
			assert.NoError(t, err)
		})
	}
	edge := strings.Repeat("é", MaxErrorText/2)
	assert.Equal(t, edge, NewError(0, false, "%s", edge).GetMessage(), "what fits is not cut")
}

func TestQuoteCutsAndEscapes(t *testing.T) {
	assert.Equal(t, `"orders"`, Quote("orders"))
	assert.Equal(t, `"a\xff\n"`, Quote("a\xff\n"))
	assert.Less(t, len(Quote(strings.Repeat("x", 1<<20))), 200)
}

func TestTopicProblem(t *testing.T) {
	for _, topic := range []string{"orders", "Bestellungen-ä", "a b", strings.Repeat("t", MaxTopicBytes)} {
		assert.Empty(t, TopicProblem(topic), topic)
	}
	for topic, want := range map[string]string{
		"":                                   "is empty",
		strings.Repeat("t", MaxTopicBytes+1): "is longer than 512 bytes",
		"a\x00b":                             "contains control characters",
		"a\nb":                               "contains control characters",
		"a\xff":                              "is not valid UTF-8",
	} {
		assert.Contains(t, TopicProblem(topic), want)
	}
}
