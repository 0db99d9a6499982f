package router

import (
	"math"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

const (
	logIndexBits = 10 // the table of logarithms has 2^10 intervals
	logFracBits  = 56 // logarithms are in units of 2^-56
)

// logTable holds log2(1 + i/1024) for i from 0 to 1024, in units of 2^-56.
// Between its entries logarithms are interpolated on a straight line, which
// keeps them monotone and within 1.8e-7 of the exact value.
type logTable [1<<logIndexBits + 1]uint64

func newLogTable() *logTable {
	t := new(logTable)
	for i := range uint64(1 << logIndexBits) {
		t[i] = log2Bits(1<<63 | i<<(63-logIndexBits))
	}
	t[1<<logIndexBits] = 1 << logFracBits
	return t
}

// log2Bits returns log2(m / 2^63), for m of at least 2^63, in units of 2^-56
// and at most one unit too low. Each squaring doubles the logarithm, so that
// its next binary digit comes out as the integer part. It never decreases as
// m grows: of two values the larger is first to reach a digit of 1.
func log2Bits(m uint64) uint64 {
	var log uint64
	for range logFracBits {
		log <<= 1
		hi, lo := bits.Mul64(m, m)
		if hi >= 1<<63 { // the square is 2 or more: take the digit and halve it
			log |= 1
			m = hi
		} else {
			m = hi<<1 | lo>>63
		}
	}
	return log
}

// negLog2 returns -log2((hash + 1) / 2^64) in units of 2^-56: from 0 for the
// largest hash to 64<<56 for 0, never increasing as hash grows.
func (t *logTable) negLog2(hash uint64) uint64 {
	if hash == math.MaxUint64 {
		return 0
	}
	x := hash + 1
	whole := bits.Len64(x) - 1
	frac := x << (63 - whole) << 1 // the digits after the leading one
	i := frac >> (64 - logIndexBits)
	step, _ := bits.Mul64(t[i+1]-t[i], frac<<logIndexBits)
	return 64<<logFracBits - (uint64(whole)<<logFracBits + t[i] + step)
}

// memberSeed returns what tells one member from another in the hashes of pairs.
func memberSeed(name string) uint64 { return xxhash.Sum64String(name) }

// partitionSalt returns what tells one partition from another in the hashes of
// pairs: the output of a splitmix64 generator at that position.
func partitionSalt(partition uint32) uint64 {
	return mix64((uint64(partition) + 1) * 0x9e3779b97f4a7c15)
}

// mix64 is a bijection in which each bit of x affects every bit of the result
// (the finalizer of splitmix64).
func mix64(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// ranking orders the members of a table for each partition. Members are known
// by their index in the order of names.
type ranking struct {
	seeds   []uint64
	weights []uint32  // in thousandths
	logs    *logTable // nil if all weights are equal
}

func newRanking(members []Member, weights []uint32) ranking {
	r := ranking{seeds: make([]uint64, len(members)), weights: weights}
	for i, m := range members {
		r.seeds[i] = memberSeed(m.Name)
		if weights[i] != weights[0] && r.logs == nil {
			r.logs = newLogTable()
		}
	}
	return r
}

// candidate is a member with its standing for one partition.
type candidate struct {
	hash   uint64
	cost   uint64 // before the division by weight
	weight uint64
	member int
}

// before reports whether a ranks before b: by cost/weight, compared exactly as
// a product of 128 bits, then by the larger hash, then by name.
func (a *candidate) before(b *candidate) bool {
	aHi, aLo := bits.Mul64(a.cost, b.weight)
	bHi, bLo := bits.Mul64(b.cost, a.weight)
	switch {
	case aHi != bHi:
		return aHi < bHi
	case aLo != bLo:
		return aLo < bLo
	case a.hash != b.hash:
		return a.hash > b.hash
	}
	return a.member < b.member
}

// candidate returns the standing of a member for the partition with a salt.
func (r *ranking) candidate(salt uint64, member int) candidate {
	c := candidate{hash: mix64(r.seeds[member] ^ salt), weight: uint64(r.weights[member]), member: member}
	if r.logs == nil {
		// With equal weights the logarithm changes no order: it never
		// increases with the hash, and equal costs are ordered by hash.
		c.cost = ^c.hash
	} else {
		c.cost = r.logs.negLog2(c.hash)
	}
	return c
}

// hopeless reports whether a hash alone shows that its member cannot rank before c.
func (r *ranking) hopeless(hash uint64, c *candidate) bool {
	return r.logs == nil && hash < c.hash
}

// next fills best with the members that rank first for the partition with a
// salt among those after a given member, or among all if after is -1. It
// returns how many there were.
func (r *ranking) next(salt uint64, after int, best []candidate) int {
	var last candidate
	if after >= 0 {
		last = r.candidate(salt, after)
	}
	n := 0
	for member, seed := range r.seeds {
		if n == len(best) && r.hopeless(mix64(seed^salt), &best[n-1]) {
			continue
		}
		c := r.candidate(salt, member)
		if after >= 0 && !last.before(&c) {
			continue
		}
		if n < len(best) {
			n++
		} else if !c.before(&best[n-1]) {
			continue
		}
		i := n - 1
		for ; i > 0 && c.before(&best[i-1]); i-- {
			best[i] = best[i-1]
		}
		best[i] = c
	}
	return n
}
