package balance

import "sort"

// Set is nodes that may be picked. It is immutable, but for what its nodes
// know.
type Set struct {
	Nodes []*Node
	// Of is the set that this is a part of, by whose load Bounded judges; nil:
	// itself.
	Of *Set

	sums  []float64 // of the weights up to each node
	local []int     // indices of the nodes in the caller's zone
	other []int     // of the rest
}

// NewSet makes a set of nodes, for a caller in a zone. The slice is the set's
// from here on.
func NewSet(nodes []*Node, zone string) *Set {
	s := &Set{Nodes: nodes, sums: make([]float64, len(nodes))}
	var sum float64
	for i, n := range nodes {
		sum += n.Weight
		s.sums[i] = sum
		if n.Zone == zone {
			s.local = append(s.local, i)
		} else {
			s.other = append(s.other, i)
		}
	}
	return s
}

// Without gives the set without the nodes of some indices.
func (s *Set) Without(zone string, out func(i int) bool) *Set {
	var rest []*Node
	for i, n := range s.Nodes {
		if !out(i) {
			rest = append(rest, n)
		}
	}
	return NewSet(rest, zone)
}

// inFlight is how many calls are under way to all nodes of the set.
func (s *Set) inFlight() (sum int64) {
	for _, n := range s.Nodes {
		sum += n.InFlight()
	}
	return sum
}

// at gives the index of the node in which a fraction of all weights falls.
func (s *Set) at(fraction float64) int {
	want := fraction * s.sums[len(s.sums)-1]
	i := sort.Search(len(s.sums), func(i int) bool { return s.sums[i] > want })
	return min(i, len(s.sums)-1)
}
