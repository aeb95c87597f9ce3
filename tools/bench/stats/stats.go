// Package stats reduces repeated measurements to figures that can be compared.
package stats

import (
	"math"
	"slices"
)

// Summary describes the same measurement made several times.
type Summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	// Spread is the distance from the smallest to the largest as a part of the
	// median: 0.1 means that the measurements differ by a tenth. It is 0 if the
	// median is.
	Spread float64 `json:"spread"`
	// Samples are the measurements in the order in which they were made.
	Samples []float64 `json:"samples"`
}

// Summarize describes samples. Without any, everything is 0.
func Summarize(samples []float64) Summary {
	if len(samples) == 0 {
		return Summary{}
	}
	s := Summary{
		Median:  Median(samples),
		Min:     slices.Min(samples),
		Max:     slices.Max(samples),
		Samples: slices.Clone(samples),
	}
	if s.Median != 0 {
		s.Spread = (s.Max - s.Min) / math.Abs(s.Median)
	}
	return s
}

// Median is the middle of the sorted samples, or the mean of the two in the middle;
// 0 without any.
func Median(samples []float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Percentile is the smallest of the sorted samples that at least the fraction p of
// them (0 to 1) don't exceed: the nearest-rank method. It is 0 without samples.
func Percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Limit is the rate of a path whose messages pass through two stages, one after the
// other, that share the same cores: each message costs the time that it costs in
// both, so 1/limit = 1/a + 1/b. It is 0 if a or b is.
func Limit(a, b float64) float64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	return 1 / (1/a + 1/b)
}
