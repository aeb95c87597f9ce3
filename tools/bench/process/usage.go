// Package process starts the processes that a benchmark consists of, and reads what
// they use.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is USER_HZ: Linux counts the CPU time that it shows in /proc in
// hundredths of a second on every architecture that Go runs on.
const ticksPerSecond = 100

// Usage is what a process has used so far.
type Usage struct {
	// CPU is its processor time, in user and kernel mode, to a hundredth of a second.
	CPU time.Duration
	// Resident is its memory in bytes, and Peak the most that it ever was.
	Resident, Peak int64
}

// ReadUsage returns what a process uses, from Linux's /proc. Elsewhere, and when the
// process has ended, it is an error.
func ReadUsage(pid int) (Usage, error) {
	cpu, err1 := CPUTime(pid)
	status, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err := errors.Join(err1, err2); err != nil {
		return Usage{}, err
	}
	resident, err2 := statusBytes(status, "VmRSS")
	peak, err3 := statusBytes(status, "VmHWM")
	return Usage{CPU: cpu, Resident: resident, Peak: peak}, errors.Join(err2, err3)
}

// CPUTime is the processor time that a process has used so far. Unlike its memory it can be
// read until the end of the process has been waited for.
func CPUTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return cpuTime(stat)
}

// cpuTime reads the fields utime and stime of /proc/PID/stat: see proc(5).
func cpuTime(stat []byte) (time.Duration, error) {
	// The second field is the program's name in brackets, which may hold anything.
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	const user, system = 11, 12 // the 14th and 15th of all
	if end < 0 || len(fields) <= system {
		return 0, fmt.Errorf("not the form of /proc/PID/stat: %q", stat)
	}
	ticks1, err1 := strconv.ParseInt(fields[user], 10, 64)
	ticks2, err2 := strconv.ParseInt(fields[system], 10, 64)
	return time.Duration(ticks1+ticks2) * time.Second / ticksPerSecond, errors.Join(err1, err2)
}

// statusBytes reads a line of /proc/PID/status such as "VmRSS:	   1234 kB".
func statusBytes(status []byte, name string) (int64, error) {
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/PID/status has no line %s", name)
}
