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
