package conformance_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/scenarios"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

const spec = "../SPEC.md"

func TestEverySentenceHasAScenario(t *testing.T) {
	sentences, err := suite.ReadSpec(spec)
	require.NoError(t, err)
	assert.Empty(t, suite.CheckTable(sentences, scenarios.All(), scenarios.NotShown()))
}

func TestTheGoSDKConforms(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "driver")
	output, err := exec.Command("go", "build", "-o", binary, "./drivers/go").CombinedOutput()
	require.NoError(t, err, string(output))
	config := suite.Config{
		Drivers:   []suite.Driver{{Name: "go", Launch: driver.Command(binary)}},
		Scenarios: scenarios.All(),
		Parallel:  8,
	}
	for _, r := range suite.Run(t.Context(), config) {
		t.Run(r.Scenario.Name, func(t *testing.T) {
			switch r.Outcome {
			case suite.Failed:
				t.Error(r.Why)
			case suite.Unsupported, suite.Skipped:
				t.Skip(r.Why)
			}
		})
	}
}

func TestWhatMeasuresTimeIsPlayedAgain(t *testing.T) {
	for _, c := range []struct {
		name         string
		alone        bool
		fails, plays int
		outcome      suite.Outcome
	}{
		{"it passes", true, 0, 1, suite.Passed},
		{"the machine was held up", true, 2, 3, suite.Passed},
		{"it fails each time", true, 9, 3, suite.Failed},
		{"it doesn't measure time", false, 1, 1, suite.Failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			plays := 0
			scenario := suite.Scenario{Name: c.name, Alone: c.alone, Run: func(h *suite.Harness) {
				plays++
				assert.Greater(h, plays, c.fails)
			}}
			results := suite.Run(t.Context(), suite.Config{
				Drivers:   []suite.Driver{{Name: "go", Launch: inProcess(nil, nil)}},
				Scenarios: []suite.Scenario{scenario},
			})
			require.NotEmpty(t, results)
			assert.Equal(t, c.outcome, results[0].Outcome)
			assert.Equal(t, c.plays, results[0].Plays)
			assert.Equal(t, c.plays, plays)
		})
	}
}
