package mutants_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/simulation/mutants"
)

func TestOverlayReplacesFilesByTheirMutants(t *testing.T) {
	m := mutants.All()[0]
	path, err := m.Overlay(root, t.TempDir())
	require.NoError(t, err)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var overlay struct{ Replace map[string]string }
	require.NoError(t, json.Unmarshal(raw, &overlay))
	require.Len(t, overlay.Replace, len(m.Edits))
	for original, replacement := range overlay.Replace {
		require.True(t, filepath.IsAbs(original))
		before, err := os.ReadFile(original)
		require.NoError(t, err)
		after, err := os.ReadFile(replacement)
		require.NoError(t, err)
		require.NotEqual(t, before, after)
		require.Contains(t, string(after), m.Edits[0].New)
	}
}
