package release

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersionsOfPackages(t *testing.T) {
	for version, want := range map[string]string{
		"v0.2.0": "0.2.0", "v1.0.0-rc.1": "1.0.0rc1", "v0.2.0-alpha.10": "0.2.0a10", "v0.2.0-beta.0": "0.2.0b0",
	} {
		got, err := python(version)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, version := range []string{"v0.2.0-nightly", "v0.2.0-rc", "v0.2.0-rc.1.2"} {
		_, err := python(version)
		require.ErrorContains(t, err, version)
	}
	got, err := plain("v0.2.0-rc.1")
	require.NoError(t, err)
	assert.Equal(t, "0.2.0-rc.1", got)
}

func TestAPackageGetsTheVersionWhereItHasIt(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, versionPackages(root, "v0.2.0"), "without any package")
	name := filepath.Join(root, "sdk", "python", "pyproject.toml")
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.ErrorContains(t, versionPackages(root, "v0.2.0"), "sdk/python/pyproject.toml", "the file has gone")

	require.NoError(t, os.WriteFile(name, []byte("version = \"0.0.0\"\ntarget-version = \"py310\"\n"), 0o644))
	require.NoError(t, versionPackages(root, "v0.2.0-rc.1"))
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, "version = \"0.2.0rc1\"\ntarget-version = \"py310\"\n", string(content))

	require.NoError(t, os.WriteFile(name, []byte("name = \"messageproxy\"\n"), 0o644))
	require.ErrorContains(t, versionPackages(root, "v0.2.0"), "0 times, not 1")
}
