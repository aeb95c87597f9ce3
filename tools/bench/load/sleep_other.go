//go:build !linux

package load

import "time"

// sleepUntil returns at a time, late by a millisecond at most.
func sleepUntil(at time.Time) { time.Sleep(time.Until(at)) }
