package memory

import (
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
)

// The sizes of gRPC's buffers, as powers of two. Those it has by itself go from 32 KiB
// to 1 MiB at once: a frame of 33 KiB that a client doesn't read would keep 1 MiB.
const (
	smallestBuffer = 8
	largestBuffer  = 20 // above it, buffers are as large as is asked for
)

// newBufferPool returns a pool whose buffers are less than twice what is asked for,
// but for the smallest.
func newBufferPool() (mem.BufferPool, error) {
	var sizes []uint8
	for s := uint8(smallestBuffer); s <= largestBuffer; s++ {
		sizes = append(sizes, s)
	}
	return mem.NewBinaryTieredBufferPool(sizes...)
}

// FitBuffers has gRPC use such a pool. It must be called before anything else of
// gRPC's is.
func FitBuffers() {
	if pool, err := newBufferPool(); err == nil { // it fails for sizes that no machine has
		experimental.SetDefaultBufferPool(pool)
	}
}
