package process_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/tools/bench/process"
)

func address(line string) (string, bool) { return strings.CutPrefix(line, "at ") }

func TestServerRunsUntilItIsStopped(t *testing.T) {
	s, err := process.StartServer(t.Context(), exec.Command("sh", "-c", "echo hello; echo at home; cat"), address)
	require.NoError(t, err)
	assert.Equal(t, "home", s.Address)
	require.NoError(t, s.Check())
	usage, err := process.ReadUsage(s.PID())
	require.NoError(t, err)
	assert.Positive(t, usage.Resident)
	require.NoError(t, s.Stop())
	require.NoError(t, s.Stop(), "a second time")
	require.ErrorContains(t, s.Check(), "ended by itself")
}

func TestServerThatDoesNotStartSaysWhy(t *testing.T) {
	_, err := process.StartServer(t.Context(), exec.Command("sh", "-c", "echo no such luck >&2; exit 3"), address)
	require.ErrorContains(t, err, "ended at once")
	require.ErrorContains(t, err, "no such luck")
	_, err = process.StartServer(t.Context(), exec.Command("/no/such/program"), address)
	require.Error(t, err)
}

func TestServerThatSaysNothingIsNotWaitedForForever(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := process.StartServer(ctx, exec.Command("cat"), address)
	require.ErrorIs(t, err, context.Canceled)
}
