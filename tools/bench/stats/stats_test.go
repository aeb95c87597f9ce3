package stats_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/messageproxy/messageproxy/tools/bench/stats"
)

func TestSummaryShowsTheMiddleAndTheNoise(t *testing.T) {
	samples := []float64{100, 90, 130}
	s := stats.Summarize(samples)
	assert.InDelta(t, 100, s.Median, 0)
	assert.InDelta(t, 90, s.Min, 0)
	assert.InDelta(t, 130, s.Max, 0)
	assert.InDelta(t, 0.4, s.Spread, 1e-12)
	assert.Equal(t, []float64{100, 90, 130}, s.Samples, "in the order in which they were made")
	assert.Zero(t, stats.Summarize(nil))
	assert.Zero(t, stats.Summarize([]float64{0, 0}).Spread)
}

func TestMedian(t *testing.T) {
	assert.InDelta(t, 2, stats.Median([]float64{3, 1, 2}), 0)
	assert.InDelta(t, 2.5, stats.Median([]float64{4, 1, 2, 3}), 0)
	assert.Zero(t, stats.Median(nil))
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	sorted := make([]float64, 1000)
	for i := range sorted {
		sorted[i] = float64(i + 1)
	}
	assert.InDelta(t, 500, stats.Percentile(sorted, 0.5), 0)
	assert.InDelta(t, 990, stats.Percentile(sorted, 0.99), 0)
	assert.InDelta(t, 999, stats.Percentile(sorted, 0.999), 0)
	assert.InDelta(t, 1, stats.Percentile(sorted, 0), 0)
	assert.InDelta(t, 1000, stats.Percentile(sorted, 1), 0)
	assert.InDelta(t, 7, stats.Percentile([]float64{7}, 0.999), 0)
	assert.Zero(t, stats.Percentile(nil, 0.5))
}

func TestLimitAddsTheTimesOfBothStages(t *testing.T) {
	assert.InDelta(t, 50, stats.Limit(100, 100), 1e-9)
	assert.InDelta(t, 251.6, stats.Limit(404, 667), 0.1)
	assert.Zero(t, stats.Limit(0, 100))
	assert.Zero(t, stats.Limit(100, 0))
}
