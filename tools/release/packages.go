package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/semver"
)

// place is where the package of an SDK that isn't written in Go says its version.
type place struct {
	file string
	// pattern matches the version, between what has to stand before and after it, times times.
	pattern *regexp.Regexp
	times   int
	// version is how the package's ecosystem writes a version such as v0.2.0-rc.1.
	version func(version string) (string, error)
}

// places are relative to the repository.
var places = []place{
	{"sdk/typescript/package.json", regexp.MustCompile(`(?m)^(  "version": ")[^"]*(",)$`), 1, plain},
	{"sdk/typescript/package-lock.json", regexp.MustCompile(`("name": "@messageproxy/client",\n +"version": ")[^"]*(",)`), 2, plain},
	{"sdk/python/pyproject.toml", regexp.MustCompile(`(?m)^(version = ")[^"]*(")$`), 1, python},
	{"sdk/java/pom.xml", regexp.MustCompile(`(<artifactId>messageproxy-client</artifactId>\n +<version>)[^<]*(</version>)`), 1, plain},
	{"sdk/java/README.md", regexp.MustCompile(`(<artifactId>messageproxy-client</artifactId>\n +<version>)[^<]*(</version>)`), 1, plain},
}

func plain(version string) (string, error) { return strings.TrimPrefix(version, "v"), nil }

// preRelease is one that Python has too: see PEP 440.
var preRelease = regexp.MustCompile(`^-(alpha|beta|rc)\.(0|[1-9][0-9]*)$`)

// python writes v0.2.0-rc.1 as 0.2.0rc1.
func python(version string) (string, error) {
	pre := semver.Prerelease(version)
	if pre == "" {
		return plain(version)
	}
	parts := preRelease.FindStringSubmatch(pre)
	if parts == nil {
		return "", fmt.Errorf("version %s: Python has no such version; it has those like v0.2.0-alpha.1, v0.2.0-beta.1 and v0.2.0-rc.1", version)
	}
	short := map[string]string{"alpha": "a", "beta": "b", "rc": "rc"}[parts[1]]
	return strings.TrimPrefix(strings.TrimSuffix(version, pre), "v") + short + parts[2], nil
}

// versionPackages gives the packages in the checkout at root the version. A checkout without
// the folder of an SDK has no package of it.
func versionPackages(root, version string) error {
	for _, p := range places {
		if err := p.write(root, version); err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
	}
	return nil
}

func (p place) write(root, version string) error {
	name := filepath.Join(root, filepath.FromSlash(p.file))
	content, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(name)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err != nil {
		return err
	}
	if found := len(p.pattern.FindAll(content, -1)); found != p.times {
		return fmt.Errorf("it has its version %d times, not %d", found, p.times)
	}
	text, err := p.version(version)
	if err != nil {
		return err
	}
	return os.WriteFile(name, p.pattern.ReplaceAll(content, []byte("${1}"+text+"${2}")), 0o644)
}
