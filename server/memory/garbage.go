package memory

import (
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// LimitToContainer tells Go's garbage collector how much memory the container has, less a
// tenth for what it doesn't manage, unless GOMEMLIMIT says something. Otherwise it
// would let garbage grow to as much as is in use, past the container's limit if need
// be, which kills the process.
func LimitToContainer(log *slog.Logger) { limitToContainer(log, os.ReadFile) }

func limitToContainer(log *slog.Logger, readFile func(string) ([]byte, error)) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return // GOMEMLIMIT
	}
	if limit := containerMemory(readFile); limit > 0 {
		debug.SetMemoryLimit(limit - limit/10)
		log.Info("memory is limited: garbage is collected in time", "container", limit, "limit", limit-limit/10)
	}
}

// containerMemory is how much memory this process's control group may use, or 0 if
// there is no limit, or none that can be known.
func containerMemory(readFile func(string) ([]byte, error)) int64 {
	for _, name := range []string{
		"/sys/fs/cgroup/memory.max",                   // version 2
		"/sys/fs/cgroup/memory/memory.limit_in_bytes", // version 1, which writes a very large number for no limit
	} {
		text, err := readFile(name)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit < 1<<50 {
			return max(limit, 0)
		}
	}
	return 0
}

// GarbageAllowance is up to how many bytes of garbage gather in any case once AllowGarbage
// was called, unless memory is short.
const GarbageAllowance = 64 << 20

// AllowGarbage has Go's garbage collector let as much garbage gather as is in use, as it
// does by itself, but GarbageAllowance at least, or a sixteenth of the memory limit if
// that is less. Without it, a server that has a few megabytes in use, as most have, and
// turns over a few hundred a second collects garbage tens of times a second, which takes a
// fifth of its processor time.
//
// It does nothing if GOGC is set: whoever sets that knows what they want. It is called
// once in the life of a process.
func AllowGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	allowance := min(GarbageAllowance, debug.SetMemoryLimit(-1)/16)
	current := usualPercent
	adjust := func() {
		// To set it stops the world for a moment, so not for nothing: a little more garbage
		// than the allowance does no harm.
		if percent := garbagePercent(allowance, inUse()); percent > current || percent < current-current/8 {
			current = percent
			debug.SetGCPercent(percent)
		}
	}
	adjust()
	afterCollections(adjust)
}

const (
	// usualPercent is what GOGC is if it isn't set.
	usualPercent = 100
	// smallestHeap is what grows before garbage is first collected with that. It changes
	// with GOGC too.
	smallestHeap = 4 << 20
)

// garbagePercent is what GOGC has to be for so much garbage, or for as much as is in use
// if that is more.
func garbagePercent(allowance, inUse int64) int {
	return int(max(usualPercent, allowance*100/max(inUse, smallestHeap)))
}

// inUse is what GOGC is a percentage of: what the last collection found.
func inUse() (bytes int64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}
	metrics.Read(samples)
	for _, sample := range samples {
		bytes += int64(sample.Value.Uint64())
	}
	return bytes
}

// afterCollections calls f after each garbage collection: when it has found that an
// object is gone that nothing refers to.
func afterCollections(f func()) {
	object := new([64]byte)
	runtime.AddCleanup(object, func(f func()) {
		f()
		afterCollections(f)
	}, f)
}
