package main

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestQuantileAgainstModel compares with the sorted list of all durations: a
// quantile is never too short and at most 1 in 64 too long.
func TestQuantileAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Minute)), 1, 200).Draw(t, "durations")
		split := rapid.IntRange(0, len(all)).Draw(t, "split")
		q := rapid.SampledFrom([]float64{0, 0.01, 0.5, 0.9, 0.99, 1}).Draw(t, "q")
		var h, other histogram
		for i, d := range all {
			if i < split {
				h.add(time.Duration(d))
			} else {
				other.add(time.Duration(d))
			}
		}
		h.merge(&other)
		slices.Sort(all)
		want := all[max(int(math.Ceil(q*float64(len(all)))), 1)-1]
		if got := int64(h.quantile(q)); got < want || got > want+want/64 {
			t.Fatalf("quantile %v of %v: %d, want %d to %d", q, all, got, want, want+want/64)
		}
	})
}

func TestHistogramEdges(t *testing.T) {
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("quantile of nothing: %v", got)
	}
	h.add(-time.Second)
	if got := h.quantile(1); got != 0 {
		t.Errorf("quantile of a clock that went back: %v", got)
	}
	h.add(time.Hour) // more than is told apart
	if got := h.quantile(1); got < time.Minute {
		t.Errorf("quantile of an hour: %v", got)
	}
	for bucket := 1; bucket < len(h.counts); bucket++ {
		if got := bucketOf(ceilingOf(bucket)); got != bucket {
			t.Fatalf("bucket %d ends in bucket %d", bucket, got)
		}
		if got := bucketOf(ceilingOf(bucket-1) + 1); got != bucket {
			t.Fatalf("bucket %d begins in bucket %d", bucket, got)
		}
	}
}
