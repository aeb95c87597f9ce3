// Command release tags a release of every module, from the commit that is checked
// out:
//
//	go run ./tools/cmd/release v0.2.0
//
// It changes nothing but tags, and nothing outside this machine: it ends by saying
// how to publish them. With -dry-run it shows the release's commit and its tags,
// and sets none.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/messageproxy/messageproxy/tools/release"
)

func main() {
	dryRun := flag.Bool("dry-run", false, "show what would be released, and tag nothing")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: release [-dry-run] VERSION, at the repository's root")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *dryRun); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(version string, dryRun bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := checkChangelog(version); err != nil && !dryRun {
		return err
	}
	plan, err := release.Prepare(ctx, ".", "HEAD", version)
	if err != nil {
		return err
	}
	if dryRun {
		return show(ctx, plan)
	}
	if err := plan.Tag(ctx); err != nil {
		return err
	}
	fmt.Printf("Release %s is tagged at %s. Publish it with\n\n\tgit push --atomic origin %s\n",
		version, plan.Commit, strings.Join(plan.Tags, " "))
	return nil
}

func show(ctx context.Context, plan *release.Plan) error {
	diff, err := plan.Diff(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%s\nThese tags would be set:\n", diff)
	for _, tag := range plan.Tags {
		fmt.Println("\t" + tag)
	}
	return nil
}

// checkChangelog wants a section for the version.
func checkChangelog(version string) error {
	changelog, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		return fmt.Errorf("%w (run this at the repository's root)", err)
	}
	if heading := "## [" + strings.TrimPrefix(version, "v") + "]"; !strings.Contains(string(changelog), heading) {
		return errors.New("CHANGELOG.md has no section \"" + heading + "\": write it and commit it first")
	}
	return nil
}
