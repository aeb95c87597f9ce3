package workspace

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

const (
	root       = "../.."
	modulePath = "github.com/messageproxy/messageproxy/"
)

func loadWorkspace(t *testing.T) *modfile.WorkFile {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "go.work"))
	require.NoError(t, err)
	workspace, err := modfile.ParseWork("go.work", content, nil)
	require.NoError(t, err)
	require.NotEmpty(t, workspace.Use)
	return workspace
}

// loadModules returns the workspace's go.mod files by folder.
func loadModules(t *testing.T) map[string]*modfile.File {
	t.Helper()
	modules := map[string]*modfile.File{}
	for _, use := range loadWorkspace(t).Use {
		name := filepath.Join(root, use.Path, "go.mod")
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		file, err := modfile.Parse(name, content, nil)
		require.NoError(t, err)
		modules[strings.TrimPrefix(use.Path, "./")] = file
	}
	return modules
}

func TestModulesAgreeOnGo(t *testing.T) {
	workspace := loadWorkspace(t)
	for dir, module := range loadModules(t) {
		require.NotNil(t, module.Go, dir)
		require.NotNil(t, module.Toolchain, dir)
		assert.Equal(t, workspace.Go.Version, module.Go.Version, "the go line of %s/go.mod", dir)
		assert.Equal(t, workspace.Toolchain.Name, module.Toolchain.Name, "the toolchain line of %s/go.mod", dir)
	}
}

func TestModulesAreNamedAfterTheirFolders(t *testing.T) {
	for dir, module := range loadModules(t) {
		assert.Equal(t, modulePath+dir, module.Module.Mod.Path)
	}
}

// A replacement of anything else would be gone for whoever uses the module.
func TestModulesReplaceOnlyEachOther(t *testing.T) {
	modules := loadModules(t)
	for dir, module := range modules {
		for _, replace := range module.Replace {
			sibling, isOurs := strings.CutPrefix(replace.Old.Path, modulePath)
			assert.True(t, isOurs && modules[sibling] != nil, "%s/go.mod replaces %s", dir, replace.Old.Path)
			assert.Equal(t, sibling, path.Join(dir, replace.New.Path), "%s/go.mod replaces %s", dir, replace.Old.Path)
		}
	}
}

// Two versions of one library would be tested in two ways and used in a third.
func TestModulesAgreeOnLibraries(t *testing.T) {
	type use struct{ version, dir string }
	first := map[string]use{}
	for dir, module := range loadModules(t) {
		for _, require := range module.Require {
			if require.Indirect {
				continue
			}
			before, seen := first[require.Mod.Path]
			if !seen {
				first[require.Mod.Path] = use{require.Mod.Version, dir}
				continue
			}
			assert.Equal(t, before.version, require.Mod.Version, "%s in %s/go.mod and %s/go.mod", require.Mod.Path, before.dir, dir)
		}
	}
}
