package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const spec = "../../../SPEC.md"

func TestScenariosAreListed(t *testing.T) {
	var stdout, stderr strings.Builder
	assert.Zero(t, run(t.Context(), []string{"-spec", spec, "-list", "-run", "^H3$"}, &stdout, &stderr), stderr.String())
	assert.Equal(t, 1, strings.Count(stdout.String(), "\n"), stdout.String())
	assert.Contains(t, stdout.String(), "H3")
}

func TestASentenceWithoutAScenarioFails(t *testing.T) {
	text, err := os.ReadFile(spec)
	require.NoError(t, err)
	longer := filepath.Join(t.TempDir(), "SPEC.md")
	require.NoError(t, os.WriteFile(longer, append(text, "\n- **Z1** Nobody shows this.\n"...), 0o600))
	var stdout, stderr strings.Builder
	assert.Equal(t, 1, run(t.Context(), []string{"-spec", longer, "-list"}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "no scenario shows Z1: Nobody shows this.")
}

func TestCommandLinesThatMakeNoSense(t *testing.T) {
	for _, args := range [][]string{
		{"-spec", spec},
		{"-spec", "nowhere", "-list"},
		{"-spec", spec, "-run", "("},
		{"-spec", spec, "-driver", "go"},
		{"-spec", spec, "-driver", "go="},
		{"-spec", spec, "-driver", "go=a", "-driver", "go=b"},
		{"-spec", spec, "-driver", "go=a", "-run", "no scenario has this name"},
		{"-unknown"},
	} {
		var stdout, stderr strings.Builder
		assert.Equal(t, 2, run(t.Context(), args, &stdout, &stderr), "%q", args)
		assert.NotEmpty(t, stderr.String(), "%q", args)
	}
}

func TestADriverThatCantBeStartedFails(t *testing.T) {
	var stdout, stderr strings.Builder
	args := []string{"-spec", spec, "-driver", "missing=" + filepath.Join(t.TempDir(), "driver"), "-run", "^C2$"}
	assert.Equal(t, 1, run(t.Context(), args, &stdout, &stderr))
	assert.Contains(t, stdout.String(), "FAILED: missing: targets that can never work")
}
