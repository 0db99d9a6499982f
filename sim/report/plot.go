package report

import (
	"fmt"
	"math"
	"strings"
)

// A plot is plotWidth wide in its own units, whatever the screen: it is stretched
// along the time, and only along it. Its height is in pixels.
const (
	plotWidth  = 1000.0
	plotHeight = 150.0
	maxHovers  = 100 // places along the time that show their values under a mouse
)

// curve is one series of values of a plot.
type curve struct {
	name  string
	style string // classes of the style sheet: a colour and a dash
	ys    []float64
}

// graph says what a plot shows. It has no values, curves, or a band and curves.
type graph struct {
	title string
	axis  string // what stands above the axis of values: their unit
	note  string
	empty string // said when there is no value
	unit  unit   // of single values

	curves    []curve
	low, high *curve // ends of a band; both or none

	log   bool // the axis
	bars  bool // the curves are drawn as bars
	whole bool // values are of whole things
	lo    func(least float64) float64
}

// plot is a graph as the page's template draws it.
type plot struct {
	Title, Axis, Note, Empty, Label string

	Height float64
	Frame  *frame
	Ticks  []tick // of values
	Shapes []shape
	Legend []legend
	Hovers []hover
}

// tick is a text beside an axis, at so many pixels or per cent.
type tick struct {
	At   float64
	Text string
}

// shape is a path and its classes.
type shape struct{ Style, Path string }

// legend is the name of a curve, and how it is drawn.
type legend struct {
	Style, Name string
	Area        bool
}

// hover is a part of the time and what is said when a mouse is there.
type hover struct{ X, Width, Text string }

// draw makes the plot of a graph.
func (f *frame) draw(g graph) *plot {
	p := &plot{Title: g.title, Axis: g.axis, Note: g.note, Height: plotHeight, Frame: f}
	all := g.curves
	if g.low != nil {
		all = append([]curve{*g.low, *g.high}, all...)
	}
	least, most := extent(all, g.log)
	p.Label = describe(g, all, f.end)
	if math.IsNaN(least) {
		p.Empty = g.empty
		return p
	}
	var values []float64
	var ys scale
	if g.log {
		ys, values = logarithmic(least, most)
	} else {
		lo := min(least, 0)
		if g.lo != nil {
			lo = g.lo(least)
		}
		ys, values = linear(lo, most, g.whole)
	}
	ys.from, ys.to = plotHeight, 0
	for _, v := range values {
		p.Ticks = append(p.Ticks, tick{At: hundredths(ys.at(v)), Text: tickText(v)})
	}
	p.shapes(f, g, ys)
	p.Hovers = f.hovers(all, g.unit)
	return p
}

// extent gives the least and the most of all values, NaN without any. On a
// logarithmic axis only those above 0 count.
func extent(all []curve, log bool) (least, most float64) {
	least, most = math.NaN(), math.NaN()
	for _, c := range all {
		for _, v := range c.ys {
			if math.IsNaN(v) || log && v <= 0 {
				continue
			}
			if math.IsNaN(least) {
				least, most = v, v
			}
			least, most = min(least, v), max(most, v)
		}
	}
	return least, most
}

// shapes draws the band below the curves.
func (p *plot) shapes(f *frame, g graph, ys scale) {
	if g.low != nil {
		p.Shapes = append(p.Shapes, shape{g.low.style + " band", bandPath(f.xs, places(g.low.ys, ys), places(g.high.ys, ys))})
		p.Legend = append(p.Legend, legend{Style: g.low.style + " band", Name: g.low.name + " to " + g.high.name, Area: true})
	}
	for _, c := range g.curves {
		path := ""
		if g.bars {
			path = barPath(f.xs, places(c.ys, ys), ys.from)
		} else {
			path = curvePath(f.xs, places(c.ys, ys))
		}
		if len(c.ys) == 0 {
			continue
		}
		p.Shapes = append(p.Shapes, shape{c.style, path})
		p.Legend = append(p.Legend, legend{Style: c.style, Name: c.name})
	}
	if len(p.Legend) == 1 {
		p.Legend = nil // the title says it
	}
}

// places maps values to pixels.
func places(ys []float64, s scale) []float64 {
	all := make([]float64, len(ys))
	for i, v := range ys {
		switch {
		case math.IsNaN(v), s.log && v <= 0:
			all[i] = math.NaN()
		default:
			all[i] = s.at(v)
		}
	}
	return all
}

// describe says in words what a plot shows, for those who do not see it.
func describe(g graph, all []curve, end float64) string {
	var parts []string
	for _, c := range all {
		if least, most := extent([]curve{c}, g.log); !math.IsNaN(least) {
			parts = append(parts, c.name+" "+between(g.unit, least, most))
		}
	}
	if len(parts) == 0 {
		parts = []string{g.empty}
	}
	return fmt.Sprintf("%s over %s of virtual time: %s", g.title, clock(end), strings.Join(parts, "; "))
}

func between(u unit, least, most float64) string {
	if a, b := u(least), u(most); a != b {
		return a + " to " + b
	}
	return u(least)
}

// hovers cuts the time into parts of equally many samples and says what values
// there were in each.
func (f *frame) hovers(all []curve, u unit) []hover {
	n := len(f.times)
	each := max((n+maxHovers-1)/maxHovers, 1)
	var out []hover
	for from := 0; from < n; from += each {
		to := min(from+each, n)
		until := f.end
		if to < n && f.times[to] <= f.end {
			until = f.times[to]
		}
		if math.IsNaN(f.times[from]) {
			continue
		}
		lines := []string{clock(f.times[from])}
		if last := f.times[to-1]; last > f.times[from] {
			lines[0] += " – " + clock(last)
		}
		for _, c := range all {
			if from >= len(c.ys) {
				continue
			}
			part := curve{ys: c.ys[from:min(to, len(c.ys))]}
			if least, most := extent([]curve{part}, false); !math.IsNaN(least) {
				lines = append(lines, c.name+": "+between(u, least, most))
			}
		}
		x := f.scale.at(f.times[from])
		out = append(out, hover{px(x), px(f.scale.at(until) - x), strings.Join(lines, "\n")})
	}
	return out
}
