package load

import (
	"syscall"
	"time"
)

// sleepUntil returns at a time, late by hundredths of a millisecond. The runtime's timers wake a
// process that has nothing else to do up to a millisecond late, which would be taken for latency.
func sleepUntil(at time.Time) {
	for left := time.Until(at); left > 0; left = time.Until(at) {
		duration := syscall.NsecToTimespec(int64(left))
		_ = syscall.Nanosleep(&duration, nil) // what interrupts it is a signal of the runtime
	}
}
