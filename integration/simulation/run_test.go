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
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			plan, err := Parse(string(text))
			require.NoError(t, err)
			start := time.Now()
			result := Run(t, plan)
			t.Logf("%v in %v; %d messages, %d deliveries; %v", result.Took, time.Since(start).Round(time.Millisecond),
				result.Messages, result.Deliveries, result.Faults)
			if os.Getenv("SIMULATION_HISTORY") != "" {
				Print(os.Stderr, result.History)
			}
			for line := range strings.Lines(string(text)) {
				if kind, ok := strings.CutPrefix(strings.TrimSpace(line), "# expect "); ok {
					assert.Positive(t, result.Faults[kind], "%q took place", kind)
				}
			}
			assert.Positive(t, result.Messages)
			assert.Positive(t, result.Deliveries)
			for _, v := range result.Violations {
				t.Errorf("%s: %s", v.Rule, v.Problem)
				Print(t.Output(), v.Events)
			}
		})
	}
}
