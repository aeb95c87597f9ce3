package workspace

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A module that is missing from one of these lists would go untested.
func TestWorkflowsNameEveryModule(t *testing.T) {
	for _, name := range []string{"ci.yml", "vulnerabilities.yml"} {
		_, list, found := strings.Cut(read(t, ".github/workflows/"+name), "module: [")
		require.True(t, found, name)
		list, _, _ = strings.Cut(list, "]")
		assert.ElementsMatch(t, slices.Collect(maps.Keys(loadModules(t))), strings.Split(list, ", "), name)
	}
}

func TestDependabotWatchesEveryModule(t *testing.T) {
	watched := read(t, ".github/dependabot.yml")
	for dir := range loadModules(t) {
		assert.Contains(t, watched, "- /"+dir+"\n")
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(content)
}
