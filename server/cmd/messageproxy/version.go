package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand(p program) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintln(p.stdout, versionLine(info))
			return err
		},
	}
}

// versionLine says what this program was built from. info is nil if the build
// didn't record it.
func versionLine(info *debug.BuildInfo) string {
	version, source := "of an unknown version", ""
	if info != nil {
		version, source = info.Main.Version, sourceOf(info)
	}
	if version == "" || version == "(devel)" {
		version = "(development build)"
	}
	return fmt.Sprintf("messageproxy %s%s, %s, %s/%s", version, source, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// sourceOf names the commit, if the build recorded it.
func sourceOf(info *debug.BuildInfo) string {
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision := settings["vcs.revision"]
	if revision == "" {
		return ""
	}
	changed := ""
	if settings["vcs.modified"] == "true" {
		changed = " with changes"
	}
	return ", commit " + revision[:min(12, len(revision))] + changed
}
