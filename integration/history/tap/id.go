package tap

import (
	"encoding/base64"
	"encoding/binary"
)

// topicID is the UUID of one incarnation of a topic.
type topicID = [16]byte

// A message's id is 16 bytes of its topic's UUID, 4 of its partition and 8 of its
// position, in base64. It is taken apart here by a second implementation, so that
// a broken one in the backend doesn't vouch for itself.
const (
	idBytes = 16 + 4 + 8
	idChars = (idBytes*8 + 5) / 6
)

// idParts are where an id says that its message is.
type idParts struct {
	topic     topicID
	partition int32
	position  int64
}

// parseID takes an id apart; ok is false for what isn't one.
func parseID(id string) (p idParts, ok bool) {
	var text [idChars]byte
	var raw [idBytes]byte
	if len(id) != idChars {
		return p, false
	}
	copy(text[:], id)
	if n, err := base64.RawURLEncoding.Decode(raw[:], text[:]); err != nil || n != idBytes {
		return p, false
	}
	copy(p.topic[:], raw[:16])
	p.partition = int32(binary.BigEndian.Uint32(raw[16:20]))
	p.position = int64(binary.BigEndian.Uint64(raw[20:28]))
	return p, true
}

// formatID is the inverse of parseID.
func formatID(p idParts) string {
	var raw [idBytes]byte
	copy(raw[:16], p.topic[:])
	binary.BigEndian.PutUint32(raw[16:20], uint32(p.partition))
	binary.BigEndian.PutUint64(raw[20:28], uint64(p.position))
	return base64.RawURLEncoding.EncodeToString(raw[:])
}
