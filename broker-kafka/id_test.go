package kafka

import (
	"math"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

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
