package scenario

import (
	"slices"
	"sync"
	"time"
)

// truth is what the simulator knows and no node does: who is in trouble, and since
// when the network is as it should be.
//
// Invariant: active counts the faults that last; calmSince is when it became 0
// for the last time, or the last fault that was over at once.
type truth struct {
	mu        sync.Mutex
	active    int
	calmSince time.Time
	always    bool          // links are bad from the beginning
	hosts     map[int]*host // by index
}

// host is what is known of one node.
type host struct {
	trouble  int       // faults that it is part of
	halted   int       // of these, those in which its process does not run as it should
	lastHalt time.Time // when the last of those began or ended
	lastBad  time.Time // when the last of these ended
	down     bool      // its process does not run, by a fault
	downAt   time.Time
	leaving  bool      // it was told to leave
	seen     bool      // some live node lists it though it is down
	firstOut time.Time // when the first live node had dropped it; zero: none yet
}

func newTruth(start time.Time, always bool) *truth {
	return &truth{calmSince: start, always: always, hosts: map[int]*host{}}
}

func (t *truth) hostLocked(i int) *host {
	h := t.hosts[i]
	if h == nil {
		h = &host{}
		t.hosts[i] = h
	}
	return h
}

// begin notes a fault; lasting says that it goes on until end, halts that the
// processes themselves are hit.
func (t *truth) begin(nodes []int, lasting, halts bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if lasting {
		t.active++
	}
	t.calmSince = now
	for _, i := range nodes {
		h := t.hostLocked(i)
		h.lastBad = now
		if lasting {
			h.trouble++
		}
		if halts {
			h.lastHalt = now
		}
		if halts && lasting {
			h.halted++
		}
	}
}

// end notes the end of a fault that lasted.
func (t *truth) end(nodes []int, halts bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active--
	t.calmSince = now
	for _, i := range nodes {
		h := t.hostLocked(i)
		h.trouble--
		h.lastBad = now
		if halts {
			h.halted--
			h.lastHalt = now
		}
	}
}

// setDown notes that a process ended or started.
func (t *truth) setDown(i int, down, leaving bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hostLocked(i)
	h.down, h.leaving, h.downAt, h.firstOut, h.seen = down, leaving, now, time.Time{}, true
	h.lastBad, h.lastHalt = now, now
}

// calm tells since when nothing is wrong; ok is false while something is.
func (t *truth) calm() (since time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calmSince, t.active == 0
}

// troubled tells whether a node was in trouble within the last while.
func (t *truth) troubled(i int, within time.Duration, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[i]
	switch {
	case t.always:
		return true
	case h == nil:
		return false
	}
	return h.trouble > 0 || h.down || h.leaving || !h.lastBad.IsZero() && now.Sub(h.lastBad) <= within
}

// stopped tells whether a node's process did not run as it should at some time
// within the last while.
func (t *truth) stopped(i int, within time.Duration, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[i]
	return h != nil && (h.halted > 0 || h.down || h.leaving || !h.lastHalt.IsZero() && now.Sub(h.lastHalt) <= within)
}

// undetected is a node that is down, and that some live node may still list.
type undetected struct {
	index int
	since time.Time
}

// undetected gives the nodes that went down without a word and that somebody may
// still list.
func (t *truth) undetected() []undetected {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []undetected
	for i, h := range t.hosts {
		if h.down && !h.leaving && h.seen {
			found = append(found, undetected{i, h.downAt})
		}
	}
	slices.SortFunc(found, func(a, b undetected) int { return a.index - b.index })
	return found
}

// dropped notes that some live node does not list a dead one any more, and whether
// none does. It tells whether that is the first time.
func (t *truth) dropped(i int, byAll bool, now time.Time) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hostLocked(i)
	first = h.firstOut.IsZero()
	if first {
		h.firstOut = now
	}
	if byAll {
		h.seen = false
	}
	return first
}

// hit tells whether a node itself was hit by a fault within the last while, bad
// links aside that are there from the beginning.
func (t *truth) hit(i int, within time.Duration, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[i]
	return h != nil && (h.trouble > 0 || h.down || h.leaving || !h.lastBad.IsZero() && now.Sub(h.lastBad) <= within)
}
