package kafka

import (
	"encoding/base64"
	"encoding/binary"
)

// topicID is the UUID that Kafka gave a topic when it was created. A topic that
// is deleted and created again has another one.
type topicID = [16]byte

// A message's public ID is its topic's UUID, its partition and its offset, big
// endian, as unpadded URL-safe base64: always 38 characters.
const (
	messageIDBytes = 16 + 4 + 8
	messageIDChars = (messageIDBytes*8 + 5) / 6
)

// Strict, so that the bits left over in the last character must be zero: each id
// has one text form.
var messageIDEncoding = base64.RawURLEncoding.Strict()

// appendMessageID appends the public ID of a message to dst. The topic must be
// known (not the zero UUID), partition and offset must not be negative.
func appendMessageID(dst []byte, topic topicID, partition int32, offset int64) []byte {
	var raw [messageIDBytes]byte
	copy(raw[:16], topic[:])
	binary.BigEndian.PutUint32(raw[16:], uint32(partition))
	binary.BigEndian.PutUint64(raw[20:], uint64(offset))
	return messageIDEncoding.AppendEncode(dst, raw[:])
}

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
