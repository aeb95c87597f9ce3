//go:build synctests

package simulation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scripts are the plans of testdata. Each begins with comments that say what it is
// for, and lines "# expect KIND" for the faults that must really have taken place.
func scripts(t *testing.T) []string {
	files, err := filepath.Glob("testdata/*.plan")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func TestScripts(t *testing.T) {
	for _, file := range scripts(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".plan"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			plan, err := Parse(string(text))
			require.NoError(t, err)
			seen := make(map[string]int)
			for n := range *scriptTimes {
				runScript(t, plan, seen)
				require.False(t, t.Failed(), "time %d of %d", n+1, *scriptTimes)
			}
			for line := range strings.Lines(string(text)) {
				if kind, ok := strings.CutPrefix(strings.TrimSpace(line), "# expect "); ok {
					assert.Positive(t, seen[kind], "%q took place", kind)
				}
			}
		})
	}
}

// runScript carries out a script once, and adds to what took place.
func runScript(t *testing.T, plan Plan, seen map[string]int) {
	start := time.Now()
	result := Run(t, plan)
	t.Logf("%v in %v; %d messages, %d deliveries; %v", result.Took, time.Since(start).Round(time.Millisecond),
		result.Messages, result.Deliveries, result.Faults)
	if os.Getenv("SIMULATION_HISTORY") != "" {
		Print(os.Stderr, result.History)
	}
	for kind, n := range coverage(plan, result) {
		seen[kind] += n
	}
	assert.Positive(t, result.Messages)
	assert.Positive(t, result.Deliveries)
	for _, v := range result.Violations {
		t.Errorf("%s: %s", v.Rule, v.Problem)
		Print(t.Output(), v.Events)
	}
}

func TestAGoroutineThatIsLeftIsAViolation(t *testing.T) {
	result := inBubble(t, Plan{}, func(*testing.T) Result {
		go func() { <-make(chan struct{}) }()
		return Result{Messages: 7}
	})
	require.Equal(t, 7, result.Messages, "what came of it is kept")
	require.Len(t, result.Violations, 1)
	require.Equal(t, "simulation-ends", result.Violations[0].Rule)
	require.Contains(t, result.Violations[0].Problem, "deadlock")
	require.Contains(t, result.Violations[0].Problem, "TestAGoroutineThatIsLeftIsAViolation", "its stack is there")
}

func TestWaitingForEachOtherIsAViolation(t *testing.T) {
	result := inBubble(t, Plan{}, func(*testing.T) Result {
		<-make(chan struct{})
		return Result{}
	})
	require.Len(t, result.Violations, 1)
	require.Contains(t, result.Violations[0].Problem, "all goroutines in bubble are blocked")
}

func TestAPanicIsAViolation(t *testing.T) {
	result := inBubble(t, Plan{}, func(*testing.T) Result { panic("it breaks") })
	require.Len(t, result.Violations, 1)
	require.Contains(t, result.Violations[0].Problem, "it breaks")
}

// A proxy that recovers from a panic goes on, and its clients begin anew.
func TestAPanicThatTheProxyRecoversFromIsAViolation(t *testing.T) {
	result := inBubble(t, Plan{}, func(t *testing.T) Result {
		w := newWorld(t, Plan{})
		w.serverConfig("p1").Logger.Error("the broker doesn't answer", "error", "none")
		w.serverConfig("p1").Logger.Error("the subscription failed", "panic", "it breaks")
		return w.run()
	})
	require.Len(t, result.Violations, 1)
	require.Equal(t, "panics", result.Violations[0].Rule)
	require.Equal(t, "the subscription failed: it breaks", result.Violations[0].Problem)
}
