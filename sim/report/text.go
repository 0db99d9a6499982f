package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/meshnode/meshnode/sim/scenario"
)

// Style is how text is written.
type Style uint8

// Coloured makes headings bold and what broke red, by codes that terminals take.
const Coloured Style = 1

// Lists on a terminal end after so many lines, and say how many are left.
const (
	maxFaultLines = 20
	maxFaultNodes = 4
)

// Text writes the summary of a run for a terminal of so many columns; 0 means 80,
// and it is never made for fewer than 40. There are no colours unless Coloured is
// given. The error is the writer's.
func Text(w io.Writer, r *scenario.Result, columns int, styles ...Style) error {
	s := newSheet(columns, styles)
	s.header(r)
	s.figures(r)
	s.codes(r)
	s.faults(r)
	s.invariants(r)
	return s.writeTo(w)
}

func (s *sheet) header(r *scenario.Result) {
	s.painted(bold, oneLine(r.Scenario))
	if r.Story != "" {
		s.wrapped("", oneLine(r.Story))
	}
	s.line("")
	s.wrapped("", runLine(r))
	for _, bug := range r.Planted {
		s.wrapped("planted bug: ", oneLine(bug))
	}
	for _, warning := range r.Warnings {
		s.wrapped("warning: ", oneLine(warning))
	}
	s.line("")
}

// runLine says what ran: how many nodes, from which seed, for how long.
func runLine(r *scenario.Result) string {
	parts := []string{fmt.Sprintf("seed %d", r.Seed), plural(r.Nodes, "node", "nodes")}
	if r.Profile != "" {
		parts = append(parts, "profile "+oneLine(r.Profile))
	}
	parts = append(parts, fmt.Sprintf("%s virtual in %s wall (%s)", clock(r.VirtualS), seconds(r.WallS), times(r.Ratio)))
	if r.TraceHash != "" {
		kind := "trace"
		if r.Exact {
			kind = "exact trace"
		}
		parts = append(parts, fmt.Sprintf("%s %s of %s", kind, oneLine(r.TraceHash), plural(r.Events, "event", "events")))
	}
	return strings.Join(parts, ", ")
}

func (s *sheet) figures(r *scenario.Result) {
	var shown []figure
	name, value := 0, 0
	for _, f := range figures(r) {
		if !f.minor {
			shown = append(shown, f)
			name, value = max(name, widest(f.name)), max(value, widest(f.text()))
		}
	}
	for _, f := range shown {
		s.wrapped(left(f.name, name)+"  "+right(f.text(), value)+"  ", f.note)
	}
}

func (s *sheet) codes(r *scenario.Result) {
	all := codes(r)
	if len(all) == 0 {
		return
	}
	s.line("")
	s.painted(bold, "calls by code")
	var names, numbers []string
	total := 0
	for _, c := range all {
		names = append(names, oneLine(c.Code))
		numbers = append(numbers, count(float64(c.Calls)))
		total += c.Calls
	}
	name, number := widest(names...), widest(numbers...)
	for i, c := range all {
		s.line("  " + left(names[i], name) + "  " + right(numbers[i], number) + "  " + right(percent(part(c.Calls, total)), 8))
	}
}

// part gives n of total, and 0 of nothing.
func part(n, total int) float64 {
	if total == 0 {
		return 0
	}
	return float64(n) / float64(total)
}

func (s *sheet) faults(r *scenario.Result) {
	if len(r.Faults) == 0 {
		return
	}
	s.line("")
	s.painted(bold, "faults")
	shown := r.Faults[:min(len(r.Faults), maxFaultLines)]
	var from, until, what []string
	for _, f := range shown {
		from = append(from, clock(f.AtS))
		end := ""
		if f.UntilS > f.AtS {
			end = "– " + clock(f.UntilS)
		}
		until = append(until, end)
		what = append(what, oneLine(f.Do))
	}
	for i, f := range shown {
		lead := "  " + right(from[i], widest(from...)) + " " + left(until[i], widest(until...)) + "  " + left(what[i], widest(what...)) + "  "
		s.wrapped(lead, oneLine(faultDetail(f, maxFaultNodes)))
	}
	if rest := len(r.Faults) - len(shown); rest > 0 {
		s.line(fmt.Sprintf("  … and %s", plural(rest, "more fault", "more faults")))
	}
}

// faultDetail says whom a fault hit and how.
func faultDetail(f scenario.FaultRecord, nodes int) string {
	text := list(f.Nodes, nodes)
	if text != "" && f.Detail != "" {
		text += ": "
	}
	return text + f.Detail
}

func (s *sheet) invariants(r *scenario.Result) {
	s.line("")
	if r.Held() {
		if sure(r) {
			s.painted(green, verdict(r))
		} else {
			s.wrapped("", verdict(r))
		}
		return
	}
	for _, b := range r.Broken {
		s.painted(red, "BROKEN "+oneLine(b.Invariant))
		s.line(fmt.Sprintf("  at %s of virtual time%s, seed %d", clock(b.AtS), often(b.Count), r.Seed))
		s.detail(b)
		if r.Replay != "" {
			s.line("  replay: " + oneLine(r.Replay))
		}
	}
	s.line("")
	s.wrapped("", verdict(r))
}

// detail says how an invariant broke.
func (s *sheet) detail(b scenario.Broken) {
	if text := oneLine(b.Detail); text != "" {
		s.wrapped("  ", text)
	}
}

// often says that something was seen more than once.
func often(n int) string {
	if n <= 1 {
		return ""
	}
	return " (the first of " + plural(n, "time", "times") + ")"
}
