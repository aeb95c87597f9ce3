package process

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCPUTimeIsThatOfUserAndKernel(t *testing.T) {
	cpu, err := cpuTime([]byte("42 (a ) name) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 1 0 100\n"))
	require.NoError(t, err)
	assert.Equal(t, 1750*time.Millisecond, cpu)
	_, err = cpuTime([]byte("42 (short) S 1"))
	require.Error(t, err)
	_, err = cpuTime(nil)
	require.Error(t, err)
}

func TestStatusBytes(t *testing.T) {
	status := []byte("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
	resident, err := statusBytes(status, "VmRSS")
	require.NoError(t, err)
	assert.EqualValues(t, 1<<20, resident)
	_, err = statusBytes(status, "VmSwap")
	require.ErrorContains(t, err, "VmSwap")
}

func TestUsageOfThisProcess(t *testing.T) {
	usage, err := ReadUsage(os.Getpid())
	require.NoError(t, err)
	assert.Positive(t, usage.Resident)
	assert.GreaterOrEqual(t, usage.Peak, usage.Resident)
}

func TestUsageOfAProcessThatHasEnded(t *testing.T) {
	cmd := exec.Command("true")
	require.NoError(t, cmd.Run())
	_, err := ReadUsage(cmd.Process.Pid)
	require.Error(t, err)
}
