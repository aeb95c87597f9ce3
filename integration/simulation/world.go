//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/integration/history/tap"
)

// world is everything in a bubble. The goroutine of the plan (run) owns its maps
// and carries out the steps one after another; none of them waits.
type world struct {
	t        *testing.T
	plan     Plan
	log      *slog.Logger
	recorder *history.Recorder
	tap      *tap.Tap
	network  *network
	kafka    *kafkaCluster
	faults   counters
	random   *rand.Rand // of the plan's goroutine

	proxies   map[string]*proxy
	producers map[string]producer
	consumers map[string]consumer
	// former are those that others took the place of, or that are to take no part any
	// more.
	formerProxies []*proxy
	formerClients []client

	tokens int // given out so far
	names  names
	seen   seenIDs
	sdk    sdkOutcomes
	timers []*pending
	wg     sync.WaitGroup // goroutines that only steps need
	// over ends when everything is to heal.
	over context.Context
	heal context.CancelFunc
	// lasting ends when nobody is left who uses Kafka.
	lasting context.Context
	vanish  context.CancelFunc

	violations []history.Violation
	panics     panics
}

// pending is something that is to be undone: when its time has come, or when
// everything heals.
type pending struct {
	timer *time.Timer
	undo  func() // once
}

func newWorld(t *testing.T, plan Plan) *world {
	recorder := &history.Recorder{}
	w := &world{
		t: t, plan: plan, recorder: recorder, tap: tap.New(recorder),
		network: newNetwork(), random: random(plan.Seed, "world"),
		proxies: map[string]*proxy{}, producers: map[string]producer{}, consumers: map[string]consumer{},
	}
	w.log = slog.New(panicWatch{logHandler(os.Getenv("SIMULATION_LOG")), &w.panics})
	w.over, w.heal = context.WithCancel(context.Background())
	w.lasting, w.vanish = context.WithCancel(context.Background())
	w.kafka = newKafkaCluster(w)
	for i := range max(plan.Proxies, 1) {
		w.startProxy(fmt.Sprintf("p%d", i+1))
	}
	return w
}

// logHandler prints what is logged from a level on, and nothing if it is empty.
func logHandler(level string) slog.Handler {
	if level == "" {
		return slog.DiscardHandler
	}
	var l slog.Level
	if l.UnmarshalText([]byte(level)) != nil {
		l = slog.LevelInfo
	}
	return slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})
}

// random is a source of random numbers of its own for each part of a world, so that
// one part's use of it changes nothing for the others.
func random(seed int64, part string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(part))
	return rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
}

// run carries out the plan, heals everything, waits until the proxy has settled,
// ends everything and judges what was seen.
func (w *world) run() Result {
	begin := time.Now()
	w.recorder.Record(history.Calm{ProduceTimeout: w.serverConfig("").Produce.Timeout})
	for _, step := range w.steps() {
		time.Sleep(time.Until(begin.Add(step.At)))
		w.log.Info("step", "at", step.At, "step", step.String())
		if disturbs(step.Action, w.plan.Settings) {
			w.recorder.Record(history.Disturbed{})
		}
		w.do(step.Action)
	}
	time.Sleep(time.Until(begin.Add(w.plan.Lasts)))
	w.settle()
	w.end()
	return w.judge(begin)
}

// after undoes something when d is over, or when everything heals. Zero: then
// alone.
func (w *world) after(d time.Duration, undo func()) {
	var once sync.Once
	p := &pending{undo: func() { once.Do(undo) }}
	if d > 0 {
		p.timer = time.AfterFunc(d, p.undo)
	}
	w.timers = append(w.timers, p)
}

// undoAll undoes everything that is still to be undone.
func (w *world) undoAll() {
	for _, p := range w.timers {
		if p.timer != nil {
			p.timer.Stop()
		}
		p.undo()
	}
	w.timers = nil
}

// violate notes that the world itself saw something that must not be.
func (w *world) violate(rule, problem string, args ...any) {
	w.violations = append(w.violations, history.Violation{Rule: rule, Problem: fmt.Sprintf(problem, args...)})
}

// await waits until done is closed, for at most d. Everything that the world waits
// for is bounded, so that a simulation always ends.
func await(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// counters count faults by kind, until everything heals.
type counters struct {
	mu      sync.Mutex
	n       map[string]int
	stopped bool
}

func (c *counters) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
}

func (c *counters) add(kind string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == 0 || c.stopped {
		return
	}
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[kind] += n
}

func (c *counters) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}

// names makes names that are unique in a world: "c1#2" for the second of "c1".
type names struct {
	mu sync.Mutex
	n  map[string]int
}

func (n *names) next(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.n == nil {
		n.n = make(map[string]int)
	}
	n.n[name]++
	if n.n[name] == 1 {
		return name
	}
	return fmt.Sprintf("%s#%d", name, n.n[name])
}

// seenIDs are ids of messages that some client got, for those who ACK what they
// don't hold.
type seenIDs struct {
	mu  sync.Mutex
	ids []string
}

// maxSeenIDs is how many ids are kept.
const maxSeenIDs = 200

func (s *seenIDs) add(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room := maxSeenIDs - len(s.ids); room < len(ids) {
		ids = ids[:max(room, 0)]
	}
	s.ids = append(s.ids, ids...)
}

func (s *seenIDs) pick(r *rand.Rand, n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var picked []string
	for range n {
		if len(s.ids) > 0 {
			picked = append(picked, s.ids[r.IntN(len(s.ids))])
		}
	}
	return picked
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
