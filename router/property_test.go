package router

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// fataler is what the checks need of a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkTable checks all that must hold for the table of any members.
func checkTable(t fataler, table *Table) {
	t.Helper()
	var sum int
	held := make(map[string]int)
	for _, m := range table.Members() {
		owned := table.Owned(m.Name)
		for _, p := range owned {
			if got := table.Owner(p); got != m.Name {
				t.Fatalf("partition %d is owned by %q, and is in the list of %q", p, got, m.Name)
			}
		}
		if bound := table.Capacity(m.Name); len(owned) > bound {
			t.Fatalf("%q holds %d partitions, its bound is %d", m.Name, len(owned), bound)
		}
		held[m.Name] = len(owned)
		sum += len(owned)
	}
	if want := int(table.Params().Partitions); table.Len() > 0 && sum != want {
		t.Fatalf("%d partitions have an owner, want %d", sum, want)
	}
	for _, s := range table.Shares() {
		if s.Partitions != held[s.Name] || s.Capacity != table.Capacity(s.Name) {
			t.Fatalf("share of %q is %+v, it holds %d", s.Name, s, held[s.Name])
		}
	}
	checkStable(t, table)
	for _, p := range []uint32{0, 1, table.Params().Partitions - 1} {
		checkOwners(t, table, p)
	}
}

// checkStable checks that no partition and member would both rather have each
// other than what they have.
func checkStable(t fataler, table *Table) {
	t.Helper()
	weakest := make([]bid, table.Len())
	for i := range weakest {
		weakest[i] = bid{hash: ^uint64(0)}
	}
	for p, m := range table.place().primary {
		c := table.rank.candidate(partitionSalt(uint32(p)), int(m))
		if b := (bid{c.hash, uint32(p)}); b.weaker(weakest[m]) {
			weakest[m] = b
		}
	}
	for p, m := range table.place().primary {
		salt := partitionSalt(uint32(p))
		own := table.rank.candidate(salt, int(m))
		for other := range table.members {
			c := table.rank.candidate(salt, other)
			if !c.before(&own) {
				continue
			}
			if table.place().counts[other] < table.bounds[other] {
				t.Fatalf("partition %d is with member %d, but prefers %d, which has room", p, m, other)
			}
			if b := (bid{c.hash, uint32(p)}); !b.weaker(weakest[other]) {
				t.Fatalf("partition %d and member %d prefer each other to what they have", p, other)
			}
		}
	}
}

// checkOwners checks the list of all owners of a partition, and its prefixes.
func checkOwners(t fataler, table *Table, p uint32) {
	t.Helper()
	all := table.Owners(p, table.Len()+1, nil)
	if len(all) != table.Len() {
		t.Fatalf("partition %d has %d owners of %d members", p, len(all), table.Len())
	}
	if len(all) > 0 && all[0] != table.Owner(p) {
		t.Fatalf("the owners of partition %d are %q, the primary is %q", p, all, table.Owner(p))
	}
	for n := range all {
		if got := table.Owners(p, n, nil); !slices.Equal(got, all[:n]) {
			t.Fatalf("first %d owners of partition %d are %q, of all: %q", n, p, got, all)
		}
	}
	names, zones := make(map[string]bool), make(map[string]bool)
	for i, name := range all {
		m, ok := table.Member(name)
		if !ok || names[name] {
			t.Fatalf("owner %q of partition %d is unknown or comes twice: %q", name, p, all)
		}
		names[name], zones[m.Zone] = true, true
		if want := min(i+1, table.zoneCount); len(zones) != want {
			t.Fatalf("the first %d owners of partition %d span %d zones, want %d", i+1, p, len(zones), want)
		}
	}
}

func TestTableEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, params := drawMembers(t, 14), drawParams(t, 6)
		table := mustNew(t, members, params)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
		want := newModel(members, params, rng)
		for _, m := range members {
			if got, want := table.Capacity(m.Name), want.capacities()[m.Name]; got != want {
				t.Fatalf("capacity of %q is %d, the model has %d", m.Name, got, want)
			}
		}
		for p := range table.Params().Partitions {
			if len(members) == 0 {
				break
			}
			for _, n := range []int{1, 3, fewOwners, fewOwners + 1, len(members)} {
				owners := want.owners(p)
				owners = owners[:min(n, len(owners))]
				if got := table.Owners(p, n, nil); !slices.Equal(got, owners) {
					t.Fatalf("first %d owners of partition %d are %q, the model has %q", n, p, got, owners)
				}
			}
		}
		checkTable(t, table)
	})
}

func TestOrderOfMembersNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, params := drawMembers(t, 40), drawParams(t, 9)
		table := mustNew(t, members, params)
		checkTable(t, table)
		again := mustNew(t, rapid.Permutation(members).Draw(t, "members"), params)
		if !slices.Equal(table.place().primary, again.place().primary) || !slices.Equal(table.members, again.members) {
			t.Fatalf("the order of members changed the table")
		}
		if table.Fingerprint() != again.Fingerprint() {
			t.Fatalf("the order of members changed the fingerprint")
		}
		if same := mustNew(t, table.Members(), table.Params()); same.Fingerprint() != table.Fingerprint() {
			t.Fatalf("a table of the members of a table has another fingerprint")
		}
	})
}

// TestMatchingWithEqualHashes makes hashes collide, to reach the order by name,
// and compares with all pairs taken greedily by cost: what the one stable
// matching is when both sides look at the same cost.
func TestMatchingWithEqualHashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "members")
		params := drawParams(t, 6).WithDefaults()
		rank := ranking{weights: make([]uint32, n), seeds: make([]uint64, n)}
		for i := range n {
			rank.seeds[i] = rapid.Uint64Range(0, 2).Draw(t, "seed")
			rank.weights[i] = rapid.SampledFrom([]uint32{500, 1000}).Draw(t, "weight")
		}
		rank.logs = newLogTable()
		bounds := capacities(rank.weights, params)
		got, _ := match(&rank, bounds, params.Partitions)

		var pairs []greedyPair
		for p := range params.Partitions {
			for i := range n {
				pairs = append(pairs, greedyPair{rank.candidate(partitionSalt(p), i), p})
			}
		}
		want := greedy(pairs, bounds, params.Partitions)
		if !slices.Equal(got, want) {
			t.Fatalf("primaries are %v, greedily %v", got, want)
		}
	})
}

type greedyPair struct {
	candidate
	partition uint32
}

func greedy(pairs []greedyPair, bounds []uint32, partitions uint32) []uint16 {
	slices.SortStableFunc(pairs, func(a, b greedyPair) int {
		switch {
		case a.before(&b.candidate):
			return -1
		case b.before(&a.candidate):
			return 1
		}
		return int(a.partition) - int(b.partition)
	})
	primary, placed := make([]uint16, partitions), make([]bool, partitions)
	held := make([]uint32, len(bounds))
	for _, p := range pairs {
		if !placed[p.partition] && held[p.member] < bounds[p.member] {
			placed[p.partition], primary[p.partition] = true, uint16(p.member)
			held[p.member]++
		}
	}
	return primary
}
