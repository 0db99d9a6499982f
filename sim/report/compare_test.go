package report_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/sim/report"
	"github.com/meshnode/meshnode/sim/scenario"
)

func compared(t *testing.T, a, b *scenario.Result, columns int) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.Compare(&out, a, b, columns); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCompare(t *testing.T) {
	golden(t, "compare.txt", compared(t, splitBrain(), brokenSplitBrain(), 100))
	golden(t, "same.txt", compared(t, splitBrain(), splitBrain(), 80))
}

func TestCompareMarks(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*scenario.Result)
		line   string // begins so
		worse  bool
	}{
		{"a tenth is no mark", func(r *scenario.Result) { r.Summary.P99Ms *= 1.1 }, "latency p99", false},
		{"more is one", func(r *scenario.Result) { r.Summary.P99Ms *= 1.11 }, "latency p99", true},
		{"less is better", func(r *scenario.Result) { r.Summary.P99Ms /= 5 }, "latency p99", false},
		{"slower", func(r *scenario.Result) { r.Ratio *= 0.8 }, "virtual/wall", true},
		{"faster", func(r *scenario.Result) { r.Ratio *= 3 }, "virtual/wall", false},
		{"lost calls", func(r *scenario.Result) { r.Summary.Availability -= 0.01 }, "failed calls", true},
		{"from none", func(r *scenario.Result) { r.Summary.MovedRequired = r.Summary.MovedPartitions - 4000 }, "needless moves", true},
		{"no crash any more", func(r *scenario.Result) { r.Summary.DetectionS = nil }, "detection time", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := splitBrain()
			c.change(b)
			for _, line := range strings.Split(compared(t, splitBrain(), b, 80), "\n") {
				if strings.HasPrefix(line, c.line) {
					if strings.HasSuffix(line, "worse") != c.worse {
						t.Errorf("worse should be %v: %s", c.worse, line)
					}
					return
				}
			}
			t.Errorf("no line begins with %q", c.line)
		})
	}
}

func TestCompareBroken(t *testing.T) {
	held, broken := splitBrain(), brokenSplitBrain()
	other := brokenSplitBrain()
	other.Broken = other.Broken[:1]
	for _, c := range []struct {
		a, b *scenario.Result
		want []string
	}{
		{held, held, []string{"nothing broke in A, nothing in B"}},
		{held, broken, []string{"broken in B only: owner-executes", "broken in B only: fingerprint-agreement"}},
		{broken, held, []string{"broken in A only: owner-executes"}},
		{broken, other, []string{"broken in A only: owner-executes", "broken in both, here A: fingerprint-agreement"}},
	} {
		got := compared(t, c.a, c.b, 80)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%q is missing:\n%s", want, got)
			}
		}
	}
}

func TestCompareTraces(t *testing.T) {
	a, b := brokenSplitBrain(), brokenSplitBrain()
	b.TraceHash = "0123"
	if got := compared(t, a, b, 80); !strings.Contains(got, "differs: trace, 9f3a61c0d4e7 against 0123") {
		t.Errorf("two exact runs of one seed differ, and nothing says so:\n%s", got)
	}
}
