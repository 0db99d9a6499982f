package report

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/meshnode/meshnode/sim/scenario"
)

// worseBy is how much worse a figure has to be for a mark: runs of one scenario
// with two seeds differ by less in most figures.
const worseBy = 0.10 + 1e-9 // so that 8.72 and 9.592 differ by no more

// Compare writes two runs side by side for a terminal of so many columns; 0 means
// 80. Figures of b that are worse than those of a by more than 10 % are marked.
// The error is the writer's.
func Compare(w io.Writer, a, b *scenario.Result, columns int, styles ...Style) error {
	s := newSheet(columns, styles)
	s.wrapped("A: ", oneLine(a.Scenario)+", "+runLine(a))
	s.wrapped("B: ", oneLine(b.Scenario)+", "+runLine(b))
	for _, d := range differences(a, b) {
		s.wrapped("differs: ", d)
	}
	s.line("")
	s.compareFigures(a, b)
	s.compareCodes(a, b)
	s.line("")
	s.compareBroken(a, b)
	return s.writeTo(w)
}

// differences names what makes two runs two questions rather than two answers.
func differences(a, b *scenario.Result) []string {
	var all []string
	add := func(name string, x, y any) {
		if x != y {
			all = append(all, oneLine(fmt.Sprintf("%s, %v against %v", name, x, y)))
		}
	}
	add("scenario", a.Scenario, b.Scenario)
	add("seed", a.Seed, b.Seed)
	add("nodes", a.Nodes, b.Nodes)
	add("profile", a.Profile, b.Profile)
	add("virtual time", clock(a.VirtualS), clock(b.VirtualS))
	add("partitions", a.Summary.Partitions, b.Summary.Partitions)
	add("planted bugs", fmt.Sprint(a.Planted), fmt.Sprint(b.Planted))
	add("Go", a.Go, b.Go)
	if a.Exact && b.Exact && len(all) == 0 {
		add("program", a.Module, b.Module)
		add("trace", a.TraceHash, b.TraceHash)
	}
	return all
}

// comparison is a line of the table. All of it is text for people but for worse.
type comparison struct {
	name, a, b, change string
	worse              bool
}

func (s *sheet) compareFigures(a, b *scenario.Result) {
	var rows []comparison
	worse := 0
	of := figures(b)
	for i, f := range figures(a) {
		row := compare(f, of[i])
		if row.a == row.b && f.none {
			continue
		}
		if row.worse {
			worse++
		}
		rows = append(rows, row)
	}
	s.comparisons(comparison{name: "", a: "A", b: "B", change: "change"}, rows)
	s.line("")
	switch worse {
	case 0:
		s.line("no figure is worse by more than 10%")
	case 1:
		s.line("1 figure is worse by more than 10%")
	default:
		s.line(fmt.Sprintf("%d figures are worse by more than 10%%", worse))
	}
}

// compare holds figure b against a.
func compare(a, b figure) comparison {
	row := comparison{name: a.name, a: a.text(), b: b.text()}
	if a.none || b.none {
		return row
	}
	row.change = change(a.value, b.value)
	by := (b.value - a.value) / math.Abs(a.value) // infinite when a is 0
	row.worse = a.better == less && by > worseBy || a.better == more && by < -worseBy
	return row
}

// change writes how much more b is than a.
func change(a, b float64) string {
	switch by := 100 * (b - a) / math.Abs(a); {
	case a == b:
		return "="
	case math.IsInf(by, 0) || math.IsNaN(by):
		return "from 0"
	case by > 0:
		return "+" + decimals(by, 1) + "%"
	default:
		return decimals(by, 1) + "%"
	}
}

// comparisons writes lines below each other; the last column says what is worse.
func (s *sheet) comparisons(head comparison, rows []comparison) {
	var name, a, b, by int
	all := append([]comparison{head}, rows...)
	for _, row := range all {
		name, a = max(name, widest(row.name)), max(a, widest(row.a))
		b, by = max(b, widest(row.b)), max(by, widest(row.change))
	}
	for i, row := range all {
		text := left(row.name, name) + "  " + right(row.a, a) + "  " + right(row.b, b) + "  " + right(row.change, by)
		switch {
		case i == 0:
			s.painted(bold, text)
		case row.worse:
			s.painted(red, text+"  worse")
		default:
			s.line(text)
		}
	}
}

func (s *sheet) compareCodes(a, b *scenario.Result) {
	var rows []comparison
	for _, c := range append(codes(a), codes(b)...) {
		name := oneLine(c.Code)
		if slices.ContainsFunc(rows, func(row comparison) bool { return row.name == name }) {
			continue
		}
		x, y := float64(a.Summary.ByCode[c.Code]), float64(b.Summary.ByCode[c.Code])
		rows = append(rows, comparison{name: name, a: count(x), b: count(y), change: change(x, y)})
	}
	if len(rows) > 0 {
		s.line("")
		s.comparisons(comparison{name: "calls by code", a: "A", b: "B", change: "change"}, rows)
	}
}

// compareBroken tells which invariants broke in one run and not in the other.
func (s *sheet) compareBroken(a, b *scenario.Result) {
	if a.Held() && b.Held() {
		s.line("nothing broke in A, nothing in B")
		return
	}
	list := func(where string, r, other *scenario.Result, both bool) {
		for _, broken := range r.Broken {
			same := func(o scenario.Broken) bool { return o.Invariant == broken.Invariant }
			if slices.ContainsFunc(other.Broken, same) != both {
				continue
			}
			s.painted(red, where+": "+oneLine(broken.Invariant))
			s.line(fmt.Sprintf("  at %s%s, seed %d", clock(broken.AtS), often(broken.Count), r.Seed))
			s.detail(broken)
			if r.Replay != "" {
				s.line("  replay: " + oneLine(r.Replay))
			}
		}
	}
	list("broken in A only", a, b, false)
	list("broken in B only", b, a, false)
	list("broken in both, here A", a, b, true)
}
