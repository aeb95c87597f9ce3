// Package pgo makes the profile that the compiler optimizes the proxy with.
package pgo

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/pprof/profile"
)

// Write merges processor profiles into one that says nothing about the machine: the
// compiler goes by the names of functions and by lines, and not by the names of files.
func Write(to string, profiles ...string) error {
	merged, err := merge(profiles)
	if err != nil {
		return err
	}
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	return errors.Join(merged.Write(file), file.Close())
}

func merge(names []string) (*profile.Profile, error) {
	var all []*profile.Profile
	for _, name := range names {
		p, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("read the profile %s: %w", name, err)
		}
		strip(p)
		all = append(all, p)
	}
	merged, err := profile.Merge(all)
	if err != nil {
		return nil, fmt.Errorf("merge profiles: %w", err)
	}
	return merged, nil
}

func read(name string) (*profile.Profile, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read-only
	p, err := profile.Parse(io.Reader(file))
	return p, err
}

// strip removes what has to do with the machine and the moment.
func strip(p *profile.Profile) {
	for _, f := range p.Function {
		f.Filename = ""
	}
	for _, m := range p.Mapping {
		m.File, m.BuildID = "", ""
	}
	for _, s := range p.Sample {
		s.Label, s.NumLabel, s.NumUnit = nil, nil, nil
	}
	p.TimeNanos, p.DurationNanos, p.Comments = 0, 0, nil
}
