package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writeWorkspace makes a repository of two modules, of which a requires b.
func writeWorkspace(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"LICENSE":    "do as you like\n",
		"go.work":    "go 1.26.0\n\nuse (\n\t./a\n\t./b/c\n)\n",
		"a/go.mod":   "module example.com/w/a\n\ngo 1.26.0\n\nrequire example.com/w/b/c v0.0.0\n\nreplace example.com/w/b/c => ../b/c\n",
		"a/a.go":     "package a\n\nimport _ \"example.com/w/b/c\"\n",
		"b/c/go.mod": "module example.com/w/b/c\n\ngo 1.26.0\n",
		"b/c/c.go":   "package c\n",
	}
	for name, content := range files {
		name = filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(content), 0o644))
	}
	commitAll(t, root)
	return root
}

// commitAll makes root a repository with one commit.
func commitAll(t *testing.T, root string) {
	t.Helper()
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"config", "user.name", "Release Test"},
		{"config", "user.email", "test@example.com"},
		{"add", "--all"},
		{"commit", "--quiet", "--message", "Begin"},
	} {
		_, err := git(t.Context(), root, args...)
		require.NoError(t, err)
	}
}

func TestReleaseRequiresSiblingsAtItsVersion(t *testing.T) {
	root := writeWorkspace(t)
	plan, err := Prepare(t.Context(), root, "HEAD", "v0.3.0")
	require.NoError(t, err)

	assert.Equal(t, []string{"b/c/v0.3.0", "a/v0.3.0"}, plan.Tags, "what is required is tagged first")
	mod, err := git(t.Context(), root, "show", plan.Commit+":a/go.mod")
	require.NoError(t, err)
	assert.Equal(t, "module example.com/w/a\n\ngo 1.26.0\n\nrequire example.com/w/b/c v0.3.0\n", mod)
	sum, err := git(t.Context(), root, "show", plan.Commit+":a/go.sum")
	require.NoError(t, err)
	assert.Regexp(t, `^example\.com/w/b/c v0\.3\.0 h1:\S+\nexample\.com/w/b/c v0\.3\.0/go\.mod h1:\S+\n$`, sum)
}

func TestPreparingChangesNeitherBranchNorWorkTree(t *testing.T) {
	root := writeWorkspace(t)
	before, err := git(t.Context(), root, "rev-parse", "HEAD")
	require.NoError(t, err)
	plan, err := Prepare(t.Context(), root, "HEAD", "v0.3.0")
	require.NoError(t, err)

	after, err := git(t.Context(), root, "rev-parse", "HEAD")
	require.NoError(t, err)
	assert.Equal(t, before, after)
	for _, args := range [][]string{{"status", "--porcelain"}, {"tag", "--list"}} {
		said, err := git(t.Context(), root, args...)
		require.NoError(t, err)
		assert.Empty(t, said, args)
	}
	worktrees, err := git(t.Context(), root, "worktree", "list")
	require.NoError(t, err)
	assert.Len(t, strings.Split(strings.TrimSpace(worktrees), "\n"), 1)

	diff, err := plan.Diff(t.Context())
	require.NoError(t, err)
	assert.Contains(t, diff, "+require example.com/w/b/c v0.3.0")
}

func TestNoVersionIsReleasedTwice(t *testing.T) {
	root := writeWorkspace(t)
	plan, err := Prepare(t.Context(), root, "HEAD", "v0.3.0")
	require.NoError(t, err)
	require.NoError(t, plan.Tag(t.Context()))

	require.ErrorContains(t, plan.Tag(t.Context()), "b/c/v0.3.0")
}

func TestForeignReplacementCannotBeReleased(t *testing.T) {
	root := writeWorkspace(t)
	name := filepath.Join(root, "a", "go.mod")
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	content = append(content, "\nrequire example.com/other v1.0.0\n\nreplace example.com/other => example.com/fork v1.0.1\n"...)
	require.NoError(t, os.WriteFile(name, content, 0o644))
	commitAll(t, root)

	_, err = Prepare(t.Context(), root, "HEAD", "v0.3.0")
	require.ErrorContains(t, err, "example.com/other")
}

func TestVersions(t *testing.T) {
	for version, problem := range map[string]string{
		"v0.1.0":       "",
		"v1.2.3-rc.1":  "",
		"0.1.0":        "no version",
		"v0.1":         "no version",
		"v0.1.0+build": "no version",
		"v2.0.0":       "must end in /v2",
	} {
		err := checkVersion(version)
		if problem == "" {
			assert.NoError(t, err, version)
		} else {
			assert.ErrorContains(t, err, problem, version)
		}
	}
}
