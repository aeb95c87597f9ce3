// Command conformance runs the scenarios of the conformance suite against the drivers of
// SDKs, and prints which sentences of SPEC.md they have shown.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/scenarios"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// drivers are those of -driver.
type drivers []suite.Driver

// String implements flag.Value.
func (d *drivers) String() string {
	names := make([]string, len(*d))
	for i, driver := range *d {
		names[i] = driver.Name
	}
	return strings.Join(names, ", ")
}

// Set implements flag.Value.
func (d *drivers) Set(text string) error {
	name, command, ok := strings.Cut(text, "=")
	args := strings.Fields(command)
	if !ok || name == "" || len(args) == 0 {
		return errors.New("give a name and a command: go=/path/to/driver")
	}
	if slices.ContainsFunc(*d, func(other suite.Driver) bool { return other.Name == name }) {
		return fmt.Errorf("there are two drivers %q", name)
	}
	*d = append(*d, suite.Driver{Name: name, Launch: driver.Command(args...)})
	return nil
}

// run is the command. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var (
		flags    = flag.NewFlagSet("conformance", flag.ContinueOnError)
		running  drivers
		only     = flags.String("run", "", "run the scenarios whose `name or sentence` matches this expression")
		spec     = flags.String("spec", "../SPEC.md", "the `path` of SPEC.md")
		proxy    = flags.String("real", "", "the `path` of messageproxy, for the scenarios with a real one")
		parallel = flags.Int("parallel", 8, "how many scenarios run at once")
		table    = flags.String("table", "", "write the table to this `file` too")
		list     = flags.Bool("list", false, "list the scenarios, and run nothing")
	)
	flags.SetOutput(stderr)
	flags.Var(&running, "driver", "an SDK's `name=command`; may be given several times. The command is split at spaces")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	matches, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(stderr, "-run:", err)
		return 2
	}
	sentences, err := suite.ReadSpec(*spec)
	if err != nil {
		fmt.Fprintln(stderr, "SPEC.md:", err)
		return 2
	}
	all := scenarios.All()
	wrong := suite.CheckTable(sentences, all, scenarios.NotShown())
	for _, what := range wrong {
		fmt.Fprintln(stderr, what)
	}
	chosen := slices.DeleteFunc(all, func(s suite.Scenario) bool {
		return !matches.MatchString(s.Name) && !slices.ContainsFunc(s.Shows, matches.MatchString)
	})
	if *list {
		for _, s := range chosen {
			fmt.Fprintf(stdout, "%-70s %s\n", s.Name, strings.Join(s.Shows, " "))
		}
		return exitCode(len(wrong) > 0)
	}
	if len(running) == 0 || len(chosen) == 0 {
		fmt.Fprintln(stderr, "there is nothing to run: give a -driver, and a -run that matches something")
		return 2
	}
	failed := play(ctx, suite.Config{Drivers: running, Scenarios: chosen, Parallel: *parallel, Proxy: *proxy}, sentences, stdout, *table)
	return exitCode(failed || len(wrong) > 0)
}

func exitCode(failed bool) int {
	if failed {
		return 1
	}
	return 0
}

// play runs the scenarios, and prints what became of them. It reports whether something
// failed.
func play(ctx context.Context, c suite.Config, sentences []suite.Sentence, stdout io.Writer, table string) (failed bool) {
	began, counts := time.Now(), map[suite.Outcome]int{}
	c.Progress = func(r suite.Result) {
		counts[r.Outcome]++
		played := ""
		if r.Plays > 1 {
			played = fmt.Sprintf("  (played %d times)", r.Plays)
		}
		fmt.Fprintf(stdout, "%-11s %-10s %6.1fs  %s  [%s]%s\n", r.Outcome, r.Driver, r.Took.Seconds(), r.Scenario.Name, strings.Join(r.Scenario.Shows, " "), played)
		switch r.Outcome {
		case suite.Failed:
			fmt.Fprintf(stdout, "    %s\n", strings.ReplaceAll(r.Why, "\n", "\n    "))
		case suite.Unsupported, suite.Skipped:
			fmt.Fprintf(stdout, "    %s\n", r.Why)
		}
	}
	results := suite.Run(ctx, c)
	names := make([]string, len(c.Drivers))
	for i, d := range c.Drivers {
		names[i] = d.Name
	}
	var text strings.Builder
	suite.WriteTable(&text, sentences, scenarios.NotShown(), names, results)
	fmt.Fprintf(stdout, "\n%s\n", text.String())
	for _, r := range results {
		if r.Outcome == suite.Failed {
			fmt.Fprintf(stdout, "FAILED: %s: %s\n", r.Driver, r.Scenario.Name)
		}
	}
	fmt.Fprintf(stdout, "%d passed, %d failed, %d unsupported, %d skipped, in %v\n",
		counts[suite.Passed], counts[suite.Failed], counts[suite.Unsupported], counts[suite.Skipped], time.Since(began).Round(time.Second))
	if table != "" {
		if err := os.WriteFile(table, []byte(text.String()), 0o644); err != nil {
			fmt.Fprintln(stdout, "FAILED: the table:", err)
			return true
		}
	}
	return counts[suite.Failed] > 0
}
