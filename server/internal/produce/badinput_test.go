package produce

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

func mustMarshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	bytes, err := proto.Marshal(m)
	require.NoError(t, err)
	return bytes
}

// Each bad message gets its own error; its neighbours and the stream get on.
func TestBadInputCostsNoOtherMessageAnything(t *testing.T) {
	manyHeaders := make([]*messageproxyv1.Header, maxHeaders+1)
	for i := range manyHeaders {
		manyHeaders[i] = new(messageproxyv1.Header)
	}
	for name, test := range map[string]struct {
		spoil func(*messageproxyv1.OutgoingMessage)
		code  messageproxyv1.ErrorCode
		says  string
	}{
		"no topic":              {func(m *messageproxyv1.OutgoingMessage) { m.Topic = "" }, badArg, "topic is empty"},
		"long topic":            {func(m *messageproxyv1.OutgoingMessage) { m.Topic = strings.Repeat("t", 1<<20) }, badArg, "topic is longer than 512 bytes"},
		"control characters":    {func(m *messageproxyv1.OutgoingMessage) { m.Topic = "a\x00b" }, badArg, `topic contains control characters: "a\x00b"`},
		"partition -1":          {func(m *messageproxyv1.OutgoingMessage) { m.Partition = proto.Int32(-1) }, badArg, "partition is -1"},
		"least partition":       {func(m *messageproxyv1.OutgoingMessage) { m.Partition = proto.Int32(math.MinInt32) }, badArg, "partition is -2147483648"},
		"timestamp before 1970": {func(m *messageproxyv1.OutgoingMessage) { m.TimestampMs = proto.Int64(-1) }, badArg, "timestamp_ms is -1"},
		"timestamp too late":    {func(m *messageproxyv1.OutgoingMessage) { m.TimestampMs = proto.Int64(wire.MaxTimestampMs + 1) }, badArg, "timestamp_ms is"},
		"greatest timestamp":    {func(m *messageproxyv1.OutgoingMessage) { m.TimestampMs = proto.Int64(math.MaxInt64) }, badArg, "timestamp_ms is 9223372036854775807"},
		"too many headers":      {func(m *messageproxyv1.OutgoingMessage) { m.Headers = manyHeaders }, badArg, "headers has 1001 entries, more than 1000"},
		"value above the limit": {func(m *messageproxyv1.OutgoingMessage) { m.Value = make([]byte, 1001) }, tooBig, "have 1001 bytes, more than this server's limit of 1000"},
		"key counts":            {func(m *messageproxyv1.OutgoingMessage) { m.Key = make([]byte, 996) }, tooBig, "1001 bytes"},
		"header keys and values do": {func(m *messageproxyv1.OutgoingMessage) {
			m.Headers = []*messageproxyv1.Header{{Key: strings.Repeat("k", 500), Value: make([]byte, 496)}}
		}, tooBig, "1001 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				producer := new(fakeProducer)
				service := NewService(producer, Config{MaxMessageBytes: 1000})
				stream := open(t, service)
				messages := outgoing(1, 3)
				test.spoil(messages[1])
				stream.send(messages...)
				producer.store(-1)

				assert.Equal(t, []int{1, 3}, sequences(stream.results(), stored))
				require.Equal(t, []int{2}, sequences(stream.results(), test.code))
				for _, r := range stream.results() {
					if e := r.GetError(); e != nil {
						assert.Contains(t, e.GetMessage(), test.says)
						assert.False(t, e.GetRetryable())
						assert.Less(t, len(e.GetMessage()), 500)
					}
				}
				assert.Zero(t, service.Stats().OutstandingBytes)
				assert.True(t, stream.trySend(), "the stream lives")
			})
		})
	}
}

func TestBadInputEdgesThatAreStillGood(t *testing.T) {
	for name, prepare := range map[string]func(*messageproxyv1.OutgoingMessage){
		"exactly the limit":  func(m *messageproxyv1.OutgoingMessage) { m.Value = make([]byte, 1000) },
		"partition 0":        func(m *messageproxyv1.OutgoingMessage) { m.Partition = proto.Int32(0) },
		"the epoch":          func(m *messageproxyv1.OutgoingMessage) { m.TimestampMs = proto.Int64(0) },
		"the last timestamp": func(m *messageproxyv1.OutgoingMessage) { m.TimestampMs = proto.Int64(wire.MaxTimestampMs) },
		"1,000 empty headers": func(m *messageproxyv1.OutgoingMessage) {
			for range maxHeaders {
				m.Headers = append(m.Headers, new(messageproxyv1.Header))
			}
		},
		"nothing but a topic": func(m *messageproxyv1.OutgoingMessage) { m.Value = nil },
		"sequence 0":          func(m *messageproxyv1.OutgoingMessage) { m.Sequence = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				producer := new(fakeProducer)
				stream := open(t, NewService(producer, Config{MaxMessageBytes: 1000}))
				m := outgoing(7, 7)[0]
				prepare(m)
				stream.send(m)
				producer.store(-1)
				assert.Equal(t, []int{int(m.GetSequence())}, sequences(stream.results(), stored))
			})
		})
	}
}

func TestBadInputSameSequenceGetsAResultEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{}))
		stream.send(outgoing(7, 7)[0], outgoing(7, 7)[0])
		stream.send(outgoing(7, 7)...)
		producer.store(-1)
		assert.Equal(t, []int{7, 7, 7}, sequences(stream.results(), stored))
	})
}

func TestBadInputRequestWithoutMessagesIsFine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := open(t, NewService(new(fakeProducer), Config{}))
		for range 3 {
			stream.send()
		}
		assert.Empty(t, stream.frames())
		stream.halfClose()
		stream.requireEnded(t, stored)
	})
}

// What was read before a request that can't be decoded is answered first.
func TestBadInputUndecodableRequestEndsTheStreamAfterTheAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{}))
		stream.send(outgoing(1, 2)...)
		stream.recvErr <- &wire.DecodeError{Err: errors.New("can't parse \xff")}
		require.False(t, stream.hasEnded())
		producer.store(-1)
		stream.requireEnded(t, badArg)
		assert.Equal(t, numbers(1, 2), sequences(stream.results(), stored))
	})
}
