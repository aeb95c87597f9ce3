package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// board has what the workers report.
type board struct {
	names []string

	mu sync.Mutex
	// shares are the partitions that each worker has.
	shares [][]int32
	// handled are the orders that each worker has handled.
	handled [][]int
	// times is how often each order was handled.
	times map[int]int
	// last is the last order of each customer, misordered those that came after a
	// later one.
	last       map[string]int
	misordered []int
	// changed is closed, and replaced, when something changes.
	changed chan struct{}
}

func newBoard(names []string) *board {
	return &board{
		names:   names,
		shares:  make([][]int32, len(names)),
		handled: make([][]int, len(names)),
		times:   map[int]int{},
		last:    map[string]int{},
		changed: make(chan struct{}),
	}
}

func (b *board) changedLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// observe takes down which partitions a worker has.
func (b *board) observe(worker int, e messageproxy.Event) {
	if e.Kind != messageproxy.EventAssigned {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares[worker] = nil
	for _, p := range e.Partitions {
		b.shares[worker] = append(b.shares[worker], p.Partition)
	}
	slices.Sort(b.shares[worker])
	b.changedLocked()
}

// handle takes down that a worker has handled an order.
func (b *board) handle(worker int, customer string, order int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handled[worker] = append(b.handled[worker], order)
	b.times[order]++
	if last, ok := b.last[customer]; ok && order <= last {
		b.misordered = append(b.misordered, order)
	}
	b.last[customer] = order
	b.changedLocked()
}

// await waits until condition, which is called with the lock held, is true.
func (b *board) await(ctx context.Context, condition func() bool) error {
	for {
		b.mu.Lock()
		ok, changed := condition(), b.changed
		b.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// handledLocked is how many different orders are handled.
func (b *board) handledLocked() int { return len(b.times) }

func (b *board) handledBy(worker int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.handled[worker])
}

// sharedAmong reports, with the lock held, whether these workers have all
// partitions, each of them some, and none is listed twice: each worker is told by
// itself, so that for a moment one may still list what another one has already.
func (b *board) sharedAmong(workers ...int) bool {
	all, listed := map[int32]bool{}, 0
	for _, worker := range workers {
		if len(b.shares[worker]) == 0 {
			return false
		}
		for _, p := range b.shares[worker] {
			all[p] = true
			listed++
		}
	}
	return len(all) == partitions && listed == partitions
}

// printShares says which partitions these workers have.
func (b *board) printShares(out io.Writer, workers ...int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, worker := range workers {
		fmt.Fprintf(out, "  %s has partitions %s\n", b.names[worker], strings.Trim(fmt.Sprint(b.shares[worker]), "[]"))
	}
}

// printHandled says who has handled how many.
func (b *board) printHandled(out io.Writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for worker, orders := range b.handled {
		fmt.Fprintf(out, "  %s handled %3d\n", b.names[worker], len(orders))
	}
}

// check says what doesn't add up: orders 0 to orders-1 must be handled once each,
// those of a customer in order.
func (b *board) check(orders int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var missing, several []int
	for order := range orders {
		if b.times[order] == 0 {
			missing = append(missing, order)
		}
	}
	for _, order := range slices.Sorted(maps.Keys(b.times)) {
		if b.times[order] > 1 || order >= orders {
			several = append(several, order)
		}
	}
	return errors.Join(
		complaint("were not handled", missing),
		complaint("were handled several times, or never produced", several),
		complaint("were handled after a later one of their customer", b.misordered),
	)
}

func complaint(what string, orders []int) error {
	if len(orders) == 0 {
		return nil
	}
	return fmt.Errorf("%d orders %s: %v", len(orders), what, orders[:min(len(orders), 10)])
}
