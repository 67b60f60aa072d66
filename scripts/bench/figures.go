package main

import (
	"fmt"
	"math"
	"slices"
)

func (s *sample) perSecond() float64 { return float64(s.Connections) / s.Elapsed.Seconds() }

// perConnection divides by the connections of the sample.
func (s *sample) perConnection(x float64) float64 { return x / float64(s.Connections) }

// figure is one value of a sample.
type figure func(*sample) float64

// spread is the median of some values, how far they lie around it in the middle
// (the median absolute deviation), and the extremes.
type spread struct {
	median, mad, low, high float64
}

func spreadOf(samples []sample, f figure) spread {
	values := make([]float64, len(samples))
	for i := range samples {
		values[i] = f(&samples[i])
	}
	return spreadOfValues(values)
}

func spreadOfValues(values []float64) spread {
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN(), math.NaN()}
	}
	m := median(values)
	off := make([]float64, len(values))
	for i, v := range values {
		off[i] = math.Abs(v - m)
	}
	return spread{m, median(off), slices.Min(values), slices.Max(values)}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratios pairs the samples of two tools round by round: neighbours in time see
// the same machine.
func ratios(of, to []sample, f figure) spread {
	n := min(len(of), len(to))
	values := make([]float64, n)
	for i := range n {
		values[i] = f(&of[i]) / f(&to[i])
	}
	return spreadOfValues(values)
}

// change words a ratio as a difference in percent, or says that it drowns in
// the spread of its pairs.
func (s spread) change() string {
	difference := s.median - 1
	switch {
	case math.IsNaN(difference):
		return ""
	case math.Abs(difference) <= s.mad:
		return fmt.Sprintf("not measurable (spread ±%.1f %%)", 100*s.mad)
	}
	return fmt.Sprintf("%+.1f %% ± %.1f", 100*difference, 100*s.mad)
}

// format prints the median and the extremes with a number of decimals.
func (s spread) format(decimals int) string {
	if math.IsNaN(s.median) {
		return ""
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", decimals, s.median, decimals, s.low, decimals, s.high)
}
