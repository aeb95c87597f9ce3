package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/server"
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
	limitMemory(log, files{}.read)
	require.EqualValues(t, math.MaxInt64, debug.SetMemoryLimit(-1))
	limitMemory(log, files{version2: "10000000000"}.read)
	require.EqualValues(t, 9_000_000_000, debug.SetMemoryLimit(-1))
	limitMemory(log, files{version2: "20000000000"}.read)
	require.EqualValues(t, 9_000_000_000, debug.SetMemoryLimit(-1), "as if GOMEMLIMIT had set it")
}

func TestWhatIsOnItsWayIsSmallBesideWhatIsHeld(t *testing.T) {
	cfg := server.DefaultConfig()
	require.EqualValues(t, 64<<20, maxFetchBytes(cfg))
	cfg.Consume.MaxBufferedBytes = 64 << 20
	require.EqualValues(t, 16<<20, maxFetchBytes(cfg))
	cfg.Consume.MaxBufferedBytes = 1
	require.EqualValues(t, 1, maxFetchBytes(cfg))
}
