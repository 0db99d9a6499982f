package simnet

import (
	"math"
	"time"
)

// DistKind is the shape of a distribution.
type DistKind uint8

// The shapes.
const (
	KindConstant DistKind = iota
	KindUniform
	KindNormal
	KindPareto
)

// maxDelay bounds every draw: tails without an end would hold a run up.
const maxDelay = time.Minute

// Dist is a distribution of delays. The zero value is no delay at all. Draws are
// never negative and never more than a minute.
type Dist struct {
	Kind  DistKind
	A, B  time.Duration // constant: A; uniform: A to B; normal: mean A, standard deviation B; Pareto: least A
	Alpha float64       // of Pareto: the smaller, the heavier the tail; above 1 for a finite mean
}

// Constant is always d.
func Constant(d time.Duration) Dist { return Dist{A: d} }

// Uniform is anything from low to high.
func Uniform(low, high time.Duration) Dist { return Dist{Kind: KindUniform, A: low, B: high} }

// Normal has a mean and a standard deviation, and is cut off at 0.
func Normal(mean, deviation time.Duration) Dist {
	return Dist{Kind: KindNormal, A: mean, B: deviation}
}

// Pareto is at least low, with a tail as networks have it: P(X > x) = (low/x)^alpha.
func Pareto(low time.Duration, alpha float64) Dist {
	return Dist{Kind: KindPareto, A: low, Alpha: alpha}
}

// Draw gives the delay that a random number stands for.
func (d Dist) Draw(r uint64) time.Duration {
	switch d.Kind {
	case KindUniform:
		if d.B <= d.A {
			return bounded(float64(d.A))
		}
		return bounded(float64(d.A) + unit(r)*float64(d.B-d.A))
	case KindNormal:
		// Box and Muller; the second number is a hash of the first.
		radius := math.Sqrt(-2 * math.Log(1-unit(r)))
		return bounded(float64(d.A) + float64(d.B)*radius*math.Cos(2*math.Pi*unit(mix(r))))
	case KindPareto:
		return bounded(float64(d.A) / math.Pow(1-unit(r), 1/max(d.Alpha, 0.1)))
	}
	return bounded(float64(d.A))
}

func bounded(d float64) time.Duration {
	return time.Duration(min(max(d, 0), float64(maxDelay)))
}

// unit makes a number in [0, 1) of random bits.
func unit(r uint64) float64 { return float64(r>>11) / (1 << 53) }

// mix is the finaliser of splitmix64: each bit of the result depends on each bit
// of x.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// What a random number decides; each decision about one packet has its own.
const (
	rollDelay uint64 = iota + 1
	rollLoss
	rollDouble
	rollReorder
	rollLate
	rollAnswer   // delay of a reset that answers a segment
	rollOpen     // delay of the first packet of a stream
	rollOpenLoss // its loss
	rollAccept   // delay of the answer to that
	rollAcceptLoss
	rollKinds
)

// rollBits is how many bits tell the kinds apart; a seq has the others.
const rollBits = 4

const _ = uint(1<<rollBits - rollKinds) // so many kinds fit

// roll is the random number for one decision about number seq on a link.
func roll(link, seq, what uint64) uint64 { return mix(link ^ mix(seq<<rollBits|what)) }

// chance tells whether something of the given probability happens.
func chance(p float64, r uint64) bool { return p > 0 && unit(r) < p }
