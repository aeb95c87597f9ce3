//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/integration/history"
)

// runner carries out many plans, on all cores, and adds up what came of them.
type runner struct {
	// first is the number of the first plan; plans is how many there are, 0: as many
	// as time allows.
	first, plans int
	time         time.Duration // 0: as long as it takes
	// out is a folder for the plans that fail, and for those that are under way, by
	// which a crash can be explained; empty: none.
	out string
	// begins and fails are told of plans that begin and fail. fails reports whether to
	// go on.
	begins func(number int)
	fails  func(f failure) bool

	next atomic.Int64
	stop context.CancelFunc

	mu     sync.Mutex
	report report
}

// failure is a plan that broke guarantees.
type failure struct {
	number     int
	plan       Plan
	violations []history.Violation
	entries    []history.Entry
}

// report is what came of many plans.
type report struct {
	plans, failed        int
	messages, deliveries int
	virtual, real        time.Duration
	faults               map[string]int
	plansWith            map[string]int // in how many plans a kind of fault occurred
	violations           map[string]int // plans, by rule
}

func (r *runner) run(t *testing.T) report {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if r.time > 0 {
		ctx, cancel = context.WithTimeout(ctx, r.time)
		defer cancel()
	}
	r.stop = cancel
	r.report = report{faults: map[string]int{}, plansWith: map[string]int{}, violations: map[string]int{}}
	start := time.Now()
	var workers sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		workers.Go(func() { r.work(ctx, t, worker) })
	}
	workers.Wait()
	r.report.real = time.Since(start)
	return r.report
}

func (r *runner) work(ctx context.Context, t *testing.T, worker int) {
	for ctx.Err() == nil {
		n := int(r.next.Add(1)) - 1
		if r.plans > 0 && n >= r.plans {
			return
		}
		r.carryOut(t, r.first+n, worker)
	}
}

func (r *runner) carryOut(t *testing.T, number, worker int) {
	plan := planNumber(number)
	if r.begins != nil {
		r.begins(number)
	}
	defer r.announce(worker, plan)()
	result := runGuarded(t, plan)
	seen := coverage(plan, result)
	r.mu.Lock()
	r.report.add(result, seen)
	r.mu.Unlock()
	if len(result.Violations) == 0 {
		return
	}
	f := failure{number: number, plan: plan, violations: result.Violations, entries: result.History}
	f.write(r.out)
	if r.fails != nil && !r.fails(f) {
		r.stop()
	}
}

// runGuarded carries out a plan. If its test fails, because of a data race or because
// the world can't be made, that is a violation too, and the other plans go on.
func runGuarded(t *testing.T, plan Plan) (result Result) {
	ended, returned := make(chan struct{}), false
	go func() {
		defer close(ended)
		result = Run(t, plan)
		returned = true
	}()
	<-ended
	if !returned { // a test that fails ends its goroutine
		result.Violations = append(result.Violations, history.Violation{
			Rule: "simulation-ends", Problem: "its test failed, and the output says why: a data race, if it says nothing else of this plan",
		})
	}
	return result
}

// announce leaves a note of a plan that is under way, for the case that it takes the
// process down. The returned function removes it.
func (r *runner) announce(worker int, plan Plan) func() {
	if r.out == "" {
		return func() {}
	}
	name := filepath.Join(r.out, fmt.Sprintf("running-%d.plan", worker))
	if err := os.WriteFile(name, []byte(plan.String()), 0o600); err != nil {
		return func() {}
	}
	return func() { _ = os.Remove(name) }
}

func (r *report) add(result Result, seen map[string]int) {
	r.plans++
	r.messages += result.Messages
	r.deliveries += result.Deliveries
	r.virtual += result.Took
	for kind, n := range seen {
		if n > 0 {
			r.faults[kind] += n
			r.plansWith[kind]++
		}
	}
	if len(result.Violations) > 0 {
		r.failed++
	}
	for _, rule := range rulesOf(result.Violations) {
		r.violations[rule]++
	}
}

// rulesOf are the rules of violations, each once.
func rulesOf(violations []history.Violation) []string {
	rules := make(map[string]bool)
	for _, v := range violations {
		rules[v.Rule] = true
	}
	return slices.Sorted(maps.Keys(rules))
}

// missing are the kinds of faults that there should have been and weren't.
func (r *report) missing() []string {
	var missing []string
	for _, kind := range kindsOfFaults() {
		if r.faults[kind] == 0 {
			missing = append(missing, kind)
		}
	}
	return missing
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%d plans, %v of virtual time in %v; %d messages, %d deliveries\n",
		r.plans, r.virtual.Round(time.Second), r.real.Round(time.Second), r.messages, r.deliveries)
	total := 0
	fmt.Fprintf(w, "\n%10s %8s  %s\n", "times", "plans", "what took place")
	for _, kind := range slices.Sorted(maps.Keys(r.faults)) {
		fmt.Fprintf(w, "%10d %8d  %s\n", r.faults[kind], r.plansWith[kind], kind)
		total += r.faults[kind]
	}
	fmt.Fprintf(w, "%10d %8s  in all, of %d kinds\n\n", total, "", len(r.faults))
	if r.failed == 0 {
		fmt.Fprintln(w, "no violations")
		return
	}
	fmt.Fprintf(w, "violations in %d plans:\n", r.failed)
	for _, rule := range slices.Sorted(maps.Keys(r.violations)) {
		fmt.Fprintf(w, "%10s %8d  %s\n", "", r.violations[rule], rule)
	}
}

// String is the failed plan as a script that replays it, with what it broke as
// comments.
func (f failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# plan %d\n", f.number)
	for _, v := range f.violations {
		problem, _, _ := strings.Cut(v.Problem, "\n")
		fmt.Fprintf(&b, "# violates %s: %s\n", v.Rule, problem)
		var events strings.Builder
		Print(&events, v.Events)
		for line := range strings.Lines(events.String()) {
			b.WriteString("#   " + line)
		}
	}
	b.WriteString(f.plan.String())
	return b.String()
}

// write leaves the plan and its whole history in a folder.
func (f failure) write(folder string) {
	if folder == "" {
		return
	}
	name := filepath.Join(folder, fmt.Sprintf("failed-%d", f.number))
	var entries strings.Builder
	for _, v := range f.violations {
		fmt.Fprintf(&entries, "%s: %s\n", v.Rule, v.Problem)
	}
	Print(&entries, f.entries)
	_ = os.WriteFile(name+".plan", []byte(f.String()), 0o600)
	_ = os.WriteFile(name+".history", []byte(entries.String()), 0o600)
}
