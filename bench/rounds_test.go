package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1}, 5},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(slices.Clone(c.values)); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.values, got, c.want)
		}
	}
}

// TestRatioWithinRounds has a machine that gets twice as fast with each round:
// the ratio stays what it is.
func TestRatioWithinRounds(t *testing.T) {
	p := plan{sizes: []int{64}, callers: []int{1}}
	results := map[cell][]sample{}
	for round, speed := range []float64{1000, 2000, 4000} {
		limit, peer := cell{limitName, 64, 1}, cell{"rpcx", 64, 1}
		results[limit] = append(results[limit], sample{round: round, callsPerSecond: speed, p50: 3 * time.Microsecond})
		results[peer] = append(results[peer], sample{round: round, callsPerSecond: speed / 4, allocs: 2})
	}
	rows := p.rows(results)
	want := []row{
		{Peer: limitName, Size: 64, Callers: 1, Calls: 2000, P50: 3, Ratio: 1},
		{Peer: "rpcx", Size: 64, Callers: 1, Calls: 500, Allocs: 2, Ratio: 0.25},
	}
	if !slices.Equal(rows, want) {
		t.Errorf("rows %+v\nwant %+v", rows, want)
	}
}

// TestFailedMeasurement has a peer that fails in the second of three rounds: the
// others stay comparable round by round.
func TestFailedMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds := 0
		start := func(took time.Duration, fails bool) func(context.Context) (Peer, error) {
			return func(context.Context) (Peer, error) {
				if fails {
					if rounds++; rounds == 2 {
						return nil, errors.New("broken")
					}
				}
				return fake{took, same}, nil
			}
		}
		p := plan{
			peers:  []peerType{{limitName, start(time.Millisecond, false)}, {"rpcx", start(2*time.Millisecond, true)}},
			sizes:  []int{64},
			rounds: 3, callers: []int{4}, timing: timing{time.Second, time.Second},
		}
		rows, err := p.run(t.Context(), io.Discard)
		if err == nil || !strings.Contains(err.Error(), "round 2: rpcx, 64 B, 4 callers: broken") {
			t.Errorf("error %v", err)
		}
		if len(rows) != 2 || rows[1].Ratio < 0.49 || rows[1].Ratio > 0.51 {
			t.Errorf("rows %+v", rows)
		}
	})
}

// TestShareOfBudget holds the time of all cells to the budget, whatever each
// takes on top.
func TestShareOfBudget(t *testing.T) {
	p := plan{budget: 42 * time.Second}
	var elapsed time.Duration
	for left := 300; left > 0; left-- {
		s := p.share(elapsed, left)
		elapsed += s.warm + s.window + 40*time.Millisecond
	}
	if elapsed < 25*time.Second || elapsed > 43*time.Second {
		t.Errorf("all cells took %v", elapsed)
	}
	p = plan{timing: timing{1, 2}}
	if got := p.share(time.Hour, 1); got != p.timing {
		t.Errorf("timing without a budget: %v", got)
	}
}

func someRows() []row {
	return []row{
		{"limit", 64, 64, 1234567.8, 39.4, 118, 0.754, 0.01, 1},
		{"mesh-typed", 64, 64, 200000, 9.87654, 1500, 0, 7.2, 0.162},
		{"a<b&\"c\"", 64, 512, 999, 5, 6, 7, 8, 0},
	}
}

func TestTables(t *testing.T) {
	var b strings.Builder
	if err := writeTables(&b, someRows()); err != nil {
		t.Fatal(err)
	}
	want := `64 B, 64 callers
peer          calls/s  p50 µs  p99 µs  CPU µs/call  allocs/call  of the limit
limit       1,234,568    39.4     118         0.75          0.0         1.000
mesh-typed    200,000    9.88   1,500            -          7.2         0.162

64 B, 512 callers
peer     calls/s  p50 µs  p99 µs  CPU µs/call  allocs/call  of the limit
a<b&"c"      999    5.00    6.00         7.00          8.0             -
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := writeJSON(&b, someRows()); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"peer", "size", "callers", "calls_per_s", "p50_us", "p99_us", "cpu_us", "allocs", "ratio_to_limit"} {
		if _, ok := got[0][key]; !ok {
			t.Errorf("no %q in %v", key, got[0])
		}
	}
	b.Reset()
	if err := writeJSON[row](&b, nil); err != nil || strings.TrimSpace(b.String()) != "[]" {
		t.Errorf("no rows are %q, %v", b.String(), err)
	}
}

func TestChartIsXML(t *testing.T) {
	chart, err := drawChart(someRows())
	if err != nil {
		t.Fatal(err)
	}
	bars := 0
	for dec := xml.NewDecoder(bytes.NewReader(chart)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, chart)
		}
		if el, ok := token.(xml.StartElement); ok && el.Name.Local == "rect" {
			bars++
		}
	}
	if bars != len(someRows()) {
		t.Errorf("%d bars in\n%s", bars, chart)
	}
	if _, err := drawChart([]row{{Peer: "limit", Size: 1024, Callers: 64}}); err == nil {
		t.Error("a chart of nothing")
	}
}

// TestRun goes through the whole program with two real peers.
func TestRun(t *testing.T) {
	svg := filepath.Join(t.TempDir(), "chart.svg")
	var out, progress bytes.Buffer
	args := []string{
		"--peers", "limit,net-rpc", "--sizes", "64", "--callers", "1,8", "--rounds", "2", "--time", "25ms", "--json", "--svg", svg,
	}
	if err := run(t.Context(), args, &out, &progress); err != nil {
		t.Fatal(err)
	}
	var rows []row
	if err := json.Unmarshal(out.Bytes(), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4 {
		t.Fatalf("%d rows, want 4: %+v", len(rows), rows)
	}
	for _, r := range rows {
		if r.Calls <= 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Ratio <= 0 {
			t.Errorf("row %+v", r)
		}
	}
	if info, err := os.Stat(svg); err != nil || info.Size() == 0 {
		t.Errorf("chart: %v, %v", info, err)
	}
	if !strings.Contains(progress.String(), "8 of 8") {
		t.Errorf("progress %q", progress.String())
	}
}

func TestFlagsRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--sizes", "1"},
		{"--sizes", "0x"},
		{"--callers", "0"},
		{"--rounds", "0"},
		{"--time", "1ms"},
		{"--messages", "0"},
		{"--streams", "--svg", "x"},
		{"--streams", "--peers", "limit"},
		{"--peers", "corba"},
		{"more"},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
