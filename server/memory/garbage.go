package memory

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
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

// GarbageAllowance is how much more garbage AllowGarbage lets gather, in bytes, unless
// memory is short.
const GarbageAllowance = 64 << 20

// allowance is memory that is in use for the garbage collector, and for nobody else:
// nothing ever touches it, so it takes addresses and no memory.
var allowance []byte

// AllowGarbage has Go's garbage collector let GarbageAllowance more garbage gather than
// it would, or a sixteenth of the memory limit if that is less. Without it, a server that
// has a few megabytes in use, as most have, and turns over a few hundred a second
// collects garbage tens of times a second, which takes a fifth of its processor time. It
// does nothing if GOGC is set: whoever sets that knows what they want.
func AllowGarbage() {
	allowance = make([]byte, allowanceBytes(os.Getenv("GOGC"), debug.SetMemoryLimit(-1)))
}

func allowanceBytes(gogc string, limit int64) int64 {
	if gogc != "" {
		return 0
	}
	return min(GarbageAllowance, limit/16)
}
