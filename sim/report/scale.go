package report

import (
	"math"
	"strconv"
)

// beyond is where values end for a plot: what is larger, or no number, is a gap.
const beyond = 1e15

// drawable turns what no axis can hold into a gap, which is NaN.
func drawable(v float64) float64 {
	if math.Abs(v) <= beyond {
		return v
	}
	return math.NaN()
}

// scale maps values from lo to hi to places on an axis. hi is more than lo, and
// on a logarithmic scale lo is more than 0.
type scale struct {
	lo, hi   float64
	from, to float64 // the places of lo and hi
	log      bool
}

// at gives the place of a value; values beyond the ends are put there.
func (s scale) at(v float64) float64 {
	v = min(max(v, s.lo), s.hi)
	part := (v - s.lo) / (s.hi - s.lo)
	if s.log {
		part = math.Log(v/s.lo) / math.Log(s.hi/s.lo)
	}
	return s.from + part*(s.to-s.from)
}

// step gives the least of 1, 2 and 5 times a power of ten that divides a span in
// at most so many parts.
func step(span float64, most int) float64 {
	rough := span / float64(most)
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, nice := range []float64{1, 2, 5} {
		if nice*power >= rough*(1-1e-9) {
			return nice * power
		}
	}
	return 10 * power
}

// linear makes a scale for values from lo to hi that ends at nice values, and
// the values to write beside it. Of whole things there are no fractions.
func linear(lo, hi float64, whole bool) (scale, []float64) {
	if hi <= lo {
		hi = lo + 1
	}
	by := step(hi-lo, 5)
	if whole {
		by = max(by, 1)
	}
	s := scale{lo: math.Floor(lo/by+1e-9) * by, hi: math.Ceil(hi/by-1e-9) * by}
	return s, every(by, s.lo, s.hi)
}

// every gives the multiples of by from lo to hi.
func every(by, lo, hi float64) []float64 {
	var all []float64
	first := math.Ceil(lo/by - 1e-9)
	for i := 0.0; i < 100 && (first+i)*by <= hi*(1+1e-9); i++ {
		all = append(all, (first+i)*by)
	}
	return all
}

// logarithmic makes a scale for values from lo to hi, both more than 0, that ends
// at powers of ten, and the values to write beside it.
func logarithmic(lo, hi float64) (scale, []float64) {
	first := math.Floor(math.Log10(lo) + 1e-9)
	last := max(math.Ceil(math.Log10(hi)-1e-9), first+1)
	s := scale{lo: math.Pow(10, first), hi: math.Pow(10, last), log: true}
	by := math.Ceil((last - first) / 5)
	var all []float64
	for power := first; power <= last; power += by {
		all = append(all, math.Pow(10, power))
		if last-first <= 1 && power < last {
			all = append(all, 2*math.Pow(10, power), 5*math.Pow(10, power))
		}
	}
	return s, all
}

// maxTimes is how many times stand below a plot: on a phone there is room for no
// more.
const maxTimes = 7

// timeTicks gives the times to write below a plot that ends at so many seconds.
func timeTicks(end float64) []tick {
	by := step(end, maxTimes-1)
	for _, nice := range []float64{60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400} {
		if by > 20 && nice*(maxTimes-1) >= end {
			by = nice
			break
		}
	}
	var all []tick
	for _, at := range every(by, 0, end) {
		all = append(all, tick{At: hundredths(100 * at / end), Text: timeText(at, by, end)})
	}
	return all
}

// timeText writes a time below a plot: in the unit that suits the steps.
func timeText(at, by, end float64) string {
	switch {
	case end > 7200:
		return tickText(at/3600) + " h"
	case by >= 60 && end > 600:
		return tickText(at/60) + " min"
	case end < 1:
		return tickText(at*1e3) + " ms"
	}
	return tickText(at) + " s"
}

// tickText writes a value beside an axis, in at most five characters or so.
func tickText(v float64) string {
	switch size := math.Abs(v); {
	case size >= 1e13:
		return strconv.FormatFloat(v, 'g', 2, 64)
	case size >= 1e9:
		return trimmed(v/1e9) + "G"
	case size >= 1e6:
		return trimmed(v/1e6) + "M"
	case size >= 1e3:
		return trimmed(v/1e3) + "k"
	}
	return trimmed(v)
}

// trimmed writes a number with as many digits as it has, up to four significant ones.
func trimmed(v float64) string {
	short, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	return strconv.FormatFloat(short, 'g', -1, 64)
}

func hundredths(v float64) float64 { return math.Round(v*100) / 100 }
