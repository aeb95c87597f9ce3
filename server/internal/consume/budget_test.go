package consume

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
)

func TestC7PressureGrowsWithWhatIsUsed(t *testing.T) {
	var told atomic.Int64
	b := &budget{limit: 800, onFull: func() { told.Add(1) }}
	b.partitions.Store(4)
	b.add(400)
	require.Equal(t, coordinator.MemoryPressure{}, b.pressure())
	b.add(1)
	require.Equal(t, coordinator.MemoryPressure{Over: true, FairShare: 100}, b.pressure())
	b.add(399)
	require.Equal(t, coordinator.MemoryPressure{Over: true, FairShare: 100}, b.pressure())
	require.Zero(t, told.Load())
	b.add(1)
	require.Equal(t, coordinator.MemoryPressure{Over: true, FairShare: 100, Full: true}, b.pressure())
	require.EqualValues(t, 1, told.Load())
	b.add(-100)
	require.True(t, b.pressure().Full, "there is to be some room before everybody fetches again")
	b.add(-1)
	require.Equal(t, coordinator.MemoryPressure{Over: true, FairShare: 100}, b.pressure())
	require.EqualValues(t, 2, told.Load())
	b.add(-300)
	require.Equal(t, coordinator.MemoryPressure{}, b.pressure())
}

// TestC7ABudgetIsNeverLeftFull: if it were, nothing would ever be fetched again.
func TestC7ABudgetIsNeverLeftFull(t *testing.T) {
	b := &budget{limit: 10, onFull: func() {}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10_000 {
				b.add(3)
				b.add(-3)
			}
		})
	}
	wg.Wait()
	require.Zero(t, b.used.Load())
	require.False(t, b.full.Load())
}

func TestC7WhatIsPostedCountsOnce(t *testing.T) {
	b := &budget{limit: 1 << 20, onFull: func() {}}
	a := account{budget: b}
	posted := bytesOf(broker.Events{
		broker.EventAssigned{},
		broker.EventMessages{Messages: []broker.Message{{Value: make([]byte, 100)}, {}}},
	})
	require.EqualValues(t, 100+2*messageOverhead, posted)
	b.add(posted)
	a.set(posted, 1, posted)
	require.Equal(t, posted, b.used.Load())
	a.set(messageOverhead, 1, 0) // the first is ACKed
	require.EqualValues(t, messageOverhead, b.used.Load())
	b.add(posted)
	a.set(0, 0, posted) // of a partition that is gone
	require.Zero(t, b.used.Load())
	require.Zero(t, b.partitions.Load())
}
