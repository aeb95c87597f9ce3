//go:build synctests

package simulation

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/simulation/mutants"
)

var (
	planCount = flag.Int("sim.plans", 50, "how many plans TestSimulation carries out")
	planTime  = flag.Duration("sim.time", 0, "for how long TestSimulation carries out plans, instead of -sim.plans")
	firstPlan = flag.Int("sim.first", 0, "the number of the first plan; default: others each time")
	outFolder = flag.String("sim.out", "", "a folder for plans that fail, their histories, and the plans under way")
	replay    = flag.String("sim.replay", "", "a plan, as a file, that TestReplay carries out")
	// scriptTimes is small enough for every day; mended bugs may need more to come back.
	scriptTimes = flag.Int("sim.scripts", 3, "how often TestScripts carries out each script of testdata: scheduling is random")
	times       = flag.Int("sim.times", 100, "how often TestReplay does that at most: scheduling is random")
	shrinking   = flag.Duration("sim.shrink", 30*time.Second, "for how long a failing plan is made smaller")
)

// enoughPlans is how many plans are enough for every kind of fault to occur.
const enoughPlans = 2000

// TestSimulation carries out random plans: none breaks a guarantee, and there has
// been every kind of fault.
func TestSimulation(t *testing.T) {
	r := &runner{first: *firstPlan, plans: *planCount, time: *planTime, out: *outFolder}
	if r.time > 0 {
		r.plans = 0
	}
	if r.first == 0 {
		r.first = int(time.Now().Unix()) * 1000
	}
	var mu sync.Mutex
	var failed []failure
	r.fails = func(f failure) bool {
		mu.Lock()
		defer mu.Unlock()
		failed = append(failed, f)
		return len(failed) < maxFailures
	}
	report := r.run(t)
	fmt.Printf("first plan: %d\n", r.first)
	report.print(os.Stdout)
	if report.plans >= enoughPlans {
		require.Empty(t, report.missing(), "these never took place")
	}
	for i, f := range failed {
		if i == 0 {
			f = shrink(t, f, *shrinking)
		}
		t.Errorf("plan %d fails. This replays it, with make sim REPLAY=file:\n%s", f.number, f)
	}
}

// maxFailures is how many failing plans are enough.
const maxFailures = 10

// TestReplay carries out one plan again and again, until it fails.
func TestReplay(t *testing.T) {
	if *replay == "" {
		t.Skip("no plan is given: use -sim.replay, or make sim REPLAY=file")
	}
	text, err := os.ReadFile(*replay)
	require.NoError(t, err)
	plan, err := Parse(string(text))
	require.NoError(t, err)
	for n := range *times {
		result := runGuarded(t, plan)
		if len(result.Violations) > 0 {
			f := failure{number: n + 1, plan: plan, violations: result.Violations, entries: result.History}
			f.write(*outFolder)
			t.Fatalf("time %d of %d:\n%s", n+1, *times, f)
		}
	}
	fmt.Printf("%s: nothing is broken, %d times\n", *replay, *times)
}

// TestHunt tries the same plans each time and ends with the first that fails. The
// mutants are hunted by it, and its output is read by a program.
func TestHunt(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv(mutants.HuntEnv))
	if err != nil {
		t.Skip(mutants.HuntEnv + ", the number of plans, is not set")
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("hunt: "+format+"\n", args...)
	}
	r := &runner{first: 1, plans: count}
	r.begins = func(number int) { say("plan %d", number) }
	r.fails = func(f failure) bool {
		for _, v := range f.violations {
			say("plan %d violates %s", f.number, v.Rule)
		}
		fmt.Println(strings.TrimSpace(f.String()))
		t.Fail()
		return false
	}
	r.run(t)
}
