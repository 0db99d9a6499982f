package router

import "slices"

// lookahead is how many members of its rank a partition keeps at hand. Most
// partitions settle with their first or second.
const lookahead = 4

// capacities returns for each member the number of partitions that it may
// hold: P * w/W * (1 + slack), rounded to the nearest, at least 1. If the slack is
// so small that all of these together do not suffice, they are rounded up.
func capacities(weights []uint32, params Params) []uint32 {
	var total uint64
	for _, w := range weights {
		total += uint64(w)
	}
	// The products stay below 2^20 * 2^17 * 2^11, the divisor below 2^33 * 2^10.
	divisor := total * 1000
	bounds := make([]uint32, len(weights))
	round := func(up uint64) (sum uint64) {
		for i, w := range weights {
			share := uint64(params.Partitions) * uint64(w) * uint64(1000+params.SlackPermille)
			bounds[i] = uint32(max((share+up)/divisor, 1))
			sum += uint64(bounds[i])
		}
		return sum
	}
	if round(divisor/2) < uint64(params.Partitions) {
		round(divisor - 1)
	}
	return bounds
}

// bid is the claim of a partition on a member.
type bid struct {
	hash      uint64
	partition uint32
}

// weaker reports whether a member prefers b to a: among its own pairs the
// order by cost is the order by hash. Those hashes differ, since mix64 is a
// bijection; the order by partition makes it total for any two bids.
func (a bid) weaker(b bid) bool {
	if a.hash != b.hash {
		return a.hash < b.hash
	}
	return a.partition > b.partition
}

// holding is what one member holds during the matching. Once it is full, it is
// a heap with the weakest bid on top.
type holding []bid

// offer adds b and returns the bid that has to leave for it, which may be b
// itself, and whether there is one. The capacity of the slice is the bound.
func (h *holding) offer(b bid) (bid, bool) {
	s := *h
	if len(s) < cap(s) {
		s = append(s, b)
		*h = s
		if len(s) == cap(s) {
			for i := len(s)/2 - 1; i >= 0; i-- {
				s.sink(i)
			}
		}
		return bid{}, false
	}
	if b.weaker(s[0]) {
		return b, true
	}
	out := s[0]
	s[0] = b
	s.sink(0)
	return out, true
}

// sink restores the heap below i.
func (h holding) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1].weaker(h[child]) {
			child++
		}
		if !h[child].weaker(h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// proposals is how far one partition has gone down its rank.
type proposals struct {
	members [lookahead]uint16
	at, n   uint8
}

// matching is the state of the deferred acceptance.
type matching struct {
	rank   *ranking
	asked  []proposals // by partition
	held   []holding   // by member
	turned []refusal
	best   [lookahead]candidate
}

// match returns the index of the primary of each partition: the one stable
// matching in which no member exceeds its bound; and who was turned down. There
// must be members.
func match(rank *ranking, bounds []uint32, partitions uint32) ([]uint16, []refusal) {
	m := matching{
		rank:  rank,
		asked: make([]proposals, partitions),
		held:  make([]holding, len(bounds)),
	}
	var total int
	for _, b := range bounds {
		total += int(b)
	}
	backing := make([]bid, total)
	for i, b := range bounds {
		m.held[i] = backing[:0:b]
		backing = backing[b:]
	}
	for p := range partitions {
		m.settle(p)
	}
	primary := make([]uint16, partitions)
	for member, bids := range m.held {
		for _, b := range bids {
			primary[b.partition] = uint16(member)
		}
	}
	return primary, slices.Clone(m.turned) // no more memory than it needs: it is kept
}

// settle finds a place for a partition, and for whichever it displaces, until
// nobody is without. It ends because no partition asks a member twice, and
// while one is without a place some member has room.
func (m *matching) settle(partition uint32) {
	for out, again := partition, true; again; {
		member, hash := m.ask(out)
		var left bid
		left, again = m.held[member].offer(bid{hash, out})
		if again {
			m.turned = append(m.turned, refusal{left.partition, uint16(member)})
		}
		out = left.partition
	}
}

// ask returns the member that a partition proposes to next, and their hash.
func (m *matching) ask(partition uint32) (int, uint64) {
	a := &m.asked[partition]
	salt := partitionSalt(partition)
	if a.at == a.n {
		after := -1
		if a.n > 0 {
			after = int(a.members[a.n-1])
		}
		n := m.rank.next(salt, after, m.best[:])
		for i, c := range m.best[:n] {
			a.members[i] = uint16(c.member)
		}
		a.at, a.n = 0, uint8(n)
	}
	member := int(a.members[a.at])
	a.at++
	return member, mix64(m.rank.seeds[member] ^ salt)
}
