// Package suite runs scenarios against the drivers of SDKs, and says which sentences of
// SPEC.md they have shown.
package suite

import "time"

// Scenario is something that an SDK does, and a server that has it do that.
type Scenario struct {
	Name string
	// Shows are the numbers of the sentences that it shows.
	Shows []string
	// Run plays the scenario. It fails by the harness.
	Run func(h *Harness)
	// Alone: it measures time, and runs when nothing else does. If it fails, it is played
	// again, up to three times: when the machine is held up for a moment, that is measured
	// too, and a client that breaks a sentence does so each time.
	Alone bool
	// Slow: it takes long and needs little, so it runs beside everything else, with a
	// driver of its own.
	Slow bool
	// OwnProcess: it needs a driver of its own: for its log, or its end.
	OwnProcess bool
	// Names are names that have the addresses 127.0.0.1 and 127.0.0.2 in the driver's
	// process, which is one of its own, if its language has a way to say that.
	Names []string
	// Real: it needs a real proxy.
	Real bool
	// Timeout is the most it may take. 0: a minute.
	Timeout time.Duration
}

// mostPlays is how often a scenario is played that measures time.
const mostPlays = 3

func (s *Scenario) timeout() time.Duration {
	if s.Timeout > 0 {
		return s.Timeout
	}
	return time.Minute
}

// Outcome is what became of a scenario.
type Outcome int

// The outcomes.
const (
	Passed Outcome = iota + 1
	Failed
	// Unsupported: the language can't do what the scenario is about.
	Unsupported
	// Skipped: this machine can't.
	Skipped
)

// String names the outcome.
func (o Outcome) String() string {
	switch o {
	case Passed:
		return "ok"
	case Failed:
		return "FAILED"
	case Unsupported:
		return "unsupported"
	case Skipped:
		return "skipped"
	default:
		return "?"
	}
}

// Result is the outcome of a scenario with a driver.
type Result struct {
	Driver   string
	Scenario *Scenario
	Outcome  Outcome
	// Why is the reason for an outcome that isn't Passed, and everything that helps.
	Why string
	// Plays is how often it was played.
	Plays int
	Took  time.Duration
}
