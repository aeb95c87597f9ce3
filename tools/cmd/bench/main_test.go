package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/tools/bench/suite"
)

func TestARunIsWholeUnlessItIsSaidOtherwise(t *testing.T) {
	s, err := parse(nil)
	require.NoError(t, err)
	assert.Equal(t, suite.Embedded, s.options.Kafka)
	assert.Equal(t, 5, s.options.Rounds)
	assert.InDelta(t, 1, s.options.Scale, 0)
	assert.Empty(t, s.options.Only)
	assert.Equal(t, "go run ./tools/cmd/bench", s.command)
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	assert.Equal(t, root, s.options.Root, "the folder above that has the workspace")
}

func TestAShortRun(t *testing.T) {
	s, err := parse([]string{"-short", "-only", "produce,consume"})
	require.NoError(t, err)
	assert.Equal(t, 1, s.options.Rounds)
	assert.Less(t, s.options.Scale, 0.1)
	assert.Equal(t, []string{"produce", "consume"}, s.options.Only)
	assert.Equal(t, "go run ./tools/cmd/bench -short -only produce,consume", s.command)
}

func TestAShortRunIsAsLongAsOneSays(t *testing.T) {
	s, err := parse([]string{"-short", "-rounds", "2", "-scale", "0.5"})
	require.NoError(t, err)
	assert.Equal(t, 2, s.options.Rounds)
	assert.InDelta(t, 0.5, s.options.Scale, 0)
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	for _, args := range [][]string{{"now"}, {"-rounds", "0"}, {"-scale", "0"}, {"-short", "-rounds", "3", "now"}} {
		_, err := parse(args)
		assert.Error(t, err, args)
	}
	require.ErrorContains(t, run(t.Context(), []string{"-only", "juggling"}), `there is no section "juggling"`)
}
