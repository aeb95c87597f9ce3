// Command bench measures what the proxy costs, against Kafka's own client and against
// a bare gRPC stream, on this machine:
//
//	go run ./tools/cmd/bench -kafka container
//
// It prints tables, and writes everything as JSON. See docs/benchmarks.md for what
// the figures mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/messageproxy/messageproxy/tools/bench/report"
	"github.com/messageproxy/messageproxy/tools/bench/role"
	"github.com/messageproxy/messageproxy/tools/bench/suite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if asked, err := role.Play(ctx, args); asked {
		return err
	}
	settings, err := parse(args)
	if err != nil {
		return err
	}
	result, err := suite.Run(ctx, settings.options)
	if err != nil {
		return err
	}
	return settings.write(result)
}

// settings are those of the command line.
type settings struct {
	options        suite.Options
	command        string
	json, markdown string
}

func parse(args []string) (settings, error) {
	s := settings{command: strings.Join(append([]string{"go run ./tools/cmd/bench"}, args...), " ")}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&s.options.Kafka, "kafka", suite.Embedded, "the Kafka to measure with: container, embedded, or host:port,... of one that is there")
	flags.IntVar(&s.options.Rounds, "rounds", 5, "how often to measure each thing")
	flags.Float64Var(&s.options.Scale, "scale", 1, "by how much the numbers of messages and streams, and durations, differ from a full run's")
	flags.IntVar(&s.options.OtherRounds, "other-rounds", 1, "how often to measure throughput with the sizes, partitions and clients that no target is about; 0 for never")
	short := flags.Bool("short", false, "only see that everything works, in about two minutes: -rounds 1 -other-rounds 0 -scale 0.02 unless they are given")
	only := flags.String("only", "", "sections to measure, with commas between, of "+strings.Join(suite.SectionNames(), ", ")+"; all if empty")
	languages := flags.String("languages", strings.Join(suite.Languages(), ","), "the languages whose SDKs to measure, with commas between; none if empty")
	flags.StringVar(&s.options.Profiles, "profiles", "", "a folder to write profiles of the proxy to")
	flags.StringVar(&s.options.PGO, "pgo", "", "a file for what the compiler optimizes the proxy with, made of profiles")
	flags.StringVar(&s.json, "json", "", "a file to write everything to")
	flags.StringVar(&s.markdown, "markdown", "", "a file to write the tables to, with what they mean")
	flags.StringVar(&s.options.Root, "root", "", "the repository's folder; if empty, the one that this is run in")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("%q is not understood: see -help", flags.Arg(0))
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if *short && !given["rounds"] {
		s.options.Rounds = 1
	}
	if *short && !given["other-rounds"] {
		s.options.OtherRounds = 0
	}
	if *short && !given["scale"] {
		s.options.Scale = 0.02
	}
	if *only != "" {
		s.options.Only = strings.Split(*only, ",")
	}
	if *languages != "" {
		s.options.Languages = strings.Split(*languages, ",")
	}
	for _, language := range s.options.Languages {
		if !slices.Contains(suite.Languages(), language) {
			return s, fmt.Errorf("there is no SDK for %q: there are %s", language, strings.Join(suite.Languages(), ", "))
		}
	}
	if s.options.Rounds < 1 || s.options.OtherRounds < 0 || s.options.Scale <= 0 {
		return s, errors.New("-rounds must be at least 1, -other-rounds at least 0, and -scale more than 0")
	}
	s.options.Progress = func(line string) { fmt.Fprintln(os.Stderr, line) }
	var err error
	if s.options.Root == "" {
		s.options.Root, err = findRoot()
	}
	return s, err
}

// findRoot goes up from the current folder to the one with the workspace.
func findRoot() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.work")); err == nil {
			return folder, nil
		}
		up := filepath.Dir(folder)
		if up == folder {
			return "", errors.New("this is not run in the repository, whose proxy it builds: name the repository's folder with -root")
		}
		folder = up
	}
}

// write prints the tables, and writes the files that were asked for.
func (s settings) write(result *report.Report) error {
	result.WriteMarkdown(os.Stdout, s.command)
	var errs []error
	if s.json != "" {
		errs = append(errs, writeFile(s.json, result.WriteJSON))
	}
	if s.markdown != "" {
		errs = append(errs, writeFile(s.markdown, func(w io.Writer) error {
			result.WriteMarkdown(w, s.command)
			return nil
		}))
	}
	return errors.Join(errs...)
}

// writeFile makes the file's folder too.
func writeFile(name string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
