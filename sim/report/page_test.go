package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/meshnode/meshnode/sim/report"
	"github.com/meshnode/meshnode/sim/scenario"
)

var pageDir = flag.String("pages", "", "a folder to write sample pages to, to be looked at")

// keep writes a page to where it can be looked at.
func keep(t *testing.T, name, page string) {
	t.Helper()
	if *pageDir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*pageDir, name+".html"), []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

func html(t *testing.T, r *scenario.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wellFormed reads a page as XML, which it is as well: each tag is closed, each
// attribute quoted. It gives the number of each element and all texts of titles.
func wellFormed(t *testing.T, page string) (elements map[string]int, titles []string) {
	t.Helper()
	elements = map[string]int{}
	d := xml.NewDecoder(strings.NewReader(page))
	inTitle := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return elements, titles
		}
		if err != nil {
			t.Fatalf("not well formed: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
			inTitle = token.Name.Local == "title"
			checkElement(t, token)
		case xml.CharData:
			if inTitle {
				titles = append(titles, string(token))
			}
		case xml.EndElement:
			inTitle = false
		}
	}
}

// paths are the path data that this package writes.
var paths = regexp.MustCompile(`^([MLVhvHZ ]|-?[0-9]+(\.[0-9]+)?)*$`)

// checkElement looks for places that are no numbers, and for what a browser
// would fetch or run.
func checkElement(t *testing.T, e xml.StartElement) {
	t.Helper()
	img, label := false, false
	for _, a := range e.Attr {
		switch name := a.Name.Local; {
		case name == "d" && !paths.MatchString(a.Value):
			t.Errorf("<%s d=%q>", e.Name.Local, a.Value)
		case name == "x" || name == "y" || name == "width" || name == "x1" || name == "y1":
			if v, err := strconv.ParseFloat(strings.TrimSuffix(a.Value, "%"), 64); err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("<%s %s=%q>", e.Name.Local, name, a.Value)
			}
		case name == "src" || name == "href" || name == "action" || name == "style" || strings.HasPrefix(name, "on"):
			t.Errorf("<%s %s=%q>", e.Name.Local, name, a.Value)
		case name == "role":
			img = a.Value == "img"
		case name == "aria-label":
			label = a.Value != ""
		}
	}
	if img && !label {
		t.Errorf("<%s role=img> without a label", e.Name.Local)
	}
}

func TestHTML(t *testing.T) {
	for name, r := range map[string]*scenario.Result{"held": splitBrain(), "broken": brokenSplitBrain()} {
		page := html(t, r)
		keep(t, name, page)
		elements, titles := wellFormed(t, page)
		if elements["figure"] != 7 || elements["script"] != 0 || elements["style"] != 1 || elements["details"] != 4 {
			t.Errorf("%s: %v", name, elements)
		}
		for _, bad := range []string{"http:", "https:", "url(", "@import", "//", "NaN", "Inf"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page has %q", name, bad)
			}
		}
		if all := strings.Join(titles, "\n"); !strings.Contains(all, "mean seen: 10\n") || !strings.Contains(all, "partition 30.0 – 70.0 s") {
			t.Errorf("%s: values are missing in the titles:\n%s", name, all)
		}
		if len(page) > 400<<10 {
			t.Errorf("%s: %d KiB", name, len(page)>>10)
		}
	}
}

func TestHTMLBroken(t *testing.T) {
	r := brokenSplitBrain()
	page := html(t, r)
	box, _, _ := strings.Cut(page[strings.Index(page, `<section class="verdict broken"`):], "</section>")
	for _, want := range []string{
		"owner-executes", "at 74.2 s", "the first of 79 times", "cart-8812", "with seed 43",
		"<code>meshnode sim split-brain --nodes 10 --seed 43 --duration 2m0s --exact</code>", "3 invariants broken, 5 held",
	} {
		if !strings.Contains(box, want) {
			t.Errorf("the box of what broke has no %q:\n%s", want, box)
		}
	}
	if !strings.Contains(page, "<td><b>expect availability ≥ 99%</b></td><td>broken at 120.0 s</td>") {
		t.Error("an expectation that broke is not among the invariants")
	}
	if page := html(t, splitBrain()); !strings.Contains(page, "all 7 invariants held (checked 64,701 times)") || strings.Contains(page, "verdict broken") {
		t.Error("a run that held does not say so")
	}
}

