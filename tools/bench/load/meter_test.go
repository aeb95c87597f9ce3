package load

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMeterMeasuresFromTheEndOfTheWarmup(t *testing.T) {
	m := newMeter(Spec{Warmup: 100, Messages: 1000})
	m.add(90)
	m.add(20) // 110: the measurement begins
	require.False(t, m.isDone())
	m.add(985)
	require.False(t, m.isDone())
	m.add(10) // 1105
	require.True(t, m.isDone())
	m.add(100) // more than was asked for

	result, err := m.result()
	require.NoError(t, err)
	assert.EqualValues(t, 995, result.Messages)
	assert.Positive(t, result.Seconds)
	assert.Contains(t, result.CPU, Self)
	assert.Positive(t, result.Peak[Self])
}

func TestMeterWithoutWarmup(t *testing.T) {
	m := newMeter(Spec{Messages: 10})
	m.add(10)
	result, err := m.result()
	require.NoError(t, err)
	assert.EqualValues(t, 10, result.Messages)
}

func TestMeterCountsEverybody(t *testing.T) {
	m := newMeter(Spec{Warmup: 1000, Messages: 9000})
	var work sync.WaitGroup
	for range 10 {
		work.Go(func() {
			for range 1000 {
				m.add(1)
			}
		})
	}
	work.Wait()
	result, err := m.result()
	require.NoError(t, err)
	assert.EqualValues(t, 9000, result.Messages)
}

func TestMeterSaysWhichProcessIsGone(t *testing.T) {
	m := newMeter(Spec{Messages: 1, Processes: map[string]int{"server": 1 << 30}})
	m.add(1)
	_, err := m.result()
	require.Error(t, err)
}

func TestSharesAddUp(t *testing.T) {
	spec := Spec{Warmup: 3, Messages: 100, Clients: 8}
	var sum int64
	for client := range spec.Clients {
		sum += spec.share(client)
	}
	assert.EqualValues(t, 103, sum)
}

func TestOrderNoticesWhatIsMissing(t *testing.T) {
	values := newValues(100, 1)
	o := newOrder(2, 100)
	for _, step := range []struct {
		partition int32
		index     int64
		isNew     bool
	}{{0, 0, true}, {0, 1, true}, {1, 0, true}, {0, 1, false}, {0, 0, false}, {0, 2, true}} {
		isNew, err := o.see(step.partition, values.indexed(step.index))
		require.NoError(t, err)
		assert.Equal(t, step.isNew, isNew, step)
	}
	assert.EqualValues(t, 2, o.repeated.Load())

	_, err := o.see(0, values.indexed(4))
	require.ErrorContains(t, err, "message 4 of partition 0 came where 3 was next")
	_, err = o.see(2, values.indexed(0))
	require.Error(t, err, "there is no such partition")
	_, err = o.see(0, make([]byte, 99))
	require.Error(t, err, "nobody produced that")
}

func TestMovedPartitions(t *testing.T) {
	assert.Equal(t, 2, moved([]int{nobody, 1, 2, 3}, []int{1, 1, 2, 4}))
}
