package kafka

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// note is what is committed with a position, in words: see consumer_start.go.
type note struct {
	topic topicID // zero: not noted
	// began is how many partitions the topic had when a subscription began in it at
	// the latest message. 0: it didn't, or it isn't noted.
	began int32
}

const (
	noteBegan = "messageproxy: began at the latest with partitions="
	noteTopic = "topic="
	noteBreak = "; "
	noteStart = "messageproxy: "
)

// String writes the note down.
func (n note) String() string {
	topic := noteTopic + base64.RawURLEncoding.EncodeToString(n.topic[:])
	if n.began > 0 {
		return noteBegan + strconv.Itoa(int(n.began)) + noteBreak + topic
	}
	return noteStart + topic
}

// isForeign reports whether the position is of another topic of the same name.
func (n note) isForeign(topic topicID) bool { return n.topic != (topicID{}) && n.topic != topic }

// parseNote understands what String writes, in part or as a whole; what somebody
// else has written notes nothing.
func parseNote(text string) (n note) {
	var rest string
	if digits, ok := strings.CutPrefix(text, noteBegan); ok {
		digits, rest, _ = strings.Cut(digits, noteBreak)
		if began, err := strconv.ParseInt(digits, 10, 32); err == nil && began > 0 {
			n.began = int32(began)
		}
	} else if rest, ok = strings.CutPrefix(text, noteStart); !ok {
		return note{}
	}
	if id, ok := strings.CutPrefix(rest, noteTopic); ok {
		id, _, _ = strings.Cut(id, noteBreak)
		if raw, err := base64.RawURLEncoding.DecodeString(id); err == nil && len(raw) == len(n.topic) {
			copy(n.topic[:], raw)
		}
	}
	return n
}

func noteOf(p *kmsg.OffsetFetchResponseGroupTopicPartition) note {
	if p.Metadata == nil || p.Offset < 0 {
		return note{}
	}
	return parseNote(*p.Metadata)
}
