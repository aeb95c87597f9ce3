package load

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/messageproxy/messageproxy/tools/bench/process"
)

// meter measures from the last message of the warm-up to the last message of all.
// Its methods may be called concurrently.
type meter struct {
	first, last int64 // how many messages are done when the measurement begins and ends
	pids        map[string]int

	total atomic.Int64
	begin reading // read when begun is closed
	begun chan struct{}
	end   reading // read when done is closed
	done  chan struct{}
}

type reading struct {
	at    time.Time
	total int64
	usage map[string]process.Usage
	err   error
}

func newMeter(spec Spec) *meter {
	m := &meter{
		first: spec.Warmup,
		last:  spec.Warmup + spec.Messages,
		pids:  map[string]int{Self: os.Getpid()},
		begun: make(chan struct{}),
		done:  make(chan struct{}),
	}
	for name, pid := range spec.Processes {
		m.pids[name] = pid
	}
	if m.first == 0 {
		m.start(0)
	}
	return m
}

// add says that n more messages are done.
func (m *meter) add(n int) {
	after := m.total.Add(int64(n))
	before := after - int64(n)
	if before < m.first && after >= m.first {
		m.start(after)
	}
	if before < m.last && after >= m.last {
		m.end = m.read(after)
		<-m.begun
		close(m.done)
	}
}

func (m *meter) start(total int64) {
	m.begin = m.read(total)
	close(m.begun)
}

// untilDone returns a context that ends when the measurement does.
func (m *meter) untilDone(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-m.done:
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (m *meter) isDone() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

func (m *meter) read(total int64) reading {
	r := reading{at: time.Now(), total: total, usage: make(map[string]process.Usage, len(m.pids))}
	for name, pid := range m.pids {
		usage, err := process.ReadUsage(pid)
		r.usage[name], r.err = usage, errors.Join(r.err, err)
	}
	return r
}

// result is called when done is closed and nobody adds any more.
func (m *meter) result() (Result, error) {
	r := Result{
		Messages: m.end.total - m.begin.total,
		Seconds:  m.end.at.Sub(m.begin.at).Seconds(),
		CPU:      map[string]float64{},
		Peak:     map[string]int64{},
	}
	for name := range m.pids {
		r.CPU[name] = (m.end.usage[name].CPU - m.begin.usage[name].CPU).Seconds()
		r.Peak[name] = m.end.usage[name].Peak
	}
	return r, errors.Join(m.begin.err, m.end.err)
}
