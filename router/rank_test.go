package router

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// exactLog2 returns log2(m / 2^63) to 100 binary digits.
func exactLog2(m uint64) *big.Float {
	const digits = 100
	x := new(big.Float).SetPrec(400).SetUint64(m)
	x.SetMantExp(x, -63)
	two := big.NewFloat(2)
	log := new(big.Float).SetPrec(400)
	for i := 1; i <= digits; i++ {
		x.Mul(x, x)
		if x.Cmp(two) >= 0 {
			x.Quo(x, two)
			log.Add(log, new(big.Float).SetMantExp(big.NewFloat(1), -i))
		}
	}
	return log
}

func TestLogTableEntries(t *testing.T) {
	table := newLogTable()
	for i := 0; i < len(table)-1; i += 3 {
		exact := exactLog2(1<<63 | uint64(i)<<(63-logIndexBits))
		floor, _ := exact.SetMantExp(exact, logFracBits).Uint64()
		if got := table[i]; got > floor || floor-got > 1 {
			t.Errorf("entry %d is %d, exactly %d", i, got, floor)
		}
	}
	if table[0] != 0 || table[len(table)-1] != 1<<logFracBits {
		t.Errorf("the table runs from %d to %d", table[0], table[len(table)-1])
	}
}

// TestNegLog2Error holds the result against math.Log2, within 1.8e-7, and
// within 1/4000 of the value where it is small: the costs that win.
func TestNegLog2Error(t *testing.T) {
	table := newLogTable()
	rng := rand.New(rand.NewPCG(3, 4))
	check := func(hash uint64) (absolute, relative float64) {
		got := float64(table.negLog2(hash)) / (1 << logFracBits)
		want := 64 - math.Log2(float64(hash)+1)
		if hash > 1<<63 { // 1-u is exact enough only on its own
			want = -math.Log1p(-float64(math.MaxUint64-hash)/(1<<64)) / math.Ln2
		}
		absolute = math.Abs(got - want)
		return absolute, absolute / want
	}
	var worstAbs, worstRel float64
	for range 200_000 {
		hash := rng.Uint64() >> rng.UintN(64)
		if rng.IntN(2) == 0 {
			hash = ^hash
		}
		if hash >= math.MaxUint64-1<<32 {
			continue // a value so near to 0 has few digits in units of 2^-56
		}
		absolute, relative := check(hash)
		worstAbs, worstRel = max(worstAbs, absolute), max(worstRel, relative)
	}
	t.Logf("error of negLog2: absolute %.3g, relative %.3g", worstAbs, worstRel)
	if worstAbs > 1.8e-7 || worstRel > 1.0/4000 {
		t.Errorf("error of negLog2: absolute %g, relative %g", worstAbs, worstRel)
	}
}

// TestNegLog2Monotone follows from two facts: the entries of the table never
// decrease, so that neither does the interpolation within an interval, and an
// interval ends no higher than the next begins. The rest is a spot check.
func TestNegLog2Monotone(t *testing.T) {
	table := newLogTable()
	for i := range len(table) - 1 {
		if table[i] >= table[i+1] {
			t.Fatalf("entries %d and %d do not increase", i, i+1)
		}
	}
	if got := table.negLog2(0); got != 64<<logFracBits {
		t.Errorf("negLog2(0) = %d, want 64", got)
	}
	if got := table.negLog2(math.MaxUint64); got != 0 {
		t.Errorf("negLog2(max) = %d, want 0", got)
	}
	for whole := range 64 { // the edges of every interval of every power of two
		for i := range uint64(1 << logIndexBits) {
			edge := (1<<63 | i<<(63-logIndexBits)) >> (63 - whole) // hash+1 at the edge
			if edge >= 2 && table.negLog2(edge-2) < table.negLog2(edge-1) {
				t.Fatalf("negLog2 grows from %d to %d", edge-2, edge-1)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Uint64().Draw(t, "a")
		b := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(a-a%1024, a|1023)).Draw(t, "b")
		if low, high := min(a, b), max(a, b); table.negLog2(low) < table.negLog2(high) {
			t.Fatalf("negLog2(%d) < negLog2(%d)", low, high)
		}
	})
}

