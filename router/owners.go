package router

import "slices"

// fewOwners is up to how many owners are picked by repeated scans of the
// members, which allocates nothing; for more, the members are sorted once.
const fewOwners = 8

// Owners appends to dst the names of the first n owners of a partition and
// returns the result. The first is the primary. The others come by the rank
// of the partition: first those whose zone has no owner yet, while there are
// such zones, then the rest. No name comes twice, and the first n of a longer
// list are the list of n. There are fewer than n if the table has fewer
// members, and none if there is no such partition.
//
// Room in dst is used: passing a slice with enough of it, no more than 8
// owners are found without an allocation. The time is that of n hashes per
// member, or of one sort of the members when n is more than 8.
func (t *Table) Owners(partition uint32, n int, dst []string) []string {
	if n <= 0 || uint64(partition) >= uint64(len(t.primary)) {
		return dst
	}
	n = min(n, len(t.members))
	var few [fewOwners]int
	chosen := append(few[:0], int(t.primary[partition]))
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

// pickFew extends chosen, which holds the primary, to n members.
func (t *Table) pickFew(partition uint32, chosen []int, n int) []int {
	salt := partitionSalt(partition)
	for len(chosen) < n {
		// So far, each has a zone of its own if zones are left for more.
		newZone := len(chosen) < t.zoneCount
		var best candidate
		found := false
		for member, seed := range t.rank.seeds {
			if found && t.rank.hopeless(mix64(seed^salt), &best) || t.excluded(chosen, member, newZone) {
				continue
			}
			if c := t.rank.candidate(salt, member); !found || c.before(&best) {
				best, found = c, true
			}
		}
		chosen = append(chosen, best.member)
	}
	return chosen
}

// excluded reports whether a member is chosen or, if a new zone is asked for,
// whether its zone is.
func (t *Table) excluded(chosen []int, member int, newZone bool) bool {
	for _, c := range chosen {
		if c == member || newZone && t.zones[c] == t.zones[member] {
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
