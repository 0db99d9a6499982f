package admission

import (
	"math"
	"time"
)

// Numbers that no configuration needs, found with the simulation in sim_test.go.
const (
	enough    = 16         // calls that make a window worth looking at
	few       = 4          // calls of a class that tell something of it
	plenty    = 32         // calls that end a probe
	clearly   = octave / 2 // further below its base, a mean of enough calls is no chance
	lightest  = 4          // a window is light if it used at most this part of the limit; probes leave as much
	smoothing = 0.5        // how far the limit goes to where it should be, in a window
	learning  = 0.3        // how far a base goes to what was seen, in a window
	lateShare = 0.1        // of the calls, beyond which the limit is too high whatever they take
	lateCut   = 0.9        // what is left of the limit then

	stale     = time.Second // a window of few calls is looked at after this time
	holdOff   = time.Second // calls were late: the limit does not grow for so long
	minRetry  = 5 * time.Millisecond
	maxRetry  = time.Second
	minProbe  = 100 * time.Millisecond // a probe may take this, or a few times what calls take
	maxProbe  = 2 * time.Second
	probeRest = 40 // times the longest a probe may take lie between two
)

type stage uint8

const (
	steady    stage = iota
	draining        // a probe waits until few calls run
	measuring       // and then looks at those that begin now
)

// control is what finds the limit; all of it is guarded by the limiter's mu.
//
// Invariant: cfg.Min <= limit <= cfg.Max. Only a light window or a probe can
// raise the base of a class.
type control struct {
	cfg     Config
	classes []*Class
	limit   float64

	begun   time.Duration // of the window
	still   time.Duration // no growth before
	typical time.Duration // what calls took in the last window

	stage    stage
	trusted  bool          // bases come from light windows or probes
	probed   time.Duration // when the last probe began
	patience time.Duration // of this probe
	probes   int
}

// lookLocked does what is due.
func (l *Limiter) lookLocked(now time.Duration) {
	switch l.stage {
	case draining:
		if l.inflight.Load() <= int64(l.probeBoundLocked()) {
			l.stage = measuring
			l.restartLocked(now)
		} else if now-l.probed > l.patience {
			l.endProbeLocked(now)
		}
	case measuring:
		expired := now-l.probed > l.patience
		if n := l.countLocked(); n >= plenty || expired {
			l.learnLocked(n >= enough)
			l.endProbeLocked(now)
		}
	case steady:
		if n := l.countLocked(); n >= enough || n > 0 && now-l.begun >= stale {
			l.windowLocked(now, n)
		} else {
			l.due.Store(int64(now + l.cfg.Window/4))
		}
	}
}

// windowLocked moves the limit by what the window of n calls showed.
func (l *Limiter) windowLocked(now time.Duration, n int) {
	peak := float64(l.peak.Swap(l.inflight.Load()))
	late := float64(l.late.Swap(0)) / float64(n)
	sheds := l.sheds.Swap(0)
	light := peak*lightest <= l.limit
	ratio, typical := l.takeLocked(light)
	l.typical = typical
	l.retry.Store(int64(min(max(typical+typical*time.Duration(sheds)/time.Duration(n), minRetry), maxRetry)))

	before := l.limit
	if peak*2 >= l.limit {
		weight := smoothing * min(1, float64(n)/(2*enough))
		target := l.limit*min(1, max(0.5, l.cfg.Tolerance/ratio)) + math.Sqrt(l.limit)
		if late > lateShare {
			target, weight = l.limit*lateCut, 1
			l.still = now + holdOff
		}
		if target < l.limit || now >= l.still {
			l.limit += weight * (target - l.limit)
		}
		l.limit = min(max(l.limit, float64(l.cfg.Min)), float64(l.cfg.Max))
	}
	l.setBoundsLocked(l.limit)
	l.begun = now
	l.due.Store(int64(now + l.cfg.Window))
	if l.limit < before*0.98 {
		l.restartLocked(now) // those who began before waited in a longer queue
		l.due.Store(int64(now + l.cfg.Window))
	}
	if sheds > 0 && l.probeDueLocked(now) {
		l.beginProbeLocked(now)
	}
}

// takeLocked empties the window: how many times as long as without load calls
// took, and how long that was, both as geometric means. A class is compared with
// itself, so that a change of the mix changes nothing.
func (l *Limiter) takeLocked(light bool) (ratio float64, typical time.Duration) {
	var excess, sum, known, all float64
	for _, c := range l.classes {
		n, mean := split(c.seen.Swap(0))
		if n == 0 {
			continue
		}
		sum, all = sum+mean*n, all+n
		switch {
		case !c.known && n >= few:
			c.base, c.known = mean, true
			l.trusted = l.trusted && light
		case c.known:
			excess, known = excess+(mean-c.base)*n, known+n
			if n >= few && light || n >= enough && mean < c.base-clearly {
				c.base += learning * (mean - c.base)
			}
		}
	}
	l.trusted = l.trusted || light
	if all > 0 {
		typical = timeOf(sum / all)
	}
	if known == 0 {
		return 1, typical
	}
	return math.Exp2(excess / known / octave), typical
}

// countLocked is how many calls the window has.
func (l *Limiter) countLocked() int {
	var sum uint64
	for _, c := range l.classes {
		sum += c.seen.Load() >> countShift
	}
	return int(sum)
}

// restartLocked begins a window with calls that are not admitted yet.
func (l *Limiter) restartLocked(now time.Duration) {
	l.fresh.Store(int64(now))
	for _, c := range l.classes {
		c.seen.Store(0)
	}
	l.late.Store(0)
	l.peak.Store(l.inflight.Load())
	l.begun = now
	l.due.Store(0)
}

func split(seen uint64) (n, mean float64) {
	n = float64(seen >> countShift)
	return n, float64(seen&(1<<countShift-1)) / max(n, 1)
}

// setBoundsLocked gives a fifth of the limit to critical calls alone, and another
// fifth to all but sheddable ones. Of a small limit it is a third: a fifth would
// be one call, and two critical ones often come at a time.
func (l *Limiter) setBoundsLocked(limit float64) {
	n := int64(limit)
	part := max(n/5, min(3, n/3), 1)
	l.bounds[Critical].Store(n)
	l.bounds[Default].Store(max(n-part, 1))
	l.bounds[Sheddable].Store(max(n-2*part, 1))
}