func TestHTMLEscapes(t *testing.T) {
	page := html(t, hostile())
	keep(t, "hostile", page)
	elements, _ := wellFormed(t, page)
	if elements["script"]+elements["img"] != 0 || strings.Contains(page, "<script") || strings.Contains(page, "<img") {
		t.Error("markup comes through")
	}
	if i := strings.IndexFunc(page, func(r rune) bool { return r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf) }); i >= 0 {
		t.Errorf("%q comes through", page[i:i+4])
	}
}

// TestHTMLAnything shows that no series has to be there, and that no value is too
// odd.
func TestHTMLAnything(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	long := scenario.Series{}
	var faults []scenario.FaultRecord
	for i := range 300 {
		faults = append(faults, scenario.FaultRecord{Do: []string{"pause", "flap", "loss"}[i%3], AtS: float64(3 * i), UntilS: float64(3*i + i%5)})
	}
	for i := range 10000 {
		long.T = append(long.T, float64(i)/10)
		long.P50Ms = append(long.P50Ms, float64(i%7))
		long.Moved = append(long.Moved, i%13)
		long.SeenMin, long.SeenMax = append(long.SeenMin, i%3), append(long.SeenMax, 10-i%3)
		long.Calls, long.Failed = append(long.Calls, 10), append(long.Failed, i/9999)
	}
	for name, r := range map[string]*scenario.Result{
		"nothing":   {},
		"no number": {VirtualS: nan, Series: scenario.Series{T: []float64{nan, 1, inf}, P50Ms: []float64{nan, inf, 1}, GossipPerSec: []float64{1, nan, -inf}}},
		"endless":   {VirtualS: inf, Faults: []scenario.FaultRecord{{AtS: nan, UntilS: inf}, {AtS: -1, UntilS: nan}}},
		"uneven":    {Series: scenario.Series{T: []float64{1, 2}, SeenMin: []int{1}, SeenMax: []int{2, 3, 4}, Live: []int{1, 2, 3, 4}, Calls: []int{1, 2, 3}, Failed: []int{1}}},
		"one":       {Series: scenario.Series{T: []float64{0}, SeenMin: []int{1}, SeenMax: []int{1}, MaxMs: []float64{3}, GossipPerSec: []float64{0}}},
		"small":     {VirtualS: 5e-324, Series: scenario.Series{T: []float64{5e-324}, MaxMs: []float64{5e-324}, GossipPerSec: []float64{5e-324}}},
		"large":     {VirtualS: 1e308, Series: scenario.Series{T: []float64{1, 1e308}, MaxMs: []float64{1e-8, 1e14}, Calls: []int{math.MaxInt, 1}, Failed: []int{0, math.MinInt}}},
		"long":      {VirtualS: 1000, Series: long, Faults: faults},
	} {
		t.Run(name, func(t *testing.T) {
			page := html(t, r)
			keep(t, name, page)
			if elements, _ := wellFormed(t, page); elements["figure"] != 7 {
				t.Errorf("%v", elements)
			}
			if len(page) > 600<<10 {
				t.Errorf("%d KiB", len(page)>>10)
			}
			text(t, r, 80)
			compared(t, r, splitBrain(), 80)
			if name == "nothing" && (!strings.Contains(page, ">no calls</text>") || !strings.Contains(page, ">no samples</text>")) {
				t.Error("an empty plot does not say that it is empty")
			}
		})
	}
}
