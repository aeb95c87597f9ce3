package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// Plan is a release that is committed and not yet tagged.
type Plan struct {
	// Version is the version of every module.
	Version string
	// Commit is the release's commit. No branch holds it.
	Commit string
	// Tags are the modules' tags, each after those of the modules that it requires.
	Tags []string

	root string
}

// Prepare commits what a release of ref's commit as version consists of, in the
// repository at root. It changes no branch, no tag and not the work tree.
func Prepare(ctx context.Context, root, ref, version string) (plan *Plan, err error) {
	if err := checkVersion(version); err != nil {
		return nil, err
	}
	checkout, err := os.MkdirTemp("", "release-")
	if err != nil {
		return nil, err
	}
	if _, err := git(ctx, root, "worktree", "add", "--quiet", "--detach", checkout, ref); err != nil {
		return nil, errors.Join(err, os.RemoveAll(checkout))
	}
	defer func() {
		_, removeErr := git(context.WithoutCancel(ctx), root, "worktree", "remove", "--force", checkout)
		err = errors.Join(err, removeErr)
	}()
	modules, err := rewrite(checkout, version)
	if err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"add", "--all"}, {"commit", "--quiet", "--message", "Release " + version}} {
		if _, err := git(ctx, checkout, args...); err != nil {
			return nil, err
		}
	}
	commit, err := git(ctx, checkout, "rev-parse", "HEAD")
	if err != nil {
		return nil, err
	}
	plan = &Plan{Version: version, Commit: strings.TrimSpace(commit), root: root}
	for _, module := range modules {
		plan.Tags = append(plan.Tags, module.tag(version))
	}
	return plan, nil
}

// checkVersion accepts the versions that a module path without a major version
// can have.
func checkVersion(version string) error {
	if semver.Canonical(version) != version || semver.Build(version) != "" {
		return fmt.Errorf("%q is no version: it must look like v0.1.0 or v0.2.0-rc.1", version)
	}
	if major := semver.Major(version); major != "v0" && major != "v1" {
		return fmt.Errorf("version %s: from %s on, module paths must end in /%s", version, major, major)
	}
	return nil
}

// Diff returns what the release's commit changes.
func (p *Plan) Diff(ctx context.Context) (string, error) {
	return git(ctx, p.root, "diff", p.Commit+"^", p.Commit)
}

// Tag sets the tags, in order. It sets none if one of them exists.
func (p *Plan) Tag(ctx context.Context) error {
	existing, err := git(ctx, p.root, append([]string{"tag", "--list"}, p.Tags...)...)
	if err != nil {
		return err
	}
	if existing != "" {
		return fmt.Errorf("version %s is released already: these tags exist: %s",
			p.Version, strings.Join(strings.Fields(existing), ", "))
	}
	for _, tag := range p.Tags {
		if _, err := git(ctx, p.root, "tag", "--annotate", "--message", "Release "+p.Version, tag, p.Commit); err != nil {
			return err
		}
	}
	return nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	return output(cmd)
}

// output runs cmd and returns its standard output; its error has what cmd said.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := slices.DeleteFunc(strings.Split(stderr.String(), "\n"), func(line string) bool {
			return strings.HasPrefix(line, "go: downloading ")
		})
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.Join(said, "\n"))
	}
	return stdout.String(), nil
}
