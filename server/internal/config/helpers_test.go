package config

import (
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// input is an Input of made-up flags, variables and a file called proxy.yaml.
type input struct {
	flags []string
	env   []string
	file  string
}

func (in input) load(t testing.TB, c Command) (*Loaded, error) {
	t.Helper()
	flags, err := in.parse(c)
	require.NoError(t, err)
	return in.loadParsed(c, flags)
}

func (in input) parse(c Command) (*pflag.FlagSet, error) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	AddFlags(flags, c)
	args := in.flags
	if in.file != "" {
		args = append([]string{"--config", "proxy.yaml"}, args...)
	}
	return flags, flags.Parse(args)
}

func (in input) loadParsed(c Command, flags *pflag.FlagSet) (*Loaded, error) {
	return Load(c, Input{Flags: flags, Environ: in.env, ReadFile: func(name string) ([]byte, error) {
		if name != "proxy.yaml" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(in.file), nil
	}})
}

func (in input) mustLoad(t testing.TB, c Command) *Loaded {
	t.Helper()
	loaded, err := in.load(t, c)
	require.NoError(t, err)
	return loaded
}

func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run the test with -update if this is meant")
}
