package main

import (
	"math"
	"math/bits"
	"time"
)

const (
	// histogramBits is the number of buckets for each power of two, as a power
	// of two: a quantile is at most 1 in 64 too long.
	histogramBits = 6
	// histogramTop is the position of the highest bit that is told apart:
	// everything above 68 s is in the last bucket.
	histogramTop = 35
)

// histogram counts durations in a fixed space, to the nanosecond up to 64 ns
// and with the same relative error from there on. The zero value is ready. It
// belongs to one goroutine.
type histogram struct {
	counts [(histogramTop - histogramBits + 2) << histogramBits]uint32
	total  uint64
}

// add counts one duration.
func (h *histogram) add(d time.Duration) {
	h.counts[min(bucketOf(uint64(max(d, 0))), len(h.counts)-1)]++
	h.total++
}

// merge adds what o has counted.
func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// quantile gives a duration that the fraction q, 0 to 1, does not exceed; 0 if
// nothing was counted.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := max(uint64(math.Ceil(q*float64(h.total))), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += uint64(n); seen >= rank {
			return time.Duration(ceilingOf(i))
		}
	}
	return time.Duration(ceilingOf(len(h.counts) - 1))
}

// bucketOf gives the index for n: the position of its highest bit, and the bits
// that follow it.
func bucketOf(n uint64) int {
	if n < 1<<histogramBits {
		return int(n)
	}
	shift := bits.Len64(n) - 1 - histogramBits
	return (shift+1)<<histogramBits | int(n>>shift)&(1<<histogramBits-1)
}

// ceilingOf gives the largest number of a bucket.
func ceilingOf(bucket int) uint64 {
	if bucket < 1<<histogramBits {
		return uint64(bucket)
	}
	shift := bucket>>histogramBits - 1
	return (1<<histogramBits|uint64(bucket)&(1<<histogramBits-1)+1)<<shift - 1
}
