//go:build synctests

package simulation

import (
	"fmt"
	"os"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/messageproxy/messageproxy/integration/history"
)

// Result is what came of a plan.
type Result struct {
	// Violations are the guarantees that were broken, a simulation that didn't come
	// to its end included. There should be none.
	Violations []history.Violation
	// History is everything that was seen.
	History []history.Entry
	// Faults counts what really took place, by kind: "kill", "requests commit late",
	// "disturb stalled". A fault that found nothing to disturb isn't counted.
	Faults map[string]int
	// Messages is how many were produced through proxies, Deliveries how many times
	// clients got one.
	Messages, Deliveries int
	// Took is how long all of it took, in the simulation's own time.
	Took time.Duration
}

// realTimeLimit is how long a simulation may take in real time. One that makes no
// progress (a lock is never given back, a loop spins) ends the process then, since
// nothing else could end it.
const realTimeLimit = 2 * time.Minute

// Run carries out a plan in a bubble of its own, and says what came of it. It
// fails t only if the world itself can't be made. Several may run in parallel.
func Run(t *testing.T, plan Plan) Result {
	t.Helper()
	return inBubble(t, plan, func(t *testing.T) Result { return newWorld(t, plan).run() })
}

// inBubble runs f in a bubble. That it doesn't come to its end is a violation too:
// it panics, or goroutines are left that wait for each other.
func inBubble(t *testing.T, plan Plan, f func(t *testing.T) Result) (result Result) {
	t.Helper()
	watchdog := time.AfterFunc(realTimeLimit, func() {
		fmt.Fprintf(os.Stderr, "simulation: no end after %v:\n%s\n%s\n", realTimeLimit, plan, runningStacks())
		os.Exit(2)
	})
	defer watchdog.Stop()
	defer func() {
		if p := recover(); p != nil {
			result.violateEnd(fmt.Sprintf("%v\n%s", p, bubbleStacks()))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if p := recover(); p != nil {
				result.violateEnd(fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			}
		}()
		result = f(t)
	})
	return result
}

func (r *Result) violateEnd(problem string) {
	r.Violations = append(r.Violations, history.Violation{Rule: "simulation-ends", Problem: problem})
}
