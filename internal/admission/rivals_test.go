package admission

import (
	"math"
	"time"
)

// The algorithms that were weighed, as their sources describe them, without
// priorities. Their numbers are the sources' defaults.

type none struct{}

func (*none) acquire(time.Duration, int, Priority) bool       { return true }
func (*none) release(time.Duration, time.Duration, int, bool) {}
func (*none) limit() int                                      { return 0 }

// aimd grows by one with each round of calls, and shrinks when one was late.
type aimd struct {
	bound float64
	n     int
}

func (a *aimd) acquire(time.Duration, int, Priority) bool {
	if a.n >= int(a.bound) {
		return false
	}
	a.n++
	return true
}

func (a *aimd) release(_, _ time.Duration, _ int, late bool) {
	if late {
		a.bound = max(4, a.bound*0.9)
	} else if float64(a.n)*2 >= a.bound {
		a.bound += 1 / a.bound
	}
	a.n--
}

func (a *aimd) limit() int { return int(a.bound) }

// gradient2 compares what a call took with a long average of what calls took.
type gradient2 struct {
	bound, long float64
	n, samples  int
}

func (g *gradient2) acquire(time.Duration, int, Priority) bool {
	if g.n >= int(g.bound) {
		return false
	}
	g.n++
	return true
}

func (g *gradient2) release(_, took time.Duration, _ int, _ bool) {
	n, short := g.n, float64(took)
	g.n--
	if g.samples < 10 {
		g.samples++
		g.long += (short - g.long) / float64(g.samples)
	} else {
		g.long += (short - g.long) * 2 / 601
	}
	if g.long/short > 2 {
		g.long *= 0.95
	}
	if float64(n) < g.bound/2 {
		return
	}
	next := g.bound*max(0.5, min(1, 1.5*g.long/short)) + 4
	g.bound = math.Min(200, max(20, g.bound*0.8+next*0.2))
}

func (g *gradient2) limit() int { return int(g.bound) }
