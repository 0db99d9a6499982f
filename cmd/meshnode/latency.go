package main

import (
	"math"
	"math/bits"
	"time"
)

// latencyPrecision is the number of buckets for each power of two, as a power
// of two: what a latency is told as is at most 1 in 128 too long.
const latencyPrecision = 7

// latencies counts durations in a fixed space, however many there are. The zero
// value is ready.
type latencies struct {
	counts [64 << latencyPrecision]uint32
	total  int
	max    time.Duration // exact
}

// add counts one duration, to the microsecond.
func (l *latencies) add(d time.Duration) {
	l.counts[latencyBucket(uint64(max(d.Microseconds(), 0)))]++
	l.total++
	l.max = max(l.max, d)
}

// quantile gives a duration that the fraction q, 0 to 1, does not exceed. It
// is 0 when nothing was counted.
func (l *latencies) quantile(q float64) time.Duration {
	rank := max(int(math.Ceil(q*float64(l.total))), 1)
	seen := 0
	for i, n := range l.counts {
		if seen += int(n); n > 0 && seen >= rank {
			return min(time.Duration(latencyCeiling(i))*time.Microsecond, l.max)
		}
	}
	return l.max
}

// latencyBucket gives the index for n microseconds: the position of its
// highest bit, and the bits that follow it.
func latencyBucket(n uint64) int {
	if n < 1<<latencyPrecision {
		return int(n)
	}
	shift := bits.Len64(n) - 1 - latencyPrecision
	return (shift+1)<<latencyPrecision | int(n>>shift)&(1<<latencyPrecision-1)
}

// latencyCeiling gives the largest number of microseconds of a bucket.
func latencyCeiling(bucket int) uint64 {
	if bucket < 1<<latencyPrecision {
		return uint64(bucket)
	}
	shift := bucket>>latencyPrecision - 1
	mantissa := uint64(1<<latencyPrecision | bucket&(1<<latencyPrecision-1))
	return (mantissa+1)<<shift - 1
}
