package report

import (
	"math"
	"strconv"
	"strings"
)

// point is a place in a plot.
type point struct{ x, y float64 }

// columns is how many columns a curve is thinned to, and columnWidth how wide one
// is: narrower ones could not be told apart.
const (
	columns     = 500
	columnWidth = plotWidth / columns
)

func column(x float64) int { return int(x / columnWidth) }

// run is a part of a curve without a gap.
type run []point

// runs cuts a curve where values are missing. A gap that lies within a column is
// none.
func runs(xs, ys []float64) []run {
	var all []run
	gap := true
	for i := range min(len(xs), len(ys)) {
		if math.IsNaN(xs[i]) || math.IsNaN(ys[i]) {
			gap = true
			continue
		}
		p := point{xs[i], ys[i]}
		if n := len(all); gap && (n == 0 || column(all[n-1][len(all[n-1])-1].x) != column(p.x)) {
			all = append(all, nil)
		}
		gap = false
		all[len(all)-1] = append(all[len(all)-1], p)
	}
	return all
}

// thinned keeps, of the points of each column, the first, the last, and the ones
// that lie lowest and highest: the curve through these covers the same pixels.
func (r run) thinned() run {
	var kept run
	for from := 0; from < len(r); {
		to, low, high := from, from, from
		for ; to < len(r) && column(r[to].x) == column(r[from].x); to++ {
			if r[to].y < r[low].y {
				low = to
			}
			if r[to].y > r[high].y {
				high = to
			}
		}
		last := -1
		for _, i := range []int{from, min(low, high), max(low, high), to - 1} {
			if i > last {
				kept, last = append(kept, r[i]), i
			}
		}
		from = to
	}
	return kept
}

// envelope keeps one point for each column, at the place of its first one and at
// the least y, or at the most.
func (r run) envelope(pick func(x, y float64) float64) run {
	var kept run
	for _, p := range r {
		if n := len(kept); n > 0 && column(kept[n-1].x) == column(p.x) {
			kept[n-1].y = pick(kept[n-1].y, p.y)
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// path draws points one after the other. A single one becomes a dot.
func (r run) path(b *strings.Builder) {
	for i, p := range r {
		b.WriteByte("ML"[min(i, 1)])
		b.WriteString(px(p.x) + " " + px(p.y))
	}
	if len(r) == 1 {
		b.WriteString("h0.1")
	}
}

// px writes a place to a tenth of a pixel.
func px(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// curvePath draws a curve through all values that there are.
func curvePath(xs, ys []float64) string {
	var b strings.Builder
	for _, r := range runs(xs, ys) {
		r.thinned().path(&b)
	}
	return b.String()
}

// barPath draws a bar from the ground to the highest value of each column that
// has one off the ground.
func barPath(xs, ys []float64, ground float64) string {
	var b strings.Builder
	for _, r := range runs(xs, ys) {
		for _, p := range r.envelope(math.Min) {
			if p.y < ground {
				b.WriteString("M" + px(p.x) + " " + px(ground) + "V" + px(p.y))
			}
		}
	}
	return b.String()
}

// bandPath fills what lies between two curves.
func bandPath(xs, low, high []float64) string {
	var b strings.Builder
	for i := range high {
		if i >= len(low) || math.IsNaN(low[i]) {
			high[i] = math.NaN()
		} else if math.IsNaN(high[i]) {
			low[i] = math.NaN()
		}
	}
	lows := runs(xs, low)
	for i, r := range runs(xs, high) {
		upper, lower := r.envelope(math.Min), lows[i].envelope(math.Max)
		for j := len(lower) - 1; j >= 0; j-- {
			upper = append(upper, lower[j])
		}
		upper.path(&b)
		b.WriteByte('Z')
	}
	return b.String()
}
