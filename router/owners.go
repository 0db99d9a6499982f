package router

import "slices"

// fewOwners is up to how many owners are picked by a scan of the members, or two,
// which allocates nothing; for more, the members are sorted once.
const fewOwners = 8

// Owners appends to dst the names of the first n owners of a partition and
// returns the result. The first is the primary. The others come by the rank
// of the partition: first those whose zone has no owner yet, while there are
// such zones, then the rest. No name comes twice, and the first n of a longer
// list are the list of n. There are fewer than n if the table has fewer
// members, and none if there is no such partition.
//
// Room in dst is used: passing a slice with enough of it, no more than 8
// owners are found without an allocation. The time is that of one or two hashes
// per member, or of one sort of the members when n is more than 8.
func (t *Table) Owners(partition uint32, n int, dst []string) []string {
	primary := t.place().primary
	if n <= 0 || uint64(partition) >= uint64(len(primary)) {
		return dst
	}
	n = min(n, len(t.members))
	var few [fewOwners]int
	chosen := append(few[:0], int(primary[partition]))
	if n <= fewOwners {
		chosen = t.pickFew(partition, chosen, n)
	} else {
		chosen = t.pickMany(partition, chosen, n)
	}
	for _, member := range chosen {
		dst = append(dst, t.members[member].Name)
	}
	return dst
}

// pickFew extends chosen, which holds the primary, to n members: the best of each
// zone that has none yet, in the order of rank, then the best of the others.
func (t *Table) pickFew(partition uint32, chosen []int, n int) []int {
	salt := partitionSalt(partition)
	if zones := min(n, t.zoneCount); len(chosen) < zones {
		chosen = t.pickBest(salt, chosen, zones, true)
	}
	if len(chosen) < n {
		chosen = t.pickBest(salt, chosen, n, false)
	}
	return chosen
}

// pickBest extends chosen to n members, of which there must be so many, in one
// pass: by the best of those who are not in it or, if zones are to be distinct, of
// each zone that is not.
//
// Invariant of the pass: best is in order, and what belongs at its places if there
// were no more members than those seen so far. Who falls off its end never comes
// back, since its places only get better; neither does a zone without a better
// member.
func (t *Table) pickBest(salt uint64, chosen []int, n int, distinct bool) []int {
	var few [fewOwners]candidate
	best, room := few[:0], n-len(chosen)
	var least uint64 // whose hash is less has no place: one comparison for nearly all members
	for member, seed := range t.rank.seeds {
		if mix64(seed^salt) < least || t.excluded(chosen, member, distinct) {
			continue
		}
		c := t.rank.candidate(salt, member)
		if best = t.rankIn(best, room, c, distinct); len(best) == room && t.rank.logs == nil {
			least = best[room-1].hash
		}
	}
	for _, c := range best {
		chosen = append(chosen, c.member)
	}
	return chosen
}

// rankIn puts a candidate into its place among the best, of which there are at most
// room, and returns them. If zones are to be distinct, it comes in for the one of its
// zone, or not at all.
func (t *Table) rankIn(best []candidate, room int, c candidate, distinct bool) []candidate {
	at := -1 // the place that becomes free
	if distinct {
		at = slices.IndexFunc(best, func(o candidate) bool { return t.zones[o.member] == t.zones[c.member] })
	}
	switch {
	case at >= 0:
	case len(best) < room:
		best = append(best, c)
		at = len(best) - 1
	default:
		at = room - 1
	}
	if best[at].before(&c) {
		return best
	}
	for ; at > 0 && c.before(&best[at-1]); at-- {
		best[at] = best[at-1]
	}
	best[at] = c
	return best
}

// excluded reports whether a member is chosen or, if zones are to be distinct,
// whether its zone is.
func (t *Table) excluded(chosen []int, member int, distinct bool) bool {
	for _, c := range chosen {
		if c == member || distinct && t.zones[c] == t.zones[member] {
			return true
		}
	}
	return false
}

// pickMany is pickFew for any n.
func (t *Table) pickMany(partition uint32, chosen []int, n int) []int {
	primary := chosen[0]
	salt := partitionSalt(partition)
	rank := make([]candidate, len(t.members))
	for member := range rank {
		rank[member] = t.rank.candidate(salt, member)
	}
	slices.SortFunc(rank, func(a, b candidate) int {
		if a.before(&b) {
			return -1
		}
		return 1
	})
	zoneUsed := make([]bool, t.zoneCount)
	zoneUsed[t.zones[primary]] = true
	var rest []int
	for _, c := range rank {
		zone := t.zones[c.member]
		switch {
		case c.member == primary:
		case zoneUsed[zone]:
			rest = append(rest, c.member)
		default:
			zoneUsed[zone] = true
			chosen = append(chosen, c.member)
		}
	}
	return append(chosen, rest...)[:n]
}
