package tap

import (
	"bytes"
	"hash/fnv"
	"math/rand/v2"
)

// separator ends the token at the beginning of a value. Tokens don't contain it.
const separator = 0

// Token returns the token that Value put into a value, or "" if there is none.
func Token(value []byte) string {
	end := bytes.IndexByte(value, separator)
	if end < 0 {
		return ""
	}
	return string(value[:end])
}

// Value returns a value of size bytes that begins with a token; if the token needs
// more, it is as long as that. The rest doesn't compress, and is the same for
// equal tokens.
func Value(token string, size int) []byte {
	value := make([]byte, max(size, len(token)+1))
	n := copy(value, token)
	value[n] = separator
	fill(value[n+1:], token)
	return value
}

func fill(b []byte, seed string) {
	hash := fnv.New64a()
	hash.Write([]byte(seed))
	random := rand.NewPCG(hash.Sum64(), 0)
	for len(b) > 0 {
		word := random.Uint64()
		for i := 0; i < 8 && len(b) > 0; i++ {
			b[0] = byte(word)
			b, word = b[1:], word>>8
		}
	}
}
