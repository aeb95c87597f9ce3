package wire

import (
	"math"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

func TestHeaderKeyRepairsOnlyWhatIsBroken(t *testing.T) {
	for _, key := range []string{"", "trace-id", "schlüssel", "漢字"} {
		got, repaired := HeaderKey(key)
		assert.Equal(t, key, got)
		assert.False(t, repaired)
	}
	got, repaired := HeaderKey("a\xff\xfeb")
	assert.Equal(t, "a\uFFFDb", got)
	assert.True(t, repaired)
}

func drawBytes(t *rapid.T, label string) []byte {
	return rapid.OneOf(
		rapid.Just[[]byte](nil),
		rapid.Just([]byte{}),
		rapid.SliceOfN(rapid.Byte(), 1, 20),
	).Draw(t, label)
}

func drawHeaders(t *rapid.T) []broker.Header {
	var headers []broker.Header
	for range rapid.IntRange(0, 4).Draw(t, "headers") {
		key := rapid.OneOf(rapid.String(), rapid.Just("bad\xff")).Draw(t, "header key")
		headers = append(headers, broker.Header{Key: key, Value: drawBytes(t, "header value")})
	}
	return headers
}

// A message is on the client's side what it was in the broker: also whether key,
// value and header values are absent or empty.
func TestMessagesSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var messages []broker.Message
		var deliveries []Delivery
		for i := range rapid.IntRange(0, 5).Draw(t, "messages") {
			messages = append(messages, broker.Message{
				ID: rapid.StringN(0, 40, 512).Draw(t, "id"), Position: uint64(i),
				Key: drawBytes(t, "key"), Value: drawBytes(t, "value"), Headers: drawHeaders(t),
				Timestamp: time.UnixMilli(rapid.Int64Range(0, MaxTimestampMs).Draw(t, "timestamp")),
			})
		}
		for i := range messages {
			deliveries = append(deliveries, Delivery{&messages[i], rapid.Uint32Range(1, 9).Draw(t, "attempt")})
		}
		sent := &messageproxyv1.PartitionMessages{Topic: "orders", Partition: 3}
		repaired := AppendMessages(sent, deliveries)
		got := throughTheWire(t, sent)

		require.Len(t, got.GetMessages(), len(messages))
		broken := 0
		for i, m := range messages {
			broken += requireSame(t, m, deliveries[i].Attempt, got.GetMessages()[i])
			require.LessOrEqual(t, proto.Size(sent.GetMessages()[i]), MessageBytes(&m))
		}
		require.Equal(t, broken, repaired)
	})
}

func throughTheWire(t *rapid.T, sent *messageproxyv1.PartitionMessages) *messageproxyv1.PartitionMessages {
	bytes, err := proto.Marshal(sent)
	require.NoError(t, err)
	got := new(messageproxyv1.PartitionMessages)
	require.NoError(t, proto.Unmarshal(bytes, got))
	return got
}

// requireSame returns how many of m's header keys had to be repaired.
func requireSame(t *rapid.T, m broker.Message, attempt uint32, got *messageproxyv1.Message) (repaired int) {
	require.Equal(t, m.ID, got.GetId())
	require.Equal(t, m.Key, got.Key)
	require.Equal(t, m.Value, got.Value)
	require.Equal(t, m.Timestamp.UnixMilli(), got.GetTimestampMs())
	require.Equal(t, attempt, got.GetDeliveryAttempt())
	require.Len(t, got.GetHeaders(), len(m.Headers))
	for i, h := range m.Headers {
		require.Equal(t, Text(h.Key), got.GetHeaders()[i].GetKey())
		require.Equal(t, h.Value, got.GetHeaders()[i].Value)
		if !utf8.ValidString(h.Key) {
			repaired++
		}
	}
	return repaired
}

func TestAppendMessagesKeepsWhatIsThere(t *testing.T) {
	first, second := broker.Message{ID: "1"}, broker.Message{ID: "2"}
	dst := new(messageproxyv1.PartitionMessages)
	AppendMessages(dst, []Delivery{{&first, 1}})
	AppendMessages(dst, []Delivery{{&second, 2}})
	require.Len(t, dst.GetMessages(), 2)
	assert.Equal(t, "1", dst.GetMessages()[0].GetId())
	assert.Equal(t, "2", dst.GetMessages()[1].GetId())
}

func TestOutgoingKeepsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := &messageproxyv1.OutgoingMessage{Topic: "orders", Key: drawBytes(t, "key"), Value: drawBytes(t, "value")}
		if rapid.Bool().Draw(t, "has partition") {
			src.Partition = proto.Int32(rapid.Int32Range(0, math.MaxInt32).Draw(t, "partition"))
		}
		if rapid.Bool().Draw(t, "has timestamp") {
			src.TimestampMs = proto.Int64(rapid.Int64Range(0, MaxTimestampMs).Draw(t, "timestamp"))
		}
		for _, h := range drawHeaders(t) {
			src.Headers = append(src.Headers, &messageproxyv1.Header{Key: Text(h.Key), Value: h.Value})
		}
		slab := make([]broker.Header, rapid.IntRange(0, 5).Draw(t, "slab"))
		dst := broker.OutgoingMessage{Partition: 77, Timestamp: time.Now(), Headers: []broker.Header{{Key: "old"}}}
		rest := Outgoing(&dst, src, slab)

		require.Equal(t, "orders", dst.Topic)
		require.Equal(t, src.Key, dst.Key)
		require.Equal(t, src.Value, dst.Value)
		require.Equal(t, OutgoingBytes(src), dst.Size())
		require.Equal(t, src.TimestampMs == nil, dst.Timestamp.IsZero())
		if src.TimestampMs != nil {
			require.Equal(t, src.GetTimestampMs(), dst.Timestamp.UnixMilli())
			require.Equal(t, src.GetTimestampMs(), dst.Timestamp.UnixNano()/int64(time.Millisecond), "nanoseconds don't overflow")
		}
		wantPartition := broker.AnyPartition
		if src.Partition != nil {
			wantPartition = src.GetPartition()
		}
		require.Equal(t, wantPartition, dst.Partition)
		require.Len(t, dst.Headers, len(src.GetHeaders()))
		for i, h := range src.GetHeaders() {
			require.Equal(t, broker.Header{Key: h.GetKey(), Value: h.Value}, dst.Headers[i])
		}
		if len(slab) >= len(src.GetHeaders()) {
			require.Len(t, rest, len(slab)-len(src.GetHeaders()))
		}
	})
}

func TestOutgoingDoesNotCopyPayloads(t *testing.T) {
	src := &messageproxyv1.OutgoingMessage{Topic: "t", Value: []byte("value"), Key: []byte("key")}
	var dst broker.OutgoingMessage
	allocs := testing.AllocsPerRun(100, func() { Outgoing(&dst, src, nil) })
	assert.Zero(t, allocs)
	assert.Same(t, &src.Value[0], &dst.Value[0])
}

func TestAppendMessagesAllocatesPerBatch(t *testing.T) {
	messages := make([]broker.Message, 100)
	deliveries := make([]Delivery, len(messages))
	for i := range messages {
		messages[i] = broker.Message{ID: "id", Value: []byte("v"), Headers: []broker.Header{{Key: "a"}, {Key: "b"}}}
		deliveries[i] = Delivery{&messages[i], 1}
	}
	allocs := testing.AllocsPerRun(20, func() {
		AppendMessages(new(messageproxyv1.PartitionMessages), deliveries)
	})
	assert.LessOrEqual(t, allocs, 5.0, "four for all messages, and dst itself")
}
