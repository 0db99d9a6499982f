package router

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestBalance(t *testing.T) {
	for _, n := range []int{3, 10, 100, 1000} {
		table := mustNew(t, named(n), paramsFor(n))
		t.Logf("%d members: peak/avg %.4f", n, table.Spread())
		if table.Spread() > 1.06 {
			t.Errorf("%d members: peak/avg %.4f, want at most 1.06", n, table.Spread())
		}
	}
}

// paramsFor gives the parameters that a cluster of n members would have.
func paramsFor(n int) Params {
	if n >= 1000 {
		return Params{Partitions: 1 << 16}
	}
	return Params{}
}

// TestBalanceByRandomWeights checks loads relative to weights drawn from 0.5 to
// 2. A member's bound is rounded to a whole partition, so the load of one that has
// few may exceed the slack by half a partition.
func TestBalanceByRandomWeights(t *testing.T) {
	for _, n := range []int{3, 10, 100, 1000} {
		random := rand.New(rand.NewPCG(uint64(n), 6))
		members := named(n)
		for i := range members {
			members[i].Weight = 0.5 + 1.5*random.Float64()
		}
		table := mustNew(t, members, paramsFor(n))
		t.Logf("%d members of random weights: peak load %.4f of the weighted share", n, table.Spread())
		if table.Spread() > 1.08 {
			t.Errorf("%d members: peak load %.4f, want at most 1.08", n, table.Spread())
		}
	}
}

// TestBalanceByWeight checks loads relative to weights, of which the lightest
// member has some hundred partitions.
func TestBalanceByWeight(t *testing.T) {
	var members []Member
	for i := range 30 {
		members = append(members, Member{Name: fmt.Sprintf("node-%d", i), Weight: []float64{0.5, 1, 4}[i%3]})
	}
	table := mustNew(t, members, Params{})
	low := math.Inf(1)
	for _, s := range table.Shares() {
		low = min(low, s.Load)
	}
	t.Logf("30 members of weights 0.5, 1 and 4: loads from %.3f to %.3f", low, table.Spread())
	if table.Spread() > 1.06 || low < 0.8 {
		t.Errorf("loads from %.3f to %.3f", low, table.Spread())
	}
}

// TestRankFollowsWeights looks at the ranks before any bound: the share of
// first places of a member is its share of the weight.
func TestRankFollowsWeights(t *testing.T) {
	const partitions = 1 << 16
	members := []Member{{Name: "a", Weight: 0.1}, {Name: "b", Weight: 1}, {Name: "c", Weight: 2.5}, {Name: "d", Weight: 10}}
	table := mustNew(t, members, Params{Partitions: 16})
	first := make([]int, len(members))
	var best [1]candidate
	for p := range uint32(partitions) {
		table.rank.next(partitionSalt(p), -1, best[:])
		first[best[0].member]++
	}
	for i, m := range members {
		share := m.Weight / 13.6
		want, sigma := share*partitions, math.Sqrt(partitions*share*(1-share))
		if off := (float64(first[i]) - want) / sigma; math.Abs(off) > 3.5 {
			t.Errorf("%q is first for %d partitions, want %.0f: off by %.1f standard deviations", m.Name, first[i], want, off)
		}
	}
}

// TestMovement changes one of 100 members at a time. At the least, a join moves
// the fair share of the one that joins, and a leave what the one that leaves held.
func TestMovement(t *testing.T) {
	members := named(100)
	table := mustNew(t, members, Params{})
	var worstJoin, worstLeave, sumJoin, sumLeave float64
	const rounds = 8
	for i := range rounds {
		joined := mustNew(t, append(members[:100:100], Member{Name: fmt.Sprintf("new-%d", i), Zone: "zone-0"}), Params{})
		join := float64(countMoves(t, joined, table)) / (DefaultPartitions / 101.0)

		gone := i * 12
		left := mustNew(t, append(members[:gone:gone], members[gone+1:]...), Params{})
		leave := float64(countMoves(t, left, table)) / float64(len(table.Owned(members[gone].Name)))

		sumJoin, sumLeave = sumJoin+join, sumLeave+leave
		worstJoin, worstLeave = max(worstJoin, join), max(worstLeave, leave)
	}
	t.Logf("partitions moved, as a multiple of the minimum: join %.3f (worst %.3f), leave %.3f (worst %.3f)",
		sumJoin/rounds, worstJoin, sumLeave/rounds, worstLeave)
	if sumJoin/rounds > 1.3 || sumLeave/rounds > 1.3 {
		t.Errorf("moved more than 1.3 times the minimum: join %.3f, leave %.3f", sumJoin/rounds, sumLeave/rounds)
	}
}

func countMoves(t *testing.T, now, old *Table) int {
	t.Helper()
	moves, err := now.Diff(old)
	if err != nil {
		t.Fatal(err)
	}
	return len(moves)
}
