package router

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// model computes a table in the plainest way: exact rational costs, a full
// sort for each partition, and proposals in random order.
type model struct {
	params  Params
	members []Member
	pairs   [][]pair // by partition, in rank order
	primary []pair
}

// pair is a member and a partition with all that decides their order.
type pair struct {
	cost      *big.Rat
	hash      uint64
	name      string
	zone      string
	partition uint32
}

func newModel(members []Member, params Params, rng *rand.Rand) *model {
	m := &model{params: params.WithDefaults(), members: members}
	if len(members) == 0 {
		return m
	}
	logs := newLogTable()
	for p := range m.params.Partitions {
		var row []pair
		for _, member := range members {
			hash := mix64(memberSeed(member.Name) ^ partitionSalt(p))
			cost := new(big.Rat).SetInt(new(big.Int).SetUint64(logs.negLog2(hash)))
			row = append(row, pair{cost.Quo(cost, modelWeight(member)), hash, member.Name, member.Zone, p})
		}
		slices.SortFunc(row, func(a, b pair) int {
			return cmp.Or(a.cost.Cmp(b.cost), cmp.Compare(b.hash, a.hash), strings.Compare(a.name, b.name))
		})
		m.pairs = append(m.pairs, row)
	}
	m.propose(rng)
	return m
}

func modelWeight(m Member) *big.Rat {
	if m.Weight == 0 {
		return big.NewRat(1, 1)
	}
	return big.NewRat(int64(math.Round(m.Weight*1000)), 1000)
}

// capacities are P * w/W * (1 + slack), rounded to the nearest and at least 1;
// if that is not enough for all partitions, rounded up.
func (m *model) capacities() map[string]int {
	total := new(big.Rat)
	for _, other := range m.members {
		total.Add(total, modelWeight(other))
	}
	rounded := func(add *big.Rat) (bounds map[string]int, sum int) {
		bounds = make(map[string]int)
		for _, member := range m.members {
			bound := new(big.Rat).Quo(modelWeight(member), total)
			bound.Mul(bound, big.NewRat(int64(m.params.Partitions), 1))
			bound.Mul(bound, big.NewRat(int64(1000+m.params.SlackPermille), 1000))
			bound.Add(bound, add)
			n := new(big.Int).Div(bound.Num(), bound.Denom())
			bounds[member.Name] = max(int(n.Int64()), 1)
			sum += bounds[member.Name]
		}
		return bounds, sum
	}
	if bounds, sum := rounded(big.NewRat(1, 2)); sum >= int(m.params.Partitions) {
		return bounds
	}
	almostOne := new(big.Rat).Sub(big.NewRat(1, 1), new(big.Rat).SetFrac64(1, 1<<60))
	bounds, _ := rounded(almostOne)
	return bounds
}

// propose is the textbook algorithm of Gale and Shapley.
func (m *model) propose(rng *rand.Rand) {
	capacity := m.capacities()
	held := make(map[string][]pair)
	asked := make([]int, m.params.Partitions)
	var free []uint32
	for p := range m.params.Partitions {
		free = append(free, p)
	}
	for len(free) > 0 {
		i := rng.IntN(len(free))
		p := free[i]
		free = slices.Delete(free, i, i+1)
		try := m.pairs[p][asked[p]]
		asked[p]++
		mine := append(held[try.name], try)
		slices.SortFunc(mine, func(a, b pair) int {
			return cmp.Or(a.cost.Cmp(b.cost), cmp.Compare(b.hash, a.hash), cmp.Compare(a.partition, b.partition))
		})
		if len(mine) > capacity[try.name] {
			free = append(free, mine[len(mine)-1].partition)
			mine = mine[:len(mine)-1]
		}
		held[try.name] = mine
	}
	m.primary = make([]pair, m.params.Partitions)
	for _, mine := range held {
		for _, pr := range mine {
			m.primary[pr.partition] = pr
		}
	}
}

// owners lists all owners of a partition.
func (m *model) owners(partition uint32) []string {
	first := m.primary[partition]
	owners := []string{first.name}
	zones := map[string]bool{first.zone: true}
	var rest []string
	for _, pr := range m.pairs[partition] {
		switch {
		case pr.name == first.name:
		case zones[pr.zone]:
			rest = append(rest, pr.name)
		default:
			zones[pr.zone] = true
			owners = append(owners, pr.name)
		}
	}
	return append(owners, rest...)
}

// mustNew is New for members that are valid.
func mustNew(t interface{ Fatalf(string, ...any) }, members []Member, params Params) *Table {
	table, err := New(members, params)
	if err != nil {
		t.Fatalf("New(%v, %+v): %v", members, params, err)
	}
	return table
}

// named returns n members of equal weight in three zones.
func named(n int) []Member {
	members := make([]Member, n)
	for i := range members {
		members[i] = Member{Name: fmt.Sprintf("node-%d", i), Zone: fmt.Sprintf("zone-%d", i%3)}
	}
	return members
}

// drawMembers draws a set of up to most members, of equal or of mixed weights.
func drawMembers(t *rapid.T, most int) []Member {
	names := rapid.SliceOfNDistinct(rapid.StringN(1, 8, -1), 0, most, rapid.ID[string]).Draw(t, "names")
	weight := rapid.OneOf(rapid.Just(0.0), rapid.SampledFrom([]float64{0.1, 0.5, 2, 100}), rapid.Float64Range(MinWeight, MaxWeight))
	zone := rapid.SampledFrom([]string{"", "a", "b", "c", "d"})
	equal := rapid.Bool().Draw(t, "equal weights")
	same := weight.Draw(t, "weight")
	members := make([]Member, len(names))
	for i, name := range names {
		members[i] = Member{Name: name, Zone: zone.Draw(t, "zone"), Weight: same}
		if !equal {
			members[i].Weight = weight.Draw(t, "weight")
		}
	}
	return members
}

func drawParams(t *rapid.T, mostBits int) Params {
	return Params{
		Partitions:    1 << rapid.IntRange(4, mostBits).Draw(t, "partition bits"),
		SlackPermille: rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, MaxSlackPermille)).Draw(t, "slack"),
	}
}

// TestModelIsNotTheCode guards against a model that agrees by sharing a
// mistake: it checks one small matching that was worked out by hand.
func TestModelIsNotTheCode(t *testing.T) {
	m := &model{params: Params{Partitions: 3}.WithDefaults(), members: []Member{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	m.params.SlackPermille = 0 // so that each holds one
	row := func(p uint32, costs ...int64) []pair {
		var pairs []pair
		for i, c := range costs {
			pairs = append(pairs, pair{cost: big.NewRat(c, 1), name: string(rune('a' + i)), partition: p})
		}
		slices.SortFunc(pairs, func(a, b pair) int { return a.cost.Cmp(b.cost) })
		return pairs
	}
	// Both 0 and 1 want a, which prefers 1; then 0 and 2 want b, which
	// prefers 2; so 0 is left with c, its last choice.
	m.pairs = [][]pair{row(0, 2, 5, 9), row(1, 1, 7, 8), row(2, 6, 3, 4)}
	m.propose(rand.New(rand.NewPCG(1, 2)))
	for p, want := range []string{"c", "a", "b"} {
		if got := m.primary[p].name; got != want {
			t.Errorf("partition %d is with %s, want %s", p, got, want)
		}
	}
}
