package balance

import "time"

// RoundRobin takes one node after the other.
type RoundRobin struct{}

// Name implements Balancer.
func (RoundRobin) Name() string { return "round-robin" }

// Pick implements Balancer.
func (RoundRobin) Pick(s *Set, turn uint64, _ time.Duration) int {
	return int(turn % uint64(len(s.Nodes)))
}

// Random takes any node, each as often as the others.
type Random struct{}

// Name implements Balancer.
func (Random) Name() string { return "random" }

// Pick implements Balancer.
func (Random) Pick(s *Set, turn uint64, _ time.Duration) int {
	return int(mix(turn) % uint64(len(s.Nodes)))
}

// Weighted takes nodes in proportion to their weights. It is smooth: its
// numbers are multiples of the golden ratio, which fill the range from 0 to 1
// evenly, so that any short run is in proportion as well.
type Weighted struct{}

// Name implements Balancer.
func (Weighted) Name() string { return "weighted" }

// Pick implements Balancer.
func (Weighted) Pick(s *Set, turn uint64, _ time.Duration) int {
	return s.at(float64(turn*golden>>11) / (1 << 53))
}
