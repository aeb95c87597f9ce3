package release

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// moduleInfo is a module of the workspace.
type moduleInfo struct {
	// dir is the module's folder below the repository's root, with slashes. It is
	// also the prefix of its tags.
	dir  string
	file *modfile.File
	// siblings are the paths of the workspace's modules that this one requires.
	siblings []string
}

func (m moduleInfo) path() string { return m.file.Module.Mod.Path }

func (m moduleInfo) tag(version string) string { return m.dir + "/" + version }

// loadModules returns the modules of the workspace at root, each after those that
// it requires.
func loadModules(root string) ([]moduleInfo, error) {
	work, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		return nil, err
	}
	workspace, err := modfile.ParseWork("go.work", work, nil)
	if err != nil {
		return nil, err
	}
	byPath := map[string]moduleInfo{}
	for _, use := range workspace.Use {
		module, err := loadModule(root, path.Clean(use.Path))
		if err != nil {
			return nil, err
		}
		byPath[module.path()] = module
	}
	for modulePath, module := range byPath {
		for _, require := range module.file.Require {
			if _, ours := byPath[require.Mod.Path]; ours {
				module.siblings = append(module.siblings, require.Mod.Path)
			}
		}
		byPath[modulePath] = module
	}
	return inOrder(byPath)
}

func loadModule(root, dir string) (moduleInfo, error) {
	name := filepath.Join(root, filepath.FromSlash(dir), "go.mod")
	content, err := os.ReadFile(name)
	if err != nil {
		return moduleInfo{}, err
	}
	file, err := modfile.Parse(name, content, nil)
	if err != nil {
		return moduleInfo{}, err
	}
	return moduleInfo{dir: dir, file: file}, nil
}

// inOrder sorts modules so that each comes after those that it requires, and
// otherwise by path.
func inOrder(byPath map[string]moduleInfo) ([]moduleInfo, error) {
	paths := make([]string, 0, len(byPath))
	for modulePath := range byPath {
		paths = append(paths, modulePath)
	}
	slices.Sort(paths)

	var ordered []moduleInfo
	done := map[string]bool{}
	for len(ordered) < len(paths) {
		before := len(ordered)
		for _, modulePath := range paths {
			waits := func(sibling string) bool { return !done[sibling] }
			if module := byPath[modulePath]; !done[modulePath] && !slices.ContainsFunc(module.siblings, waits) {
				done[modulePath] = true
				ordered = append(ordered, module)
			}
		}
		if len(ordered) == before {
			stuck := slices.DeleteFunc(paths, func(p string) bool { return done[p] })
			return nil, fmt.Errorf("modules require each other in a circle: %s", strings.Join(stuck, ", "))
		}
	}
	return ordered, nil
}
