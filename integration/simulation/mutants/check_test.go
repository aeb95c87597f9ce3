package mutants

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVerdictsAreReadFromWhatTheSimulationPrints(t *testing.T) {
	v := Verdict{
		Mutant: Mutant{Name: "gate", Guarantee: "C3", Off: "the gate", Caught: []string{"two-holders"}},
		Output: "=== RUN TestHunt\nhunt: plan 0\nhunt: plan 1\nhunt: plan 1 violates two-holders\nhunt: plan 1 violates client-window\n" +
			"hunt: plan 1 violates two-holders\n--- FAIL",
	}
	v.read()
	require.Equal(t, []string{"client-window", "two-holders"}, v.Violations)
	require.Equal(t, 2, v.Plans)
	require.True(t, v.Expected())
	require.False(t, v.Survived())
	require.Equal(t, "| gate | C3 | the gate | client-window, two-holders | 2 | 0 |", v.Row())
}

func TestMutantThatNobodyNoticesSurvives(t *testing.T) {
	v := Verdict{Output: "hunt: plan 0\nhunt: plan 1\nPASS"}
	v.read()
	require.True(t, v.Survived())
	require.False(t, v.Expected())
	require.Contains(t, v.Row(), "**survived**")
}

func TestSimulationWithoutAnEndIsAViolation(t *testing.T) {
	v := Verdict{Output: "hunt: plan 0\nsimulation: no end after 2m0s:\nplan seed=1"}
	v.read()
	require.Equal(t, []string{"simulation-ends"}, v.Violations)
}
