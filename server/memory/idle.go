package memory

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// idleLook is how often CollectWhenIdle looks.
	idleLook = time.Second
	// idleLooks is for how many looks the process has to be idle.
	idleLooks = 2
	// idleAllocation is up to how many bytes an idle process allocates between two looks.
	idleAllocation = 1 << 20
	// leastIdleGarbage is how many bytes of garbage, or free ones, are worth a collection.
	leastIdleGarbage = 16 << 20
)

// CollectWhenIdle has garbage collected, and memory given back to the operating system,
// when the process has hardly allocated anything for two seconds and holds much that is
// free or may be garbage: 16 MiB, or an eighth of what is in use if that is more. Go
// itself waits two minutes, and then gives memory back over minutes more, so that a
// server would keep what a rush of clients has left behind.
//
// It does nothing if GOGC is set, and otherwise returns when ctx ends.
func CollectWhenIdle(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	ticker := time.NewTicker(idleLook)
	defer ticker.Stop()
	watch := idleWatch{read: readHeap, collect: debug.FreeOSMemory}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			watch.look()
		}
	}
}

// heap is what is known of Go's heap, in bytes.
type heap struct {
	allocated uint64 // since the process began
	objects   uint64 // in use, or garbage that wasn't found yet
	free      uint64 // of no use, and not given back to the operating system
	inUse     uint64 // found by the last collection
}

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	return heap{
		allocated: samples[0].Value.Uint64(), objects: samples[1].Value.Uint64(),
		free: samples[2].Value.Uint64(), inUse: samples[3].Value.Uint64(),
	}
}

// idleWatch decides when to collect.
type idleWatch struct {
	read    func() heap
	collect func()

	allocated uint64
	idle      int // looks since which the process is idle
}

func (w *idleWatch) look() {
	now := w.read()
	busy := now.allocated-w.allocated > idleAllocation
	w.allocated = now.allocated
	if busy {
		w.idle = 0
		return
	}
	w.idle++
	if w.idle >= idleLooks && now.objects+now.free >= now.inUse+max(leastIdleGarbage, now.inUse/8) {
		w.collect()
	}
}