// TestCandidateOrder checks that before is a strict total order, among
// candidates that are likely to tie.
func TestCandidateOrder(t *testing.T) {
	table := newLogTable()
	draw := func(t *rapid.T, label string) candidate {
		hash := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(math.MaxUint64-3, math.MaxUint64)).Draw(t, label)
		return candidate{
			hash: hash, cost: table.negLog2(hash),
			weight: rapid.SampledFrom([]uint64{100, 500, 1000, 1001, 100_000}).Draw(t, label),
			member: rapid.IntRange(0, 3).Draw(t, label),
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := draw(t, "a"), draw(t, "b"), draw(t, "c")
		if a.before(&a) {
			t.Fatalf("%+v is before itself", a)
		}
		same := a.hash == b.hash && a.member == b.member && (a.cost == 0 || a.weight == b.weight)
		if !same && a.before(&b) == b.before(&a) {
			t.Fatalf("no order between %+v and %+v", a, b)
		}
		if a.before(&b) && b.before(&c) && !a.before(&c) {
			t.Fatalf("not transitive: %+v %+v %+v", a, b, c)
		}
	})
}

func TestCandidateTies(t *testing.T) {
	tests := []struct {
		name string
		a, b candidate // a is before b
	}{
		{"cost", candidate{cost: 1, weight: 1, member: 1}, candidate{cost: 2, weight: 1}},
		{"cost by weight", candidate{cost: 1 << 62, weight: 100_000, member: 1}, candidate{cost: 1<<62/1000 + 1, weight: 100}},
		{"equal cost, larger hash", candidate{hash: 9, cost: 1, weight: 1, member: 1}, candidate{hash: 8, cost: 1, weight: 1}},
		{"equal cost by weight, larger hash", candidate{hash: 9, cost: 6, weight: 3, member: 1}, candidate{hash: 8, cost: 2, weight: 1}},
		{"equal hash, name", candidate{hash: 9, cost: 1, weight: 1}, candidate{hash: 9, cost: 1, weight: 1, member: 1}},
	}
	for _, test := range tests {
		if !test.a.before(&test.b) || test.b.before(&test.a) {
			t.Errorf("%s: %+v is not before %+v", test.name, test.a, test.b)
		}
	}
}

func TestBidOrder(t *testing.T) {
	tests := []struct {
		a, b bid
		want bool
	}{
		{bid{1, 0}, bid{2, 0}, true},
		{bid{2, 0}, bid{1, 0}, false},
		{bid{1, 5}, bid{1, 4}, true},
		{bid{1, 4}, bid{1, 5}, false},
		{bid{1, 4}, bid{1, 4}, false},
	}
	for _, test := range tests {
		if got := test.a.weaker(test.b); got != test.want {
			t.Errorf("%v weaker than %v: %v", test.a, test.b, got)
		}
	}
}

// TestPairHashUniform fills 256 bins by each byte of the hashes of all pairs of
// 100 members and 4,096 partitions. The sum of squares has a mean of 255 and a
// standard deviation of 22.6.
func TestPairHashUniform(t *testing.T) {
	const members, partitions = 100, 4096
	var bins [8][256]int
	for i := range members {
		seed := memberSeed(fmt.Sprintf("node-%d", i))
		for p := range uint32(partitions) {
			h := mix64(seed ^ partitionSalt(p))
			for b := range bins {
				bins[b][byte(h>>(8*b))]++
			}
		}
	}
	for b := range bins {
		const want = members * partitions / 256.0
		var chi float64
		for _, n := range bins[b] {
			chi += (float64(n) - want) * (float64(n) - want) / want
		}
		if chi < 160 || chi > 350 {
			t.Errorf("byte %d of the hash: chi square %.0f, want about 255", b, chi)
		}
	}
}

// TestPairHashAvalanche flips each bit of the partition: about half the bits of
// the hash must follow.
func TestPairHashAvalanche(t *testing.T) {
	const rounds = 2000
	seed := memberSeed("node-1")
	for bit := range 20 {
		var flipped int
		for p := range uint32(rounds) {
			flipped += bits.OnesCount64(mix64(seed^partitionSalt(p)) ^ mix64(seed^partitionSalt(p^1<<bit)))
		}
		if mean := float64(flipped) / rounds; math.Abs(mean-32) > 0.5 {
			t.Errorf("bit %d of the partition flips %.2f bits of the hash, want 32", bit, mean)
		}
	}
}
