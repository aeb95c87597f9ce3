package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"
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
