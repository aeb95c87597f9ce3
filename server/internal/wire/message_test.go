package wire

import (
	"math"
	"testing"
	"time"

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
