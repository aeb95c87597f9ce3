//go:build synctests

package simulation

import (
	"slices"
	"testing"
	"time"
)

// shrink looks for a smaller plan that breaks a rule that f breaks, for so long.
// Since scheduling is random, every attempt is made several times, and a plan that
// fails rarely may remain as it is.
func shrink(t *testing.T, f failure, patience time.Duration) failure {
	s := &shrinker{
		run:      func(plan Plan) Result { return runGuarded(t, plan) },
		smallest: f, rules: rulesOf(f.violations), deadline: time.Now().Add(patience),
	}
	return s.shrink()
}

type shrinker struct {
	run      func(Plan) Result
	smallest failure
	rules    []string
	deadline time.Time
}

func (s *shrinker) shrink() failure {
	for s.removeSteps() || s.simplify() {
	}
	return s.smallest
}

// attempts is how often a smaller plan has to pass before it counts as one that
// does.
const attempts = 8

// fails reports whether a plan still breaks one of the rules.
func (s *shrinker) fails(plan Plan) bool {
	for range attempts {
		if time.Now().After(s.deadline) {
			return false
		}
		result := s.run(plan)
		for _, rule := range rulesOf(result.Violations) {
			if slices.Contains(s.rules, rule) {
				s.smallest = failure{s.smallest.number, plan, result.Violations, result.History}
				return true
			}
		}
	}
	return false
}

// removeSteps leaves out runs of steps, long ones first. It reports whether it could
// leave out any.
func (s *shrinker) removeSteps() bool {
	removed := false
	for n := len(s.smallest.plan.Steps) / 2; n > 0; n /= 2 {
		for i := 0; i+n <= len(s.smallest.plan.Steps); {
			plan := s.smallest.plan
			plan.Steps = slices.Concat(plan.Steps[:i], plan.Steps[i+n:])
			if s.fails(plan) {
				removed = true
			} else {
				i += n
			}
		}
	}
	return removed
}

// simplify makes the rest of the plan smaller, one thing at a time.
func (s *shrinker) simplify() bool {
	simpler := []func(p *Plan){
		func(p *Plan) { p.Brokers = 1 },
		func(p *Plan) { p.Proxies = 1 },
		func(p *Plan) { p.Topics = p.Topics[:1] },
		func(p *Plan) { p.Topics[0].Partitions = 1 },
		func(p *Plan) { p.Topics[0].Compacted = false },
		func(p *Plan) { p.Subscriptions = p.Subscriptions[:1] },
		func(p *Plan) { p.Subscriptions[0].Topics = p.Subscriptions[0].Topics[:1] },
		func(p *Plan) { p.Subscriptions[0].Latest = false },
		func(p *Plan) { p.Settings = Settings{} },
	}
	done := false
	for _, change := range simpler {
		plan := s.smallest.plan
		before := plan.String()
		plan.Topics = slices.Clone(plan.Topics)
		plan.Subscriptions = slices.Clone(plan.Subscriptions)
		change(&plan)
		if plan.String() != before && s.fails(plan) {
			done = true
		}
	}
	return done
}
