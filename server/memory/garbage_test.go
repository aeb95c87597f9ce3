package memory

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

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

func TestGarbageIsAllowedWhereThereIsRoomForIt(t *testing.T) {
	require.EqualValues(t, GarbageAllowance, allowanceBytes("", math.MaxInt64))
	require.EqualValues(t, GarbageAllowance, allowanceBytes("", 16*GarbageAllowance))
	require.EqualValues(t, 8<<20, allowanceBytes("", 128<<20))
	require.Zero(t, allowanceBytes("100", math.MaxInt64), "GOGC decides")
}

// The allowance counts for the garbage collector, and takes no memory.
func TestTheAllowanceTakesAddressesOnly(t *testing.T) {
	before := goal()
	AllowGarbage()
	defer func() { allowance = nil; runtime.GC() }()
	require.GreaterOrEqual(t, goal(), before+GarbageAllowance)
	resident, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("only Linux tells how much memory is resident")
	}
	var size, pages int
	_, err = fmt.Sscan(string(resident), &size, &pages)
	require.NoError(t, err)
	require.Less(t, pages*os.Getpagesize(), GarbageAllowance)
}

// goal is up to where the heap grows before garbage is collected next.
func goal() uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
