package tap_test

import (
	"bytes"
	"compress/flate"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/history/tap"
)

func TestTokenOfAValue(t *testing.T) {
	for _, size := range []int{0, 3, 8, 9, 10, 1000, 1 << 20} {
		value := tap.Value("c1-p0-17", size)
		assert.Len(t, value, max(size, 9))
		assert.Equal(t, "c1-p0-17", tap.Token(value))
		assert.Equal(t, value, tap.Value("c1-p0-17", size))
	}
	assert.NotEqual(t, tap.Value("a", 100)[2:], tap.Value("b", 100)[2:], "their filling differs")
}

func TestValuesDoNotCompress(t *testing.T) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	require.NoError(t, err)
	_, err = w.Write(tap.Value("token", 100_000))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	assert.Greater(t, out.Len(), 99_000)
}

func TestOtherValuesHaveNoToken(t *testing.T) {
	assert.Empty(t, tap.Token(nil))
	assert.Empty(t, tap.Token([]byte("hello")))
	assert.Empty(t, tap.Token([]byte("\x00hello")))
}
