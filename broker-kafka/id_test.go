package kafka

import (
	"encoding/binary"
	"math"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// parseMessageID is the inverse of appendMessageID. It answers false for any
// text that appendMessageID doesn't build. It doesn't allocate.
func parseMessageID(s string) (topic topicID, partition int32, offset int64, ok bool) {
	if len(s) != messageIDChars {
		return topicID{}, 0, 0, false
	}
	var text [messageIDChars]byte
	var raw [messageIDBytes]byte
	copy(text[:], s)
	// The decoder skips line breaks: they show in the number of bytes.
	if n, err := messageIDEncoding.Decode(raw[:], text[:]); err != nil || n != len(raw) {
		return topicID{}, 0, 0, false
	}
	copy(topic[:], raw[:16])
	partition = int32(binary.BigEndian.Uint32(raw[16:]))
	offset = int64(binary.BigEndian.Uint64(raw[20:]))
	if topic == (topicID{}) || partition < 0 || offset < 0 {
		return topicID{}, 0, 0, false
	}
	return topic, partition, offset, true
}

func TestMessageIDsSurviveTheRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topic := topicID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "topic"))
		topic[0] |= 1 // the zero UUID is none
		partition := rapid.Int32Range(0, math.MaxInt32).Draw(t, "partition")
		offset := rapid.Int64Range(0, math.MaxInt64).Draw(t, "offset")

		id := string(appendMessageID([]byte("prefix"), topic, partition, offset))
		require.Equal(t, "prefix", id[:6])
		gotTopic, gotPartition, gotOffset, ok := parseMessageID(id[6:])
		require.True(t, ok)
		assert.Equal(t, topic, gotTopic)
		assert.Equal(t, partition, gotPartition)
		assert.Equal(t, offset, gotOffset)
	})
}

// What is made of the prefix of a partition, and read beside it, is what the encoding by
// the book makes and reads.
func FuzzIDPrefix(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), int32(1), int64(2), "")
	f.Add([]byte("0123456789abcdef"), int32(math.MaxInt32), int64(idMaxOffset), "AAAAAAAAAAE")
	f.Add([]byte{0}, int32(0), int64(0), "AAAAAAAAAA=")
	f.Fuzz(func(t *testing.T, topicBytes []byte, partition int32, offset int64, tail string) {
		var topic topicID
		copy(topic[:], topicBytes)
		topic[0] |= 1 // the zero UUID is none
		partition &= math.MaxInt32
		offset &= idMaxOffset
		prefix := newIDPrefix(topic, partition)
		id := prefix.appendID(nil, offset)
		require.Equal(t, string(appendMessageID(nil, topic, partition, offset)), string(id))
		got, ok := parseOffset(string(id))
		require.True(t, ok)
		require.Equal(t, offset, got)

		other := string(prefix) + tail
		_, _, want, wantOK := parseMessageID(other)
		got, ok = parseOffset(other)
		require.Equal(t, wantOK, ok)
		if ok {
			require.Equal(t, want, got)
		}
	})
}

// Each message has one text form: whatever is accepted is what is built.
func FuzzParseMessageID(f *testing.F) {
	id := string(appendMessageID(nil, topicID{1, 2, 3}, 4, 5))
	for _, s := range []string{"", id, id + "A", id[:37], id[:37] + "\n", id[:36] + "\r\n", id[:37] + "B", id[:37] + "=", id[:36] + "ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		topic, partition, offset, ok := parseMessageID(s)
		if !ok {
			return
		}
		require.Equal(t, s, string(appendMessageID(nil, topic, partition, offset)))
		require.True(t, utf8.ValidString(s))
	})
}

// Each message has an id of its own: what is built of a message is read back as it
// was, and what is built of anything else isn't read.
func FuzzAppendMessageID(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), int32(1), int64(2))
	f.Add(make([]byte, 16), int32(0), int64(0))
	f.Add([]byte{15: 1}, int32(-1), int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, topicBytes []byte, partition int32, offset int64) {
		var topic topicID
		copy(topic[:], topicBytes)
		id := appendMessageID(nil, topic, partition, offset)
		require.Len(t, id, messageIDChars)
		gotTopic, gotPartition, gotOffset, ok := parseMessageID(string(id))
		require.Equal(t, topic != topicID{} && partition >= 0 && offset >= 0, ok)
		if ok {
			require.Equal(t, topic, gotTopic)
			require.Equal(t, partition, gotPartition)
			require.Equal(t, offset, gotOffset)
		}
	})
}

func TestWhatIsNoMessageID(t *testing.T) {
	id := string(appendMessageID(nil, topicID{1}, 1, 1))
	for _, s := range []string{
		"", id[:37], id + "A", id[:37] + "F", id[:37] + "\n", "+" + id[1:],
		string(appendMessageID(nil, topicID{}, 1, 1)),
		string(appendMessageID(nil, topicID{1}, -1, 1)),
		string(appendMessageID(nil, topicID{1}, 1, -1)),
	} {
		_, _, _, ok := parseMessageID(s)
		assert.False(t, ok, "%q", s)
	}
}

func TestMessageIDsCostNoAllocation(t *testing.T) {
	buf := make([]byte, 0, messageIDChars)
	id := string(appendMessageID(nil, topicID{1}, 2, 3))
	assert.Zero(t, testing.AllocsPerRun(100, func() { appendMessageID(buf, topicID{1}, 2, 3) }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { parseMessageID(id) }))
}
