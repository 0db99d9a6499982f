package admission

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Priority says who is refused first. The numbers are those on the wire.
type Priority uint8

// Priorities. Others count as Default, as they come from outside.
const (
	Default   Priority = 0
	Critical  Priority = 1 // may use all of the limit
	Sheddable Priority = 2 // is refused first
)

const priorities = 3

// Outcome says what the time that a call took is worth.
type Outcome uint8

// Outcomes.
const (
	Done    Outcome = iota // the work was done: its time counts
	Late                   // the caller had given up: a sign of too many calls
	Ignored                // refused or failed without the work: its time says nothing
)

// Defaults of Config.
const (
	DefaultMin       = 4
	DefaultInitial   = 64
	DefaultMax       = 8192
	DefaultTolerance = 2.0
	DefaultWindow    = 20 * time.Millisecond
	DefaultProbe     = 10 * time.Second
)

// Config says how a limit is found. The zero value stands for the defaults.
type Config struct {
	Min, Initial, Max int           // of the limit, in calls at a time
	Tolerance         float64       // how many times its time without load a call may take, at least 1
	Window            time.Duration // the limit changes at most so often
	Probe             time.Duration // how often a full limiter looks what calls take without load
}

// Limiter bounds how many calls of one service run at a time. Make it with New.
//
// Invariant: the calls between Acquire and Release are at most the limit of the
// moment at which the last of them was admitted.
type Limiter struct {
	inflight atomic.Int64
	_        [56]byte // what every call writes, apart from what it only reads

	bounds [priorities]atomic.Int64 // of inflight
	retry  atomic.Int64             // nanoseconds that the refused are told to wait
	due    atomic.Int64             // when somebody is to look at what was seen
	fresh  atomic.Int64             // calls that began earlier tell of an older limit
	peak   atomic.Int64             // of inflight in this window
	late   atomic.Int64             // calls in this window
	sheds  atomic.Int64             // calls refused in this window

	refused [priorities]atomic.Uint64 // since the beginning

	mu sync.Mutex
	control
}

// New gives a limiter at its initial limit.
func New(cfg Config) *Limiter {
	l := &Limiter{control: control{cfg: cfg.withDefaults()}}
	l.limit = float64(l.cfg.Initial)
	l.setBoundsLocked(l.limit)
	l.retry.Store(int64(minRetry))
	return l
}

func (c Config) withDefaults() Config {
	if c.Min <= 0 {
		c.Min = DefaultMin
	}
	if c.Max <= 0 {
		c.Max = DefaultMax
	}
	c.Max = max(c.Max, c.Min)
	if c.Initial <= 0 {
		c.Initial = DefaultInitial
	}
	c.Initial = min(max(c.Initial, c.Min), c.Max)
	if !(c.Tolerance >= 1) || math.IsInf(c.Tolerance, 0) {
		c.Tolerance = DefaultTolerance
	}
	if c.Window <= 0 {
		c.Window = DefaultWindow
	}
	if c.Probe <= 0 {
		c.Probe = DefaultProbe
	}
	return c
}

// Class is calls that take about equally long when there is no load, as those of
// one method do. Its methods are those of its limiter. Classes are never
// dropped, so names from outside must not make any.
type Class struct {
	limiter *Limiter
	seen    atomic.Uint64 // calls of this window above countShift, the sum of their logTime below
	base    float64       // logTime without load; under the limiter's mu
	known   bool          // base is set
}

// countShift leaves 2^40 for the sum and 2^24 for the count: a window that long
// has more than a million calls in each of its milliseconds.
const countShift = 40

// Class gives a new class.
func (l *Limiter) Class() *Class {
	c := &Class{limiter: l}
	l.mu.Lock()
	l.classes = append(l.classes, c)
	l.mu.Unlock()
	return c
}

// Acquire admits a call, which then must be released, or says how long its
// caller should wait before it comes again.
func (c *Class) Acquire(p Priority) (ok bool, retryAfter time.Duration) {
	l := c.limiter
	if p >= priorities {
		p = Default
	}
	n := l.inflight.Add(1)
	if n > l.bounds[p].Load() {
		l.inflight.Add(-1)
		return false, l.refuse(p)
	}
	for seen := l.peak.Load(); n > seen && !l.peak.CompareAndSwap(seen, n); seen = l.peak.Load() {
	}
	return true, 0
}

// refuse counts, and tells those who can wait to wait longer.
func (l *Limiter) refuse(p Priority) time.Duration {
	l.refused[p].Add(1)
	l.sheds.Add(1)
	wait := time.Duration(l.retry.Load())
	if p == Sheddable {
		return 2 * wait
	}
	return wait
}

// Release ends a call that Acquire admitted. now is the time since any fixed
// moment; it does not go back by more than goroutines overtake each other. took
// is the time since Acquire.
func (c *Class) Release(now, took time.Duration, outcome Outcome) {
	l := c.limiter
	l.inflight.Add(-1)
	if outcome != Ignored && int64(now-took) >= l.fresh.Load() {
		c.seen.Add(1<<countShift | logTime(took))
		if outcome == Late {
			l.late.Add(1)
		}
	}
	if int64(now) >= l.due.Load() && l.mu.TryLock() {
		l.lookLocked(now)
		l.mu.Unlock()
	}
}

// Limit is how many critical calls may run at a time. While the limiter probes,
// others may use a part of it only.
func (l *Limiter) Limit() int { return int(l.bounds[Critical].Load()) }

// InFlight is how many calls run now.
func (l *Limiter) InFlight() int { return int(max(l.inflight.Load(), 0)) }

// Refused is how many calls of a priority were refused so far.
func (l *Limiter) Refused(p Priority) uint64 {
	if p >= priorities {
		p = Default
	}
	return l.refused[p].Load()
}

// octave is the unit of logTime: so many parts for twice the time.
const octave = 256

// logTime is the binary logarithm of a time in nanoseconds, straight between
// powers of two: it is at most 9 % of a doubling off, and costs 1 ns.
func logTime(d time.Duration) uint64 {
	ns := uint64(max(d, 1))
	whole := bits.Len64(ns) - 1
	return uint64(whole)*octave + (ns<<(63-whole))<<1>>56
}

// timeOf is the inverse of logTime, about.
func timeOf(log float64) time.Duration { return time.Duration(math.Exp2(log / octave)) }
