package report

import (
	"bytes"
	_ "embed" // for the template and the style sheet
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/meshnode/meshnode/sim/scenario"
)

//go:embed page.html
var pageHTML string

//go:embed plot.html
var plotHTML string

//go:embed page.css
var pageCSS string

// maxRows bounds the tables of a page.
const maxRows = 200

// page is what the template gets. Texts in it come from files of others and are
// escaped there.
type page struct {
	*scenario.Result

	Style    template.CSS // ours
	Verdict  string
	Sure     bool // that all held: each invariant was looked at
	Run      string
	Tiles    []tile
	Plots    []*plot
	Timeline *timeline
	Faults   []row
	Rest     int // faults that are not listed
	Checks   []invariant
	Figures  []row
	Codes    []row
	Samples  [][]string
	Every    int // how many samples a row of Samples stands for
}

// tile is a figure that is seen first.
type tile struct{ Name, Value, Note string }

// row is a line of a table.
type row struct{ Name, Value, Note string }

// invariant is one and what became of it.
type invariant struct {
	Name, Meaning, Times, State string
	Broken                      bool
}

// HTML writes a run as one page that needs nothing else: no script, no request.
// It is written at once at the end. The error is the writer's.
func HTML(w io.Writer, r *scenario.Result) error {
	all, err := template.New("page").Parse(pageHTML)
	if err == nil {
		_, err = all.New("plots").Parse(plotHTML)
	}
	if err != nil {
		return fmt.Errorf("report: the template: %w", err)
	}
	var b bytes.Buffer
	if err := all.Execute(&b, newPage(r)); err != nil {
		return fmt.Errorf("report: the template: %w", err)
	}
	_, err = w.Write(bytes.Map(visible, b.Bytes()))
	return err
}

// visible drops what is not seen but changes what is: a text of others could show
// a command that is not the one that is copied.
func visible(r rune) rune {
	if r == 0xfffe || r == 0xffff || r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf) {
		return ' '
	}
	return r
}

func newPage(r *scenario.Result) *page {
	f := newFrame(r)
	p := &page{
		Sure:   sure(r),
		Result: r, Style: template.CSS(pageCSS), Verdict: verdict(r), Run: runLine(r),
		Tiles: tiles(r), Plots: plots(f, r), Timeline: f.timeline(r), Checks: invariants(r),
	}
	for _, fault := range r.Faults[:min(len(r.Faults), maxRows)] {
		p.Faults = append(p.Faults, row{faultTime(fault), fault.Do, faultDetail(fault, 12)})
	}
	p.Rest = len(r.Faults) - len(p.Faults)
	for _, f := range figures(r) {
		p.Figures = append(p.Figures, row{f.name, f.text(), f.note})
	}
	all := codes(r)
	total := 0
	for _, c := range all {
		total += c.Calls
	}
	for _, c := range all {
		p.Codes = append(p.Codes, row{c.Code, count(float64(c.Calls)), percent(part(c.Calls, total))})
	}
	p.Every = max((len(r.Series.T)+maxRows-1)/maxRows, 1)
	p.Samples = samples(&r.Series, p.Every)
	return p
}

// tiles gives the figures that a reader looks for first.
func tiles(r *scenario.Result) []tile {
	all := figures(r)
	var out []tile
	for _, name := range []string{
		"availability", "detection time", "convergence", "false positives",
		"latency p50", "latency p99", "latency max", "moved partitions", "gossip per node", "virtual/wall",
	} {
		f := named(all, name)
		if f.name == "virtual/wall" {
			f.note = clock(r.VirtualS) + " in " + seconds(r.WallS)
		}
		if f.none {
			f.note = "not in this run"
		}
		out = append(out, tile{f.name, f.text(), f.note})
	}
	return out
}

// named finds a figure by its name.
func named(all []figure, name string) figure {
	i := slices.IndexFunc(all, func(f figure) bool { return f.name == name })
	if i < 0 {
		return figure{name: name, none: true}
	}
	return all[i]
}

// invariants gives those that were checked, and then what broke besides:
// expectations of the scenario.
func invariants(r *scenario.Result) []invariant {
	broken := map[string]scenario.Broken{}
	for _, b := range r.Broken {
		broken[b.Invariant] = b
	}
	var all []invariant
	for _, c := range r.Checked {
		i := invariant{Name: c.Invariant, Meaning: c.Meaning, Times: count(float64(c.Times)), State: "held"}
		if c.Times == 0 {
			i.State = "never looked at"
		}
		if b, ok := broken[c.Invariant]; ok {
			i.State, i.Broken = "broken at "+clock(b.AtS), true
			delete(broken, c.Invariant)
		}
		all = append(all, i)
	}
	for _, b := range r.Broken {
		if _, ok := broken[b.Invariant]; ok {
			all = append(all, invariant{Name: b.Invariant, State: "broken at " + clock(b.AtS), Broken: true})
			delete(broken, b.Invariant)
		}
	}
	return all
}

// samples gives the raw series, the first of every so many samples.
func samples(s *scenario.Series, every int) [][]string {
	var rows [][]string
	for i := 0; i < len(s.T); i += every {
		rows = append(rows, []string{
			decimals(s.T[i], 1),
			cell(s.Live, i, count), cell(s.SeenMin, i, count), cell(s.SeenMean, i, threeOrWhole), cell(s.SeenMax, i, count),
			cell(s.Tables, i, count), cell(s.Calls, i, count), cell(s.Failed, i, count),
			cell(s.P50Ms, i, threeDigits), cell(s.P99Ms, i, threeDigits), cell(s.MaxMs, i, threeDigits),
			cell(s.Moved, i, count), cell(s.GossipPerSec, i, count),
		})
	}
	return rows
}

// cell writes a value if there is one.
func cell[T int | float64](values []T, i int, u unit) string {
	if i >= len(values) {
		return ""
	}
	return u(float64(values[i]))
}

// OftenText says how often something broke, for the template.
func (p *page) OftenText(b scenario.Broken) string { return strings.TrimSpace(often(b.Count)) }

// AtText writes a time of the run, for the template.
func (p *page) AtText(at float64) string { return clock(at) }
