package protocol

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is a text that need not be valid Unicode. In JSON half of a surrogate pair stands
// alone in it, as "\ud800", which languages whose texts are UTF-16 take as it is; here it
// is its three bytes, which UTF-8 doesn't allow.
type Text string

// NoUnicode is a text that isn't valid Unicode in any language.
const NoUnicode = Text("half a pair: \xed\xa0\x80")

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('"')
	for rest := string(t); rest != ""; {
		if half, ok := surrogate(rest); ok {
			fmt.Fprintf(&b, `\u%04x`, half)
			rest = rest[3:]
			continue
		}
		r, n := utf8.DecodeRuneInString(rest)
		if r == utf8.RuneError && n == 1 {
			return nil, fmt.Errorf("%q can't be said in JSON", string(t))
		}
		quoted, err := json.Marshal(string(r))
		if err != nil {
			return nil, err
		}
		b.Write(quoted[1 : len(quoted)-1])
		rest = rest[n:]
	}
	b.WriteByte('"')
	return []byte(b.String()), nil
}

// surrogate returns the half of a surrogate pair that s begins with, if it does.
func surrogate(s string) (rune, bool) {
	if len(s) < 3 || s[0] != 0xed || s[1]&0xe0 != 0xa0 || s[2]&0xc0 != 0x80 {
		return 0, false
	}
	return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), true
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(data []byte) error {
	var b strings.Builder
	for rest := string(data); rest != ""; {
		if half, ok := escaped(rest); ok {
			if other, paired := escaped(rest[6:]); paired && utf16.DecodeRune(half, other) != utf8.RuneError {
				b.WriteString(rest[:12])
				rest = rest[12:]
				continue
			}
			if utf16.IsSurrogate(half) {
				b.WriteString(marker(half))
				rest = rest[6:]
				continue
			}
		}
		n := 1
		if rest[0] == '\\' && len(rest) > 1 {
			n = 2
		}
		b.WriteString(rest[:n])
		rest = rest[n:]
	}
	var s string
	if err := json.Unmarshal([]byte(b.String()), &s); err != nil {
		return err
	}
	*t = Text(unmark(s))
	return nil
}

// escaped returns the code unit that s begins with as "\uXXXX", if it does.
func escaped(s string) (rune, bool) {
	if len(s) < 6 || s[:2] != `\u` {
		return 0, false
	}
	unit, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(unit), err == nil
}

// markers are runes for private use, a pair of which stands for a half while the rest is
// decoded. No scenario has such a pair in its texts.
const markers = 0x10f000

func marker(half rune) string {
	return string([]rune{markers, markers + 1 + half - 0xd800})
}

func unmark(s string) string {
	if !strings.ContainsRune(s, markers) {
		return s
	}
	var b strings.Builder
	runes := []rune(s)
	for i := 0; i < len(runes); i++ {
		if runes[i] != markers || i+1 == len(runes) || runes[i+1] <= markers || runes[i+1] > markers+0x800 {
			b.WriteRune(runes[i])
			continue
		}
		i++
		half := runes[i] - markers - 1 + 0xd800
		b.Write([]byte{0xe0 | byte(half>>12), 0x80 | byte(half>>6)&0x3f, 0x80 | byte(half)&0x3f})
	}
	return b.String()
}
