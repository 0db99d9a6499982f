package metrics

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Counter is a number that only grows. The zero value is ready.
type Counter = atomic.Uint64

const (
	// perOctave is how many buckets the time between one power of two and the
	// next has. A quantile is off by at most a quarter.
	perOctave = 4
	// octaves cover 1 µs to 2^27 µs, which is 134 s.
	octaves = 28
	// Buckets is how many buckets a histogram has. The first holds what takes
	// less than 1 µs, the last what takes longer than all others.
	Buckets = 1 + octaves*perOctave
)

// Histogram counts durations in buckets that grow by a quarter of a power of
// two. The zero value is ready.
type Histogram struct {
	buckets [Buckets]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

// Observe adds one duration; a negative one counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	h.buckets[bucketOf(d)].Add(1)
	h.sum.Add(int64(max(d, 0)))
}

// bucketOf gives the bucket of a duration.
func bucketOf(d time.Duration) int {
	u := uint64(max(d, 0)) / uint64(time.Microsecond/perOctave)
	if u < perOctave {
		return 0
	}
	octave := bits.Len64(u) - bits.Len64(perOctave)
	return min(1+octave*perOctave+int(u>>octave&(perOctave-1)), Buckets-1)
}

// UpperBound is the duration that all those in a bucket are below. The last
// bucket has none, and gives that of the one before.
func UpperBound(bucket int) time.Duration {
	if bucket == 0 {
		return time.Microsecond
	}
	bucket = min(bucket, Buckets-2)
	octave, part := (bucket-1)/perOctave, (bucket-1)%perOctave
	return time.Microsecond * time.Duration((perOctave+part+1)<<octave) / perOctave
}

// Snapshot is what a histogram held at one moment, bucket by bucket.
type Snapshot struct {
	Counts [Buckets]uint64
	Sum    time.Duration
}

// Snapshot copies the histogram into s. Durations that come meanwhile may be in
// it in part.
func (h *Histogram) Snapshot(s *Snapshot) {
	for i := range h.buckets {
		s.Counts[i] = h.buckets[i].Load()
	}
	s.Sum = time.Duration(h.sum.Load())
}

// Count is the number of durations.
func (s *Snapshot) Count() (n uint64) {
	for _, c := range s.Counts {
		n += c
	}
	return n
}

// Since removes what an earlier snapshot of the same histogram held.
func (s *Snapshot) Since(earlier *Snapshot) {
	for i := range s.Counts {
		s.Counts[i] -= min(earlier.Counts[i], s.Counts[i])
	}
	s.Sum -= earlier.Sum
}

// Quantile estimates what a fraction q of the durations are below: the upper
// bound of the bucket in which that is reached. It is 0 without durations.
func (s *Snapshot) Quantile(q float64) time.Duration {
	n := s.Count()
	if n == 0 {
		return 0
	}
	rank := max(uint64(q*float64(n)+0.5), 1)
	var sum uint64
	for i, c := range s.Counts {
		if sum += c; sum >= rank {
			return UpperBound(i)
		}
	}
	return UpperBound(Buckets - 1)
}
