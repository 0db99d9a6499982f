package report

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestLinear(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		whole  bool
		want   string
	}{
		{0, 10, true, "0 2 4 6 8 10"},
		{0, 1, true, "0 1"},
		{0, 0, true, "0 1"},
		{0, 3, true, "0 1 2 3"},
		{0, 97, true, "0 20 40 60 80 100"},
		{0, 2104, false, "0 500 1k 1.5k 2k 2.5k"},
		{99, 100, false, "99 99.2 99.4 99.6 99.8 100"},
		{50, 100, false, "50 60 70 80 90 100"},
		{0, 0.003, false, "0 0.001 0.002 0.003"},
		{-3, 7, true, "-4 -2 0 2 4 6 8"},
		{0, 123456789, false, "0 50M 100M 150M"},
	} {
		s, values := linear(c.lo, c.hi, c.whole)
		if got := ticksText(values); got != c.want {
			t.Errorf("%g to %g: %s, not %s", c.lo, c.hi, got, c.want)
		}
		if s.lo > c.lo || s.hi < c.hi {
			t.Errorf("%g to %g: the scale ends at %g and %g", c.lo, c.hi, s.lo, s.hi)
		}
	}
}

func TestLogarithmic(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		want   string
	}{
		{0.55, 2011, "0.1 1 10 100 1k 10k"},
		{1, 10, "1 2 5 10"},
		{3, 3, "1 2 5 10"},
		{1e-4, 1e6, "0.0001 0.01 1 100 10k 1M"},
	} {
		s, values := logarithmic(c.lo, c.hi)
		if got := ticksText(values); got != c.want {
			t.Errorf("%g to %g: %s, not %s", c.lo, c.hi, got, c.want)
		}
		if s.from, s.to = 0, 1; s.at(s.lo) != 0 || s.at(s.hi) != 1 || s.at(c.hi) < s.at(c.lo) {
			t.Errorf("%g to %g: the scale puts its ends at %g and %g", c.lo, c.hi, s.at(s.lo), s.at(s.hi))
		}
	}
}

func TestTimeTicks(t *testing.T) {
	for _, c := range []struct {
		end  float64
		want string
	}{
		{0.02, "0 ms 5 ms 10 ms 15 ms 20 ms"},
		{1, "0 s 0.2 s 0.4 s 0.6 s 0.8 s 1 s"},
		{60, "0 s 10 s 20 s 30 s 40 s 50 s 60 s"},
		{60.3, "0 s 20 s 40 s 60 s"},
		{120, "0 s 20 s 40 s 60 s 80 s 100 s 120 s"},
		{300, "0 s 60 s 120 s 180 s 240 s 300 s"},
		{1000, "0 min 3 min 6 min 9 min 12 min 15 min"},
		{7200, "0 min 30 min 60 min 90 min 120 min"},
		{10000, "0 h 0.5 h 1 h 1.5 h 2 h 2.5 h"},
		{86400, "0 h 4 h 8 h 12 h 16 h 20 h 24 h"},
	} {
		var texts []string
		for _, tick := range timeTicks(c.end) {
			texts = append(texts, tick.Text)
			if tick.At < 0 || tick.At > 100 {
				t.Errorf("%g s: %s is at %g %%", c.end, tick.Text, tick.At)
			}
		}
		if got := strings.Join(texts, " "); got != c.want {
			t.Errorf("%g s: %s, not %s", c.end, got, c.want)
		}
	}
}

// TestTicksFew holds scales of all sizes against what there is room for.
func TestTicksFew(t *testing.T) {
	for hi := 1e-3; hi < 1e9; hi *= 1.037 {
		if _, values := linear(0, hi, false); len(values) < 3 || len(values) > 7 {
			t.Errorf("0 to %g: %s", hi, ticksText(values))
		}
		if ticks := timeTicks(hi); len(ticks) < 2 || len(ticks) > maxTimes {
			if hi < 6*86400 || len(ticks) > maxTimes {
				t.Errorf("%g s: %v", hi, ticks)
			}
		}
	}
}

func ticksText(values []float64) string {
	var texts []string
	for _, v := range values {
		texts = append(texts, tickText(v))
	}
	return strings.Join(texts, " ")
}

// TestThinned compares the pixels of a thinned curve with those of the whole: the
// least and the most of each column, and where it enters and leaves it.
func TestThinned(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var all run
	for i := range 10000 {
		all = append(all, point{float64(i) * plotWidth / 10000, float64(random.IntN(1000))})
	}
	kept := all.thinned()
	if len(kept) > 4*columns {
		t.Errorf("%d points are left for %d columns", len(kept), columns)
	}
	for col := range columns {
		in := func(r run) []float64 {
			var ys []float64
			for _, p := range r {
				if column(p.x) == col {
					ys = append(ys, p.y)
				}
			}
			return ys
		}
		whole, thin := in(all), in(kept)
		if slices.Min(whole) != slices.Min(thin) || slices.Max(whole) != slices.Max(thin) ||
			whole[0] != thin[0] || whole[len(whole)-1] != thin[len(thin)-1] {
			t.Fatalf("column %d: %v became %v", col, whole, thin)
		}
	}
	if !slices.IsSortedFunc(kept, func(a, b point) int { return int(math.Copysign(1, a.x-b.x)) }) {
		t.Error("the points changed their order")
	}
}

func TestPaths(t *testing.T) {
	nan := math.NaN()
	xs := []float64{0, 100, 200, 300, 400}
	for _, c := range []struct{ name, got, want string }{
		{"curve", curvePath(xs, []float64{1, 2, 3, 4, 5}), "M0 1L100 2L200 3L300 4L400 5"},
		{"gap", curvePath(xs, []float64{1, 2, nan, 4, 5}), "M0 1L100 2M300 4L400 5"},
		{"dot", curvePath(xs, []float64{nan, 2, nan, nan, 5}), "M100 2h0.1M400 5h0.1"},
		{"nothing", curvePath(xs, []float64{nan, nan}), ""},
		{"gap in a column", curvePath([]float64{10, 10.1, 10.2}, []float64{1, nan, 3}), "M10 1L10.2 3"},
		{"bars", barPath(xs, []float64{9, 3, 9, nan, 0}, 9), "M100 9V3M400 9V0"},
		{"highest bar", barPath([]float64{10, 10.5, 11}, []float64{5, 2, 7}, 9), "M10 9V2"},
		{"band", bandPath(xs, []float64{9, 8, nan, 7, 7}, []float64{1, 2, 3, 4, 5}), "M0 1L100 2L100 8L0 9ZM300 4L400 5L400 7L300 7Z"},
		{"half a band", bandPath(xs, []float64{9}, []float64{1, 2}), "M0 1L0 9Z"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, not %s", c.name, c.got, c.want)
		}
	}
}
