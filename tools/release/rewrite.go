package release

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// rewrite makes every module in the checkout at root require its siblings at
// version, without replace lines, and returns the modules in order. The packages of
// other languages get the version too. The checkout must hold what is committed and
// nothing else.
func rewrite(root, version string) ([]moduleInfo, error) {
	if err := versionPackages(root, version); err != nil {
		return nil, err
	}
	modules, err := loadModules(root)
	if err != nil {
		return nil, err
	}
	sums := map[string][]string{} // by module: its lines of go.sum, and those of its siblings
	for _, module := range modules {
		if err := rewriteModule(root, module, version, sums); err != nil {
			return nil, fmt.Errorf("module %s: %w", module.dir, err)
		}
	}
	return modules, nil
}

func rewriteModule(root string, module moduleInfo, version string, sums map[string][]string) error {
	dir := filepath.Join(root, filepath.FromSlash(module.dir))
	if err := requireSiblings(module, version); err != nil {
		return err
	}
	module.file.Cleanup()
	content, err := module.file.Format()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), content, 0o644); err != nil {
		return err
	}
	var ofSiblings []string
	for _, sibling := range module.siblings {
		ofSiblings = append(ofSiblings, sums[sibling]...)
	}
	if err := addSums(filepath.Join(dir, "go.sum"), ofSiblings); err != nil {
		return err
	}
	own, err := sumLines(root, module, version)
	if err != nil {
		return err
	}
	sums[module.path()] = append(ofSiblings, own...)
	return nil
}

func requireSiblings(module moduleInfo, version string) error {
	for _, replace := range slices.Clone(module.file.Replace) {
		required := slices.ContainsFunc(module.file.Require, func(r *modfile.Require) bool { return r.Mod.Path == replace.Old.Path })
		if required && !slices.Contains(module.siblings, replace.Old.Path) {
			return fmt.Errorf("go.mod replaces %s, which is no module of ours: users would get another one", replace.Old.Path)
		}
		if err := module.file.DropReplace(replace.Old.Path, replace.Old.Version); err != nil {
			return err
		}
	}
	for _, sibling := range module.siblings {
		if err := module.file.AddRequire(sibling, version); err != nil {
			return err
		}
	}
	return nil
}

// addSums adds lines to a go.sum, which may not exist yet.
func addSums(name string, lines []string) error {
	content, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	all = append(all, lines...)
	all = slices.DeleteFunc(all, func(line string) bool { return line == "" })
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return os.WriteFile(name, []byte(strings.Join(slices.Compact(all), "\n")+"\n"), 0o644)
}

// sumLines returns the lines that a go.sum has for the module as it is on disk: the
// hash of its zip file and that of its go.mod.
func sumLines(root string, module moduleInfo, version string) ([]string, error) {
	dir := filepath.Join(root, filepath.FromSlash(module.dir))
	checked, err := zip.CheckDir(dir)
	if err != nil {
		return nil, err
	}
	prefix := module.path() + "@" + version + "/"
	files := map[string]string{} // by the name in the zip file
	for _, name := range checked.Valid {
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return nil, err
		}
		files[prefix+filepath.ToSlash(relative)] = name
	}
	// The go command gives a module without a licence of its own the repository's.
	licence := filepath.Join(root, "LICENSE")
	if _, has := files[prefix+"LICENSE"]; !has && exists(licence) {
		files[prefix+"LICENSE"] = licence
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	whole, err := dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return os.Open(files[name]) })
	if err != nil {
		return nil, err
	}
	mod, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		return io.NopCloser(bytes.NewReader(content)), err
	})
	if err != nil {
		return nil, err
	}
	return []string{
		module.path() + " " + version + " " + whole,
		module.path() + " " + version + "/go.mod " + mod,
	}, nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
