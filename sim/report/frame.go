package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/meshnode/meshnode/sim/scenario"
)

// frame is what all plots of a page share: the time, and what happened when.
type frame struct {
	end   float64 // of the time, in seconds; more than 0
	scale scale   // seconds to plotWidth
	times []float64
	xs    []float64 // places of times

	Ticks  []tick
	Spans  []span // while some fault lasted
	Points []span // faults without an end, Width is empty
	Broken []span
}

// span is a part of the time.
type span struct{ X, Width, Text string }

func newFrame(r *scenario.Result) *frame {
	f := &frame{}
	for _, t := range append([]float64{r.VirtualS}, r.Series.T...) {
		if t = drawable(t); t > f.end { // NaN is not
			f.end = t
		}
	}
	if f.end < 1e-3 {
		f.end = 1
	}
	f.scale = scale{hi: f.end, to: plotWidth}
	for _, t := range r.Series.T {
		f.times = append(f.times, drawable(t))
		f.xs = append(f.xs, f.scale.at(drawable(t)))
	}
	f.Ticks = timeTicks(f.end)
	f.Spans, f.Points = f.faults(r.Faults)
	for _, b := range r.Broken {
		f.Broken = append(f.Broken, f.span(b.AtS, 0, ""))
	}
	f.Broken = slices.CompactFunc(f.Broken, func(a, b span) bool { return a.X == b.X })
	return f
}

// maxEdges is how many spans have a line where they begin; more would hide the
// curves.
const maxEdges = 20

// Edges tells, for the template, whether spans have a line where they begin.
func (f *frame) Edges() bool { return len(f.Spans) <= maxEdges }

// span gives the place of a part of the time; until 0 stands for a point.
func (f *frame) span(from, until float64, text string) span {
	if math.IsNaN(from) {
		from = 0
	}
	x := f.scale.at(from)
	s := span{X: px(x), Text: text}
	if until > from {
		s.Width = px(max(f.scale.at(until)-x, 1))
	}
	return s
}

// faults gives the times with a fault, joined where faults overlap, so that shades
// do not add up; and the points when one came without an end.
func (f *frame) faults(all []scenario.FaultRecord) (spans, points []span) {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b scenario.FaultRecord) int { return cmp.Compare(a.AtS, b.AtS) })
	var from, until float64
	open := false
	end := func() {
		if open {
			spans = append(spans, f.span(from, until, ""))
		}
	}
	last := ""
	for _, fault := range all {
		if !(fault.UntilS > fault.AtS) {
			if p := f.span(fault.AtS, 0, ""); p.X != last {
				points, last = append(points, p), p.X
			}
			continue
		}
		if open && fault.AtS <= until {
			until = max(until, fault.UntilS)
			continue
		}
		end()
		from, until, open = fault.AtS, fault.UntilS, true
	}
	end()
	return spans, points
}

// Lanes of the timeline, one for each kind of fault.
const (
	laneHeight = 36.0
	laneText   = 13.0 // from the top of a lane to the foot of its text
	laneBar    = 18.0 // to the top of its bars
	maxDrawn   = 1000 // faults in the timeline
)

// lane is a kind of fault and when it was there.
type lane struct {
	Name    string
	Foot    float64 // of its text
	Top     float64 // of its bars
	Broken  bool
	Spans   []span
	Points  []span
	records []scenario.FaultRecord
}

// timeline is the faults as a plot that shares the time of the others.
type timeline struct {
	Label  string
	Height float64
	Frame  *frame
	Lanes  []*lane
}

// timeline draws the faults by kind, and what broke.
func (f *frame) timeline(r *scenario.Result) *timeline {
	t := &timeline{Frame: f}
	by := map[string]*lane{}
	for _, fault := range r.Faults[:min(len(r.Faults), maxDrawn)] {
		l := by[fault.Do]
		if l == nil {
			l = &lane{}
			by[fault.Do] = l
			t.Lanes = append(t.Lanes, l)
		}
		l.records = append(l.records, fault)
		s := f.span(fault.AtS, fault.UntilS, fault.Do+" "+faultTime(fault)+"\n"+faultDetail(fault, 10))
		if s.Width == "" {
			l.Points = append(l.Points, s)
		} else {
			l.Spans = append(l.Spans, s)
		}
	}
	for _, l := range t.Lanes {
		l.Name = l.records[0].Do + " · "
		if n := len(l.records); n > 1 {
			l.Name += plural(n, "time", "times")
		} else {
			l.Name += faultTime(l.records[0])
		}
	}
	if n := len(r.Broken); n > 0 {
		l := &lane{Name: "broken · " + plural(n, "invariant", "invariants"), Broken: true}
		for _, b := range r.Broken[:min(n, maxDrawn)] {
			l.Points = append(l.Points, f.span(b.AtS, 0, b.Invariant+" "+clock(b.AtS)+"\n"+b.Detail))
		}
		t.Lanes = append(t.Lanes, l)
	}
	for i, l := range t.Lanes {
		l.Foot, l.Top = float64(i)*laneHeight+laneText, float64(i)*laneHeight+laneBar
	}
	t.Height = float64(len(t.Lanes)) * laneHeight
	t.Label = fmt.Sprintf("Timeline of %s and %s over %s of virtual time; the table below lists them",
		plural(len(r.Faults), "fault", "faults"), plural(len(r.Broken), "broken invariant", "broken invariants"), clock(f.end))
	return t
}

// faultTime says when a fault was.
func faultTime(fault scenario.FaultRecord) string {
	if fault.UntilS > fault.AtS {
		return decimals(fault.AtS, 1) + " – " + clock(fault.UntilS)
	}
	return "at " + clock(fault.AtS)
}
