// Package program runs the load programs of the SDKs that aren't written in Go:
// tools/bench/LOAD.md says what they do.
package program

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/process"
)

// sampling is how often a program's memory is looked at.
const sampling = 50 * time.Millisecond

// Program is the command that runs one.
type Program []string

// Build builds the program of a language, and returns how it is run.
func Build(ctx context.Context, root, language string) (Program, error) {
	cmd := exec.CommandContext(ctx, "tools/sdk-program", language, "load")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("build the load program for %s: %w\n%s", language, err, stderr.Bytes())
	}
	return strings.Fields(string(output)), nil
}

// Version is what the program's runtime says of itself.
func (p Program) Version(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, p[0], "--version").Output()
	version, _, _ := strings.Cut(string(output), "\n")
	return version, err
}

// Result is what came of a load.
type Result struct {
	load.Result
	// Resident is the program's memory in bytes, looked at in equal intervals while it was
	// measured.
	Resident []int64
}

// line is what a program prints.
type line struct {
	Measuring bool    `json:"measuring"`
	Messages  int64   `json:"messages"`
	Seconds   float64 `json:"seconds"`
	Done      int64   `json:"done"`
}

// Run runs the program. An error means that a message was lost or refused, or came out of
// order, or that not all went through in time.
func (p Program) Run(ctx context.Context, spec load.Spec) (Result, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, spec.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p[0], append(p[1:len(p):len(p)], string(text))...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Result{}, err
	}
	if err := cmd.Start(); err != nil {
		return Result{}, err
	}
	result, before, err := watch(stdout, cmd.Process.Pid)
	err = errors.Join(err, cmd.Wait())
	if err == nil && result.Messages == 0 {
		err = errors.New("it didn't say what came of it")
	}
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w: %s", spec.Kind, err, strings.TrimSpace(stderr.String()))
	}
	all := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	result.CPU = map[string]float64{load.Self: (all - before).Seconds()}
	return result, nil
}

// watch reads what a program prints until it has ended, and looks at it meanwhile. before is
// the processor time that it used before it was measured.
func watch(stdout io.Reader, pid int) (result Result, before time.Duration, err error) {
	stop := make(chan struct{})
	var sampler sync.WaitGroup
	var samples []int64
	defer func() {
		close(stop)
		sampler.Wait()
		result.Resident = samples
	}()
	for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return result, 0, fmt.Errorf("%w in the line %q", err, scanner.Text())
		}
		if !l.Measuring {
			result.Messages, result.Seconds, result.Done = l.Messages, l.Seconds, l.Done
			continue
		}
		if before, err = process.CPUTime(pid); err != nil {
			return result, 0, err
		}
		sampler.Go(func() { samples = resident(pid, stop) })
	}
	return result, before, nil
}

// resident looks at a process's memory until stop is closed or the process has ended.
func resident(pid int, stop <-chan struct{}) (samples []int64) {
	ticker := time.NewTicker(sampling)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return samples
		case <-ticker.C:
		}
		usage, err := process.ReadUsage(pid)
		if err != nil {
			return samples
		}
		samples = append(samples, usage.Resident)
	}
}
