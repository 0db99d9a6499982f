package balance

import (
	"math"
	"time"
)

// LeastLoaded takes the less loaded of two random nodes. Two choices are almost
// as good as all, and many callers do not run to the same node at once
// (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).
type LeastLoaded struct{}

// Name implements Balancer.
func (LeastLoaded) Name() string { return "least-loaded" }

// Pick implements Balancer.
func (LeastLoaded) Pick(s *Set, turn uint64, now time.Duration) int {
	draw := mix(turn)
	a, b := two(draw, len(s.Nodes))
	if s.Nodes[b].Load(now) < s.Nodes[a].Load(now) {
		return b
	}
	return a
}

// two gives two different numbers below n, or 0 twice if n is 1.
func two(draw uint64, n int) (a, b int) {
	if n == 1 {
		return 0, 0
	}
	a, b = int(draw>>32)%n, int(uint32(draw))%(n-1)
	if b >= a {
		b++
	}
	return a, b
}

// ZoneFirst takes the less loaded of two nodes in the caller's zone, unless a
// node elsewhere is far less loaded: then the zone has too much to do, and calls
// spill over.
type ZoneFirst struct{}

const (
	// spillFactor is how many times the load elsewhere the local one must be.
	spillFactor = 2
	// spillLeast is how many calls must be under way at a node before others are
	// looked at: two calls at once are no overload.
	spillLeast = 4
)

// Name implements Balancer.
func (ZoneFirst) Name() string { return "zone-first" }

// Pick implements Balancer.
func (ZoneFirst) Pick(s *Set, turn uint64, now time.Duration) int {
	if len(s.local) == 0 || len(s.other) == 0 {
		return LeastLoaded{}.Pick(s, turn, now)
	}
	near := s.less(s.local, mix(turn), now)
	if s.Nodes[near].InFlight() < spillLeast {
		return near
	}
	far := s.less(s.other, mix(turn^golden), now)
	if s.Nodes[near].Load(now) > spillFactor*s.Nodes[far].Load(now) {
		return far
	}
	return near
}

// less gives the less loaded of two random nodes among some.
func (s *Set) less(among []int, draw uint64, now time.Duration) int {
	a, b := two(draw, len(among))
	if s.Nodes[among[b]].Load(now) < s.Nodes[among[a]].Load(now) {
		return among[b]
	}
	return among[a]
}

// Bounded takes the first node that has not more than its share of the calls
// under way: for nodes in an order that counts, such as the owners of a key
// (Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing with Bounded Loads,
// 2018).
type Bounded struct {
	// Factor is how many times its share a node may have; 0: DefaultFactor.
	Factor float64
}

const (
	// DefaultFactor is a bound that keeps nearly all calls where they belong.
	DefaultFactor = 1.25
	// boundLeast is how many calls a node may always have: a few are no load.
	boundLeast = 8
)

// Name implements Balancer.
func (Bounded) Name() string { return "bounded" }

// Pick implements Balancer.
func (b Bounded) Pick(s *Set, _ uint64, _ time.Duration) int {
	if s.Nodes[0].InFlight() < boundLeast {
		return 0
	}
	if b.Factor == 0 {
		b.Factor = DefaultFactor
	}
	of := s
	if s.Of != nil {
		of = s.Of
	}
	fair := float64(of.inFlight()+1) / float64(len(of.Nodes))
	bound := max(int64(math.Ceil(b.Factor*fair)), boundLeast)
	for i, n := range s.Nodes {
		if n.InFlight() < bound {
			return i
		}
	}
	return 0
}
