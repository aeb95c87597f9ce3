package memory

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

const mib = 1 << 20

func TestGarbageIsCollectedWhenIdle(t *testing.T) {
	type look struct {
		heap heap
		want bool // whether garbage is collected then
	}
	for name, looks := range map[string][]look{
		"little garbage": {
			{heap{20 * mib, 20 * mib, 0, 5 * mib}, false}, {heap{20 * mib, 20 * mib, 0, 5 * mib}, false}, {heap{20 * mib, 20 * mib, 0, 5 * mib}, false},
		},
		"a rush": {
			{heap{100 * mib, 90 * mib, 0, 5 * mib}, false},
			{heap{100 * mib, 90 * mib, 0, 5 * mib}, false}, // idle for one look
			{heap{101 * mib, 91 * mib, 0, 5 * mib}, true},
			{heap{101 * mib, 30 * mib, 0, 30 * mib}, false}, // there is none left
		},
		"busy": {
			{heap{100 * mib, 90 * mib, 0, 5 * mib}, false},
			{heap{102 * mib, 92 * mib, 0, 5 * mib}, false},
			{heap{104 * mib, 94 * mib, 0, 5 * mib}, false},
			{heap{106 * mib, 96 * mib, 0, 5 * mib}, false},
		},
		"busy again": {
			{heap{100 * mib, 90 * mib, 0, 5 * mib}, false},
			{heap{100 * mib, 90 * mib, 0, 5 * mib}, false},
			{heap{110 * mib, 95 * mib, 0, 5 * mib}, false},
			{heap{110 * mib, 95 * mib, 0, 5 * mib}, false},
			{heap{110 * mib, 95 * mib, 0, 5 * mib}, true},
		},
		"little garbage for so much": {
			{heap{1000 * mib, 500 * mib, 0, 450 * mib}, false},
			{heap{1000 * mib, 500 * mib, 0, 450 * mib}, false},
			{heap{1000 * mib, 500 * mib, 0, 450 * mib}, false},
		},
		"what is free isn't given back": {
			{heap{100 * mib, 30 * mib, 60 * mib, 30 * mib}, false},
			{heap{100 * mib, 30 * mib, 60 * mib, 30 * mib}, false},
			{heap{100 * mib, 30 * mib, 60 * mib, 30 * mib}, true},
			{heap{100 * mib, 30 * mib, 1 * mib, 30 * mib}, false},
		},
		"it gathers slowly": {
			{heap{100 * mib, 10 * mib, 0, 10 * mib}, false},
			{heap{101 * mib, 15 * mib, 0, 10 * mib}, false},
			{heap{102 * mib, 20 * mib, 0, 10 * mib}, false},
			{heap{103 * mib, 26 * mib, 0, 10 * mib}, true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			collected := false
			watch := idleWatch{collect: func() { collected = true }}
			for i, look := range looks {
				collected = false
				watch.read = func() heap { return look.heap }
				watch.look()
				require.Equal(t, look.want, collected, "look %d", i+1)
			}
		})
	}
}

// The figures of Go's own heap are those that the decision needs.
func TestTheHeapOfThisProcessIsCollectedWhenIdle(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	before := readHeap()
	for range 64 {
		garbage := make([]byte, mib)
		runtime.KeepAlive(&garbage)
	}
	rush := readHeap()
	require.GreaterOrEqual(t, rush.allocated, before.allocated+64*mib)
	require.GreaterOrEqual(t, rush.objects, before.objects+64*mib)
	collections := 0
	watch := idleWatch{read: readHeap, collect: func() { collections++; debug.FreeOSMemory() }}
	for range 5 {
		watch.look()
	}
	require.Equal(t, 1, collections)
	require.Less(t, readHeap().objects, before.objects+16*mib)
}

func TestCollectWhenIdleEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	t.Setenv("GOGC", "")
	CollectWhenIdle(ctx)
	t.Setenv("GOGC", "50")
	CollectWhenIdle(context.Background()) // does nothing
}
