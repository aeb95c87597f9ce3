package pgo_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/tools/bench/pgo"
)

func TestWriteMergesAndTellsNothingAboutTheMachine(t *testing.T) {
	folder := t.TempDir()
	a, b, merged := filepath.Join(folder, "a"), filepath.Join(folder, "b"), filepath.Join(folder, "merged")
	samples := record(t, a) + record(t, b)
	require.NoError(t, pgo.Write(merged, a, b))

	file, err := os.Open(merged)
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // read-only
	p, err := profile.Parse(file)
	require.NoError(t, err)
	require.Equal(t, samples, total(p))
	names := map[string]bool{}
	for _, f := range p.Function {
		require.Empty(t, f.Filename)
		names[f.Name] = true
	}
	require.Contains(t, names, "github.com/messageproxy/messageproxy/tools/bench/pgo_test.work")

	folder, err = os.Getwd()
	require.NoError(t, err)
	require.NotContains(t, unzip(t, merged), filepath.Dir(folder))
}

// What the proxy is built with was made so.
func TestTheProxysProfileTellsNothingAboutTheMachine(t *testing.T) {
	file, err := os.Open("../../../server/cmd/messageproxy/default.pgo")
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // read-only
	p, err := profile.Parse(file)
	require.NoError(t, err)
	require.NotZero(t, total(p))
	for _, f := range p.Function {
		require.Empty(t, f.Filename)
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "nothing")
	require.ErrorContains(t, pgo.Write(filepath.Join(t.TempDir(), "merged"), name), name)
	require.NoError(t, os.WriteFile(name, []byte("no profile"), 0o600))
	require.ErrorContains(t, pgo.Write(filepath.Join(t.TempDir(), "merged"), name), name)
}

// record writes a profile of some work, and returns how many samples it has.
func record(t *testing.T, name string) (samples int64) {
	t.Helper()
	var data bytes.Buffer
	for samples == 0 {
		data.Reset()
		require.NoError(t, pprof.StartCPUProfile(&data))
		for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
			sink = work(sink)
		}
		pprof.StopCPUProfile()
		p, err := profile.ParseData(data.Bytes())
		require.NoError(t, err)
		samples = total(p)
	}
	require.NoError(t, os.WriteFile(name, data.Bytes(), 0o600))
	return samples
}

var sink int

//go:noinline
func work(n int) int {
	for i := range 1 << 16 {
		n = n*31 + i
	}
	return n
}

func total(p *profile.Profile) (n int64) {
	for _, sample := range p.Sample {
		n += sample.Value[0]
	}
	return n
}

func unzip(t *testing.T, name string) string {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // read-only
	reader, err := gzip.NewReader(file)
	require.NoError(t, err)
	data, err := io.ReadAll(reader)
	require.NoError(t, err)
	return string(data)
}
