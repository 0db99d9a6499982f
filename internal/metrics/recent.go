package metrics

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// recentSpan is about how far back Recent looks: one to two times as far.
	recentSpan = 10 * time.Second
	// recentAge is how old an answer of Recent may be.
	recentAge = 100 * time.Millisecond
	// recentLeast is how many durations make an answer.
	recentLeast = 100
)

// Recent is one quantile of what a histogram has taken in of late. An answer
// is kept for a tenth of a second, so that asking costs two atomic loads.
type Recent struct {
	q    float64
	of   *Histogram
	last atomic.Int64 // the answer
	next atomic.Int64 // when to look again

	mu      sync.Mutex
	turned  time.Duration
	earlier [2]*Snapshot // begun recentSpan ago, and before that
}

// NewRecent watches a histogram.
func NewRecent(of *Histogram, q float64) *Recent { return &Recent{q: q, of: of} }

// Value gives the quantile; 0 as long as there are too few durations. now is the
// time since any fixed moment.
func (r *Recent) Value(now time.Duration) time.Duration {
	if int64(now) >= r.next.Load() && r.mu.TryLock() {
		r.look(now)
		r.mu.Unlock()
	}
	return time.Duration(r.last.Load())
}

// look answers anew. The caller holds mu.
func (r *Recent) look(now time.Duration) {
	r.next.Store(int64(now + recentAge))
	s := new(Snapshot)
	r.of.Snapshot(s)
	if now-r.turned >= recentSpan {
		r.earlier[1], r.earlier[0] = r.earlier[0], &Snapshot{Counts: s.Counts, Sum: s.Sum}
		r.turned = now
	}
	if r.earlier[1] != nil {
		s.Since(r.earlier[1])
	}
	if s.Count() >= recentLeast {
		r.last.Store(int64(s.Quantile(r.q)))
	}
}
