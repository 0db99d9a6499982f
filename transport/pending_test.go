package transport

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func newPending() *pending { return &pending{start: time.Now(), sweepf: func() {}, odd: 1} }

// put adds a call that is due then, in nanoseconds since the table's start.
func (t *pending) put(due int64) *Reply {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &Reply{due: due, done: make(chan struct{}, 1)}
	t.addLocked(r, 0)
	return r
}

// ring is the property test's state: the table, and what must be in it.
type ring struct {
	table *pending
	model map[uint64]*Reply
	last  uint64
}

func (g *ring) add(t *rapid.T) {
	due := int64(0)
	if rapid.Bool().Draw(t, "has a deadline") {
		due = rapid.SampledFrom([]int64{1, math.MaxInt64}).Draw(t, "due") // long past, or never
	}
	r := g.table.put(due)
	if r.id <= g.last {
		t.Fatalf("id %d follows %d", r.id, g.last)
	}
	g.last = r.id
	g.model[r.id] = r
}

func (g *ring) addMany(t *rapid.T) {
	for range rapid.IntRange(1, 100).Draw(t, "n") {
		g.add(t)
	}
}

// take takes an id that may be waiting, be used up, or be unknown.
func (g *ring) take(t *rapid.T) {
	id := rapid.Uint64Range(0, g.last+3).Draw(t, "id")
	r, known := g.table.take(id)
	if r != g.model[id] || known != (id <= g.last && id%2 == 1) {
		t.Fatalf("take(%d) gives %v, %v; %v is there, the last id is %d", id, r, known, g.model[id], g.last)
	}
	delete(g.model, id)
}

// takeMost leaves old calls behind, whose slots new ones must pass over.
func (g *ring) takeMost(t *rapid.T) {
	keep := rapid.Uint64Range(2, 9).Draw(t, "keep each")
	for id := range g.model {
		if id%keep != 0 {
			g.takeKnown(t, id)
		}
	}
}

func (g *ring) takeKnown(t *rapid.T, id uint64) {
	if r, known := g.table.take(id); r != g.model[id] || !known {
		t.Fatalf("take(%d) gives %v, %v", id, r, known)
	}
	delete(g.model, id)
}

// above takes what a goaway takes.
func (g *ring) above(t *rapid.T) {
	last := rapid.Uint64Range(0, g.last).Draw(t, "last")
	g.check(t, g.table.takeIf(func(r *Reply) bool { return r.id > last }),
		func(r *Reply) bool { return r.id > last })
}

func (g *ring) expire(t *rapid.T) {
	late, _ := g.table.expired()
	g.check(t, late, func(r *Reply) bool { return r.due == 1 })
}

// check compares what was taken with what should have been.
func (g *ring) check(t *rapid.T, taken []*Reply, want func(*Reply) bool) {
	for _, r := range taken {
		if g.model[r.id] != r || !want(r) {
			t.Fatalf("call %d should not have been taken", r.id)
		}
		delete(g.model, r.id)
	}
	for id, r := range g.model {
		if want(r) {
			t.Fatalf("call %d should have been taken", id)
		}
	}
}

func (g *ring) invariants(t *rapid.T) {
	if g.table.count() != len(g.model) {
		t.Fatalf("%d calls are counted, %d wait", g.table.count(), len(g.model))
	}
	size := len(g.table.slots)
	if size&(size-1) != 0 || size > max(minSlots, 1<<20) || 2*len(g.model) > size+1 {
		t.Fatalf("%d slots for %d calls", size, len(g.model))
	}
	held := 0
	for i, r := range g.table.slots {
		if r != nil && (g.model[r.id] != r || int(sequence(r.id))&(size-1) != i) {
			t.Fatalf("call %d is in slot %d of %d", r.id, i, size)
		}
		if r != nil {
			held++
		}
	}
	if held != len(g.model) {
		t.Fatalf("%d slots are held by %d calls", held, len(g.model))
	}
}

// The ring behaves as a map would, whatever comes and goes in whatever order.
func TestPendingIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &ring{newPending(), map[uint64]*Reply{}, 0}
		t.Repeat(map[string]func(*rapid.T){
			"add": g.add, "addMany": g.addMany, "take": g.take, "takeMost": g.takeMost,
			"above": g.above, "expire": g.expire, "": g.invariants,
		})
		g.check(t, g.table.closeAll(), func(*Reply) bool { return true })
	})
}

// One call that stays while many come and go holds its slot only, and the ring
// stays as small as what waits.
func TestOldCallIsPassedOver(t *testing.T) {
	table := newPending()
	old := table.put(0)
	for range 10_000 {
		r := table.put(0)
		if got, _ := table.take(r.id); got != r {
			t.Fatalf("call %d is not found", r.id)
		}
	}
	same(t, "slots", len(table.slots), minSlots)
	if r, known := table.take(old.id); r != old || !known {
		t.Errorf("the old call is lost: %v, %v", r, known)
	}
}

// Sweeps come when the next deadline is there, not before and not much later,
// also when a later call is due earlier. Time is virtual.
func TestSweepTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		swept := make(chan string, 100)
		table := newPending()
		table.sweepf = func() {
			late, _ := table.expired()
			for _, r := range late {
				swept <- fmt.Sprintf("%v at %v", time.Duration(r.due), time.Since(start))
			}
		}
		at := func(d time.Duration) int64 { return int64(d) }
		table.put(at(3 * time.Second))
		table.put(at(time.Second))
		table.put(0)
		table.put(at(2 * time.Second))
		gone := table.put(at(time.Second / 2))
		table.take(gone.id)
		time.Sleep(1500 * time.Millisecond)
		table.put(at(1600 * time.Millisecond))
		for _, want := range []string{"1s at 1s", "1.6s at 1.6s", "2s at 2s", "3s at 3s"} {
			same(t, "sweep", <-swept, want)
		}
		time.Sleep(time.Hour)
		same(t, "sweeps besides", len(swept), 0)
		same(t, "without a deadline", table.count(), 1)
		table.put(at(2 * time.Hour))
		same(t, "taken at the end", len(table.closeAll()), 2)
		table.mu.Lock()
		table.armLocked(at(0)) // a sweep that was under way
		table.mu.Unlock()
		synctest.Wait()
	})
}
