package suite

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/script"
)

// quiet is how long nothing may happen where nothing should, when everything that could
// have made it happen is over.
const quiet = 60 * time.Millisecond

// closing is how long what a scenario has left behind may take to end.
const closing = 2 * time.Second

// Harness is what a scenario has: a driver, scripted servers, and a way to fail, which is
// that of tests: it can be given to testify. Its methods are for the goroutine of the
// scenario.
type Harness struct {
	// Driver is the session with the SDK's driver, and Process the driver itself.
	*driver.Session
	Process *driver.Process

	ctx     context.Context
	servers []*script.Server
	proxies []*Proxy
	proxy   string // the path of the real one

	mu       sync.Mutex
	failures []string
	outcome  Outcome // Unsupported or Skipped, or none yet
	why      string
}

// Helper does nothing; it is there as a test has it.
func (h *Harness) Helper() {}

// Context ends when the scenario must.
func (h *Harness) Context() context.Context { return h.ctx }

// Errorf notes a failure.
func (h *Harness) Errorf(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures = append(h.failures, fmt.Sprintf("%s%s", place(), strings.TrimSpace(fmt.Sprintf(format, args...))))
}

// FailNow ends the scenario.
func (h *Harness) FailNow() { runtime.Goexit() }

// Unsupported ends the scenario: the language can't do what it is about.
func (h *Harness) Unsupported(why string) { h.end(Unsupported, why) }

// Skip ends the scenario: this machine can't do what it needs.
func (h *Harness) Skip(why string) { h.end(Skipped, why) }

func (h *Harness) end(outcome Outcome, why string) {
	h.mu.Lock()
	h.outcome, h.why = outcome, why
	h.mu.Unlock()
	runtime.Goexit()
}

// place is where in a scenario the caller is, or nothing.
func place() string {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, "/conformance/scenarios.") {
			return fmt.Sprintf("%s:%d: ", filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}

// Server starts a scripted server, which ends with the scenario.
func (h *Harness) Server(o script.Options) *script.Server {
	s := script.NewServer(h, o)
	h.servers = append(h.servers, s)
	return s
}

// Quiet waits until everything that the driver has said is here, and a moment longer, in
// which whatever wrongly happens may do so.
func (h *Harness) Quiet() {
	h.Ping()
	time.Sleep(quiet)
	h.Ping()
}

// Pause waits a moment, between two looks at several things at once. It fails when the
// scenario has taken too long.
func (h *Harness) Pause() {
	select {
	case <-time.After(time.Millisecond):
	case <-h.ctx.Done():
		h.fatalf("%v", context.Cause(h.ctx))
	}
}

// play runs the scenario, and says what became of it.
func (h *Harness) play(s *Scenario) (Outcome, string) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer h.cleanUp()
		defer func() {
			if value := recover(); value != nil {
				h.Errorf("the scenario panicked: %v", value)
			}
		}()
		s.Run(h)
	}()
	<-ended
	for _, wrong := range h.Process.Wrong() {
		h.Errorf("the driver broke the protocol: %s", wrong)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case len(h.failures) > 0:
		return Failed, h.explainLocked()
	case h.outcome != 0:
		return h.outcome, h.why
	}
	return Passed, ""
}

func (h *Harness) cleanUp() {
	for _, s := range h.servers {
		s.Close() // so that clients have nothing to wait for
	}
	h.Session.Close(closing)
	for _, p := range h.proxies {
		p.kill()
	}
}

// explainLocked is everything that helps with the failures.
func (h *Harness) explainLocked() string {
	text := strings.Join(h.failures, "\n")
	text += "\n--- what was said (> to the driver, < by it):\n" + h.Transcript()
	if stderr := h.Process.Stderr(); stderr != "" {
		const longest = 4000
		if len(stderr) > longest {
			stderr = "…" + stderr[len(stderr)-longest:]
		}
		text += "\n--- the driver's standard error, at its end:\n" + stderr
	}
	for _, p := range h.proxies {
		text += "\n--- the proxy, at its end:\n" + p.Output()
	}
	return text
}
