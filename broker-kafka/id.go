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

const (
	// idPartitionChars is how many characters of an id tell the partition. The last of
	// them has the first two bits of the offset too: zeros, as no log gets that long.
	idPartitionChars = 27
	idAlphabet       = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	idMaxOffset      = 1<<62 - 1
)

// idDigits has the six bits that a character stands for, or noDigit.
var idDigits = func() (digits [256]byte) {
	for i := range digits {
		digits[i] = noDigit
	}
	for i := range idAlphabet {
		digits[idAlphabet[i]] = byte(i)
	}
	return digits
}()

const noDigit = 0xff

// idPrefix is what the ids of a partition's messages begin with.
type idPrefix string

func newIDPrefix(topic topicID, partition int32) idPrefix {
	return idPrefix(appendMessageID(nil, topic, partition, 0)[:idPartitionChars])
}

// appendID is appendMessageID for a message of the partition, in a fraction of the time.
// The offset must not be above idMaxOffset.
func (p idPrefix) appendID(dst []byte, offset int64) []byte {
	dst = append(dst, p...)
	for shift := 56; shift >= 2; shift -= 6 {
		dst = append(dst, idAlphabet[offset>>shift&63])
	}
	return append(dst, idAlphabet[offset&3<<4])
}

// parseOffset reads the offset of an id that begins with the prefix of a partition. It
// answers false if what follows the prefix is not what appendID makes.
func parseOffset(id string) (offset int64, ok bool) {
	if len(id) != messageIDChars {
		return 0, false
	}
	last := idDigits[id[messageIDChars-1]]
	bad := last & 15 // also of noDigit
	for i := idPartitionChars; i < messageIDChars-1; i++ {
		digit := idDigits[id[i]]
		bad |= digit &^ 63
		offset = offset<<6 | int64(digit)
	}
	return offset<<2 | int64(last>>4), bad == 0
}
