package memory

import (
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// files are those of a machine.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	if text, ok := f[name]; ok {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

const (
	version1 = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
	version2 = "/sys/fs/cgroup/memory.max"
)

func TestContainerMemory(t *testing.T) {
	for name, test := range map[string]struct {
		files files
		want  int64
	}{
		"no control groups":     {},
		"version 2":             {files{version2: "536870912\n"}, 512 << 20},
		"version 2, no limit":   {files{version2: "max\n"}, 0},
		"version 1":             {files{version1: "536870912\n"}, 512 << 20},
		"version 1, no limit":   {files{version1: "9223372036854771712\n"}, 0},
		"nonsense":              {files{version2: "a lot", version1: ""}, 0},
		"negative is no limit":  {files{version2: "-1"}, 0},
		"version 2 goes before": {files{version2: "1000", version1: "2000"}, 1000},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, containerMemory(test.files.read)) })
	}
	require.Zero(t, containerMemory(func(string) ([]byte, error) { return nil, errors.New("denied") }))
}

func TestTheMemoryLimitIsTheContainersUnlessItIsSet(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	log := slog.New(slog.DiscardHandler)
	limitToContainer(log, files{}.read)
	require.EqualValues(t, math.MaxInt64, debug.SetMemoryLimit(-1))
	limitToContainer(log, files{version2: "10000000000"}.read)
	require.EqualValues(t, 9_000_000_000, debug.SetMemoryLimit(-1))
	limitToContainer(log, files{version2: "20000000000"}.read)
	require.EqualValues(t, 9_000_000_000, debug.SetMemoryLimit(-1), "as if GOMEMLIMIT had set it")
}

func TestGarbageIsAllowedWhileLittleIsInUse(t *testing.T) {
	for inUse, want := range map[int64]int{
		0: 1600, 1 << 20: 1600, 4 << 20: 1600, 16 << 20: 400, 32 << 20: 200, 64 << 20: 100, 65 << 20: 100, 10 << 30: 100,
	} {
		require.Equal(t, want, garbagePercent(GarbageAllowance, inUse), "%d bytes in use", inUse)
	}
}

// It follows what is in use, up and down.
func TestAllowGarbageFollowsWhatIsInUse(t *testing.T) {
	t.Setenv("GOGC", "")
	AllowGarbage()
	awaitGoal(t, GarbageAllowance, 2*GarbageAllowance)
	large := make([]byte, 3*GarbageAllowance)
	awaitGoal(t, 6*GarbageAllowance, 7*GarbageAllowance)
	runtime.KeepAlive(large)
	large = nil //nolint:ineffassign,wastedassign // lets go of it
	awaitGoal(t, GarbageAllowance, 2*GarbageAllowance)
}

// awaitGoal collects garbage until the heap may grow to so much before it is collected
// next.
func awaitGoal(t *testing.T, from, to uint64) {
	t.Helper()
	sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	require.Eventually(t, func() bool {
		runtime.GC()
		metrics.Read(sample)
		return from <= sample[0].Value.Uint64() && sample[0].Value.Uint64() < to
	}, 30*time.Second, time.Millisecond)
}
