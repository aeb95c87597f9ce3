package mutants

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Check runs the simulation against mutants.
type Check struct {
	// Root is the repository's.
	Root string
	// Plans is how many plans a mutant has at most to get through, Timeout how long
	// they may take. Those of rare faults have four times as much, and the proxy as it
	// is four times as long.
	Plans   int
	Timeout time.Duration
	// Told is called with each verdict, in the order of the mutants.
	Told func(Verdict)
}

// Verdict is what came of one mutant.
type Verdict struct {
	Mutant Mutant
	// Violations are the rules that the simulation saw broken; none if the mutant
	// survived.
	Violations []string
	// Plans is how many plans were begun until then.
	Plans int
	Took  time.Duration
	// Output is what the simulation printed.
	Output string
	// Err is why nothing can be said of the mutant.
	Err error
}

// Unchanged is the proxy as it is. It has to survive: only then does it say
// something that the mutants don't.
var Unchanged = Mutant{Name: "(nothing switched off)", Guarantee: "all", Off: "nothing"}

// Run checks mutants one after the other. While one is tried, the next is built.
func (c Check) Run(ctx context.Context, mutants []Mutant) error {
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // in the folder for such things
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	built := make(chan Verdict)
	go func() {
		defer close(built)
		for i, m := range mutants {
			v := Verdict{Mutant: m}
			v.Output, v.Err = c.build(ctx, m, filepath.Join(dir, strconv.Itoa(i)))
			select {
			case built <- v:
			case <-ctx.Done():
				return
			}
		}
	}()
	for i := range mutants {
		v, ok := <-built
		if !ok {
			break
		}
		if v.Err == nil {
			c.try(ctx, &v, filepath.Join(dir, strconv.Itoa(i)))
		}
		c.Told(v)
	}
	return ctx.Err()
}

// binary is the name of a mutant's simulation in its folder.
const binary = "simulation.test"

// build builds the simulation of a mutant.
func (c Check) build(ctx context.Context, m Mutant, dir string) (output string, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	overlay, err := m.Overlay(c.Root, dir)
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "synctests", "-overlay", overlay,
		"-o", filepath.Join(dir, binary), ".")
	build.Dir = filepath.Join(c.Root, "integration", "simulation")
	out, err := build.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("mutant %s can't be built: %w", m.Name, err)
	}
	return "", nil
}

// HuntEnv is the environment variable by which the simulation's TestHunt learns
// how many plans to try.
const HuntEnv = "SIMULATION_HUNT"

// try has a mutant get through plans, and notes what became of it.
func (c Check) try(ctx context.Context, v *Verdict, dir string) {
	start, plans, timeout := time.Now(), c.Plans, c.Timeout
	if v.Mutant.Rare {
		plans *= 4
	}
	if v.Mutant.Rare || v.Mutant.Name == Unchanged.Name {
		timeout *= 4
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	hunt := exec.CommandContext(ctx, filepath.Join(dir, binary), "-test.run", "^TestHunt$", "-test.v", "-test.timeout", "0")
	hunt.Dir = filepath.Join(c.Root, "integration", "simulation")
	hunt.Env = append(os.Environ(), HuntEnv+"="+strconv.Itoa(plans))
	out, err := hunt.CombinedOutput()
	_ = os.Remove(filepath.Join(dir, binary)) // they are large
	v.Took, v.Output = time.Since(start), string(out)
	v.read()
	if len(v.Violations) == 0 && err != nil && ctx.Err() == nil {
		v.Err = fmt.Errorf("the simulation ended without a verdict on %s: %w", v.Mutant.Name, err)
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		v.Err = ctx.Err()
	}
}

var (
	begunLine     = regexp.MustCompile(`(?m)^hunt: plan (\d+)$`)
	violationLine = regexp.MustCompile(`(?m)^hunt: plan (\d+) violates (\S+)$`)
	noEndLine     = regexp.MustCompile(`(?m)^simulation: no end after `)
)

// read takes from the output how far the simulation came and what it saw.
func (v *Verdict) read() {
	v.Plans = len(begunLine.FindAllString(v.Output, -1))
	for _, line := range violationLine.FindAllStringSubmatch(v.Output, -1) {
		v.Violations = append(v.Violations, line[2])
	}
	if noEndLine.MatchString(v.Output) {
		v.Violations = append(v.Violations, "simulation-ends")
	}
	slices.Sort(v.Violations)
	v.Violations = slices.Compact(v.Violations)
}

// Expected reports whether the mutant was caught by a violation that its entry
// names.
func (v Verdict) Expected() bool {
	return slices.ContainsFunc(v.Violations, func(rule string) bool { return slices.Contains(v.Mutant.Caught, rule) })
}

// Survived reports whether the simulation noticed nothing.
func (v Verdict) Survived() bool { return v.Err == nil && len(v.Violations) == 0 }

// TableHeader begins a Markdown table of which Row is a line.
const TableHeader = "| switched off | breaks | what the proxy does | caught by | plans | seconds |\n| --- | --- | --- | --- | --- | --- |"

// Row is the verdict as a line of a Markdown table.
func (v Verdict) Row() string {
	caught := strings.Join(v.Violations, ", ")
	switch {
	case v.Err != nil:
		caught = "(" + v.Err.Error() + ")"
	case v.Survived():
		caught = "**survived**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %d | %.0f |",
		v.Mutant.Name, v.Mutant.Guarantee, v.Mutant.Off, caught, v.Plans, v.Took.Seconds())
}
