package suite

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
)

// Driver is an SDK's driver.
type Driver struct {
	Name   string
	Launch driver.Launch
}

// Config is what to run.
type Config struct {
	Drivers   []Driver
	Scenarios []Scenario
	// Parallel is how many scenarios run at once, but for those that run alone.
	Parallel int
	// Proxy is the path of the real proxy. Empty: scenarios that need it are left out.
	Proxy string
	// Progress is told of each result, by one goroutine at a time. It may be nil.
	Progress func(Result)
}

// runner runs a Config.
type runner struct {
	Config
	mu      sync.Mutex
	results []Result
}

// theDriverEnds is the scenario of the end of a driver's standard input.
var theDriverEnds = Scenario{Name: "the driver ends with its standard input"}

// Run runs everything, and returns the results in the order of drivers and scenarios.
func Run(ctx context.Context, c Config) []Result {
	c.Scenarios = slices.DeleteFunc(slices.Clone(c.Scenarios), func(s Scenario) bool { return s.Real && c.Proxy == "" })
	r := &runner{Config: c}
	var slow sync.WaitGroup
	for _, d := range c.Drivers {
		for i := range c.Scenarios {
			if s := &c.Scenarios[i]; s.Slow {
				slow.Go(func() { r.runOwn(ctx, d, s) })
			}
		}
	}
	for _, d := range c.Drivers {
		r.runDriver(ctx, d)
	}
	slow.Wait()
	r.sort()
	return r.results
}

// sort puts the results into the order of drivers and scenarios.
func (r *runner) sort() {
	driverAt := func(name string) int {
		return slices.IndexFunc(r.Drivers, func(d Driver) bool { return d.Name == name })
	}
	scenarioAt := func(name string) int {
		i := slices.IndexFunc(r.Scenarios, func(s Scenario) bool { return s.Name == name })
		if i < 0 {
			return len(r.Scenarios) // theDriverEnds
		}
		return i
	}
	slices.SortStableFunc(r.results, func(a, b Result) int {
		if d := driverAt(a.Driver) - driverAt(b.Driver); d != 0 {
			return d
		}
		return scenarioAt(a.Scenario.Name) - scenarioAt(b.Scenario.Name)
	})
}

func (r *runner) add(result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, result)
	if r.Progress != nil {
		r.Progress(result)
	}
}

// runDriver runs the scenarios of a driver: those that may, at the same time, and then the
// others one after another.
func (r *runner) runDriver(ctx context.Context, d Driver) {
	shared := &sharedProcess{driver: d}
	var group sync.WaitGroup
	places := make(chan struct{}, max(1, r.Parallel))
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if s.Alone || s.Slow {
			continue
		}
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			r.runOne(ctx, shared, s)
		})
	}
	group.Wait()
	for i := range r.Scenarios {
		if s := &r.Scenarios[i]; s.Alone && !s.Slow {
			r.runOne(ctx, shared, s)
		}
	}
	if began := time.Now(); shared.process != nil {
		outcome, why := Passed, ""
		if err := shared.process.Stop(); err != nil {
			outcome, why = Failed, err.Error()
		}
		r.add(Result{Driver: d.Name, Scenario: &theDriverEnds, Outcome: outcome, Why: why, Took: time.Since(began)})
	}
}

func (r *runner) runOne(ctx context.Context, shared *sharedProcess, s *Scenario) {
	if s.OwnProcess || len(s.Names) > 0 {
		r.runOwn(ctx, shared.driver, s)
		return
	}
	process, err := shared.get()
	if err != nil {
		r.add(Result{Driver: shared.driver.Name, Scenario: s, Outcome: Failed, Why: err.Error()})
		return
	}
	r.play(ctx, shared.driver, process, s)
}

// runOwn runs a scenario with a driver of its own.
func (r *runner) runOwn(ctx context.Context, d Driver, s *Scenario) {
	environment, forget, err := nameEnvironment(s.Names)
	if err != nil {
		r.add(Result{Driver: d.Name, Scenario: s, Outcome: Failed, Why: err.Error()})
		return
	}
	defer forget()
	process, err := driver.Start(d.Name, d.Launch, environment...)
	if err != nil {
		r.add(Result{Driver: d.Name, Scenario: s, Outcome: Failed, Why: err.Error()})
		return
	}
	r.play(ctx, d, process, s)
	if err := process.Stop(); err != nil {
		r.add(Result{Driver: d.Name, Scenario: &theDriverEnds, Outcome: Failed, Why: fmt.Sprintf("after the scenario %q: %v", s.Name, err)})
	}
}

// play plays a scenario until it passes, once if it doesn't measure time.
func (r *runner) play(ctx context.Context, d Driver, process *driver.Process, s *Scenario) {
	began := time.Now()
	result := Result{Driver: d.Name, Scenario: s}
	for again := true; again; {
		result.Outcome, result.Why = r.playOnce(ctx, process, s)
		result.Plays++
		again = result.Outcome == Failed && s.Alone && result.Plays < mostPlays && process.Alive()
	}
	result.Took = time.Since(began)
	r.add(result)
}

func (r *runner) playOnce(ctx context.Context, process *driver.Process, s *Scenario) (Outcome, string) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout(), fmt.Errorf("the scenario may take %v at most", s.timeout()))
	defer cancel()
	h := &Harness{Process: process, ctx: ctx, proxy: r.Proxy}
	h.Session = process.NewSession(h)
	return h.play(s)
}

// sharedProcess is the driver that most scenarios share: starting one takes long in some
// languages. One that has died is replaced.
type sharedProcess struct {
	driver  Driver
	mu      sync.Mutex
	process *driver.Process
}

func (p *sharedProcess) get() (*driver.Process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process != nil && p.process.Alive() {
		return p.process, nil
	}
	process, err := driver.Start(p.driver.Name, p.driver.Launch)
	if err != nil {
		return nil, err
	}
	p.process = process
	return process, nil
}
