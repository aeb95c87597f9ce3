package memory

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuffersAreLessThanTwiceAsLargeAsNeeded(t *testing.T) {
	pool, err := newBufferPool()
	require.NoError(t, err)
	for length := 1 << smallestBuffer; length < 4<<largestBuffer; length += length/7 + 1 {
		buffer := pool.Get(length)
		require.Len(t, *buffer, length)
		require.Less(t, cap(*buffer), 2*length)
		pool.Put(buffer)
	}
}
