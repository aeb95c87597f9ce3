package program

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/tools/bench/load"
)

// script is a program that gets the spec as its first argument.
func script(text string) Program { return Program{"sh", "-c", text, "program"} }

var spec = load.Spec{Kind: load.SDKProduce, Messages: 5, Timeout: time.Minute}

func TestAProgramIsMeasured(t *testing.T) {
	result, err := script(`
		case $1 in *'"kind":"sdk produce"'*) ;; *) exit 1 ;; esac
		i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done
		echo '{"measuring": true}'
		while [ $i -lt 400000 ]; do i=$((i+1)); done
		echo '{"messages": 5, "seconds": 0.5, "done": 6}'`).Run(t.Context(), spec)
	require.NoError(t, err)
	require.EqualValues(t, 5, result.Messages)
	require.EqualValues(t, 6, result.Done)
	require.InDelta(t, 10, result.Rate(), 1e-9)
	require.Positive(t, result.CPU[load.Self])
	require.NotEmpty(t, result.Resident)
	require.Positive(t, result.Resident[0])
}

func TestAProgramThatFailsSaysWhy(t *testing.T) {
	for name, program := range map[string]Program{
		"a message was lost":              script(`echo "a message was lost" >&2; exit 1`),
		"didn't say what came of it":      script(`echo '{"measuring": true}'`),
		`in the line "nonsense"`:          script(`echo nonsense; sleep 1`),
		"no such file":                    {"./no-such-program"},
		"sdk produce: signal: killed":     script(`kill -9 $$`),
		"after it has said its last line": script(`echo '{"messages": 5, "seconds": 1, "done": 5}'; echo "after it has said its last line" >&2; exit 1`),
	} {
		_, err := program.Run(t.Context(), spec)
		require.ErrorContains(t, err, name)
	}
}

func TestAProgramThatHangsIsEnded(t *testing.T) {
	hanging := spec
	hanging.Timeout = 50 * time.Millisecond
	_, err := script("exec sleep 1000").Run(t.Context(), hanging)
	require.ErrorContains(t, err, "killed")
}
