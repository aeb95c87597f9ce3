package wire

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxTopicBytes is the longest topic name that a client may give.
const MaxTopicBytes = 512

// maxQuoted is how much of a client's text an error quotes.
const maxQuoted = 128

const replacement = string(unicode.ReplacementChar)

// Text returns s as valid UTF-8, with U+FFFD for each run of bytes that isn't. It
// doesn't allocate when there is nothing to repair.
func Text(s string) string { return strings.ToValidUTF8(s, replacement) }

// HeaderKey returns a header key that can go on the wire, and whether it had to
// be repaired. Callers count the repairs.
func HeaderKey(s string) (key string, repaired bool) {
	if utf8.ValidString(s) {
		return s, false
	}
	return Text(s), true
}

// Quote quotes text of a client for an error message, and cuts it if it is long.
func Quote(s string) string {
	return strconv.Quote(shorten(s, maxQuoted))
}

// TopicProblem says what is wrong with a topic name that a client gave, to
// follow the name of the field in an error, or "" if nothing is. Whether the
// broker would accept the name is for the broker to say.
func TopicProblem(topic string) string {
	switch {
	case topic == "":
		return "is empty: name a topic"
	case len(topic) > MaxTopicBytes:
		return "is longer than " + strconv.Itoa(MaxTopicBytes) + " bytes: " + Quote(topic)
	case !utf8.ValidString(topic):
		return "is not valid UTF-8: " + Quote(topic)
	case strings.ContainsFunc(topic, unicode.IsControl):
		return "contains control characters: " + Quote(topic)
	}
	return ""
}

// shorten cuts s, at a rune's boundary, so that it has at most limit bytes with
// the ellipsis that says so.
func shorten(s string, limit int) string {
	const ellipsis = "…"
	if len(s) <= limit {
		return s
	}
	end := limit - len(ellipsis)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
