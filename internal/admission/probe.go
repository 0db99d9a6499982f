package admission

import "time"

// A service that is always full never shows what its calls take without load, and
// a limiter that takes a queue for normal lets it grow. So a limiter that refuses
// calls, and only such a one, now and then admits few for some ten milliseconds.

// probeDueLocked says whether it is time. Bases that were never seen without load
// do not wait.
func (l *Limiter) probeDueLocked(now time.Duration) bool {
	rest := max(l.cfg.Probe, probeRest*l.patienceLocked())
	if !l.trusted {
		rest = min(rest, stale)
	}
	return l.probes == 0 && !l.trusted || now-l.probed >= rest
}

func (l *Limiter) patienceLocked() time.Duration {
	return min(max(4*l.typical, minProbe), maxProbe)
}

func (l *Limiter) probeBoundLocked() int { return max(int(l.limit)/lightest, 1) }

// beginProbeLocked keeps all but critical calls to a part of the limit.
func (l *Limiter) beginProbeLocked(now time.Duration) {
	l.stage, l.probed, l.patience = draining, now, l.patienceLocked()
	l.probes++
	bound := int64(l.probeBoundLocked())
	l.bounds[Default].Store(bound)
	l.bounds[Sheddable].Store(bound)
	l.due.Store(0)
}

// learnLocked moves the bases to what the probe saw. One that goes down a lot was
// measured in a queue, and this one may still be: the next probe is soon.
func (l *Limiter) learnLocked(whole bool) {
	far := false
	for _, c := range l.classes {
		n, mean := split(c.seen.Swap(0))
		if n < few {
			continue
		}
		below := c.known && mean < c.base-clearly
		far = far || below
		if !c.known || below {
			c.base, c.known = mean, true
		} else {
			c.base += learning * (mean - c.base)
		}
	}
	l.trusted = whole && !far
}

// endProbeLocked gives the limit back.
func (l *Limiter) endProbeLocked(now time.Duration) {
	l.stage = steady
	l.setBoundsLocked(l.limit)
	l.restartLocked(now)
	l.sheds.Store(0)
	l.due.Store(int64(now + l.cfg.Window))
}
