package report_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/meshnode/meshnode/sim/report"
	"github.com/meshnode/meshnode/sim/scenario"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.ReplaceAll(string(want), "\r\n", "\n"); text != got {
		t.Errorf("%s differs; write it anew with -update and look at the difference. Now it is:\n%s", name, got)
	}
}

func text(t *testing.T, r *scenario.Result, columns int, styles ...report.Style) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Text(&b, r, columns, styles...); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What a run had no occasion to check is told apart from what broke.
func TestTextUnchecked(t *testing.T) {
	r := splitBrain()
	r.Checked[0].Times = 0
	got := text(t, r, 200)
	if want := "all 6 invariants held that this run could check"; !strings.Contains(got, want) {
		t.Errorf("the verdict lacks %q:\n%s", want, got)
	}
	if want := "nothing to check for: " + r.Checked[0].Invariant; !strings.Contains(got, want) {
		t.Errorf("the verdict lacks %q:\n%s", want, got)
	}
}

func TestText(t *testing.T) {
	golden(t, "held.txt", text(t, splitBrain(), 100))
	golden(t, "broken.txt", text(t, brokenSplitBrain(), 80))
	golden(t, "empty.txt", text(t, &scenario.Result{Scenario: "nothing", Nodes: 1}, 0))
}

func TestTextColours(t *testing.T) {
	for name, r := range map[string]*scenario.Result{"held": splitBrain(), "broken": brokenSplitBrain()} {
		coloured := text(t, r, 80, report.Coloured)
		if !strings.Contains(coloured, "\x1b[") {
			t.Errorf("%s: no colours", name)
		}
		var b strings.Builder
		for rest := coloured; rest != ""; {
			before, after, found := strings.Cut(rest, "\x1b[")
			b.WriteString(before)
			if rest = ""; found {
				_, rest, _ = strings.Cut(after, "m")
			}
		}
		if want := text(t, r, 80); b.String() != want {
			t.Errorf("%s: without its colours it is\n%s\nnot\n%s", name, b.String(), want)
		}
	}
}

func TestTextFits(t *testing.T) {
	for _, columns := range []int{40, 60, 80, 120} {
		for i, line := range strings.Split(text(t, brokenSplitBrain(), columns), "\n") {
			if n := utf8.RuneCountInString(line); n > columns && !strings.Contains(line, "replay: ") && columns >= 60 {
				t.Errorf("%d columns: line %d has %d: %s", columns, i+1, n, line)
			}
		}
	}
}

func TestTextHarmless(t *testing.T) {
	for name, got := range map[string]string{"text": text(t, hostile(), 80), "compare": compared(t, hostile(), splitBrain(), 80)} {
		for _, r := range got {
			if r != '\n' && r < ' ' || r == 0x7f || r == '\u202e' {
				t.Fatalf("%s: %q comes through:\n%q", name, r, got)
			}
		}
	}
}

func TestManyFaults(t *testing.T) {
	r := splitBrain()
	for i := range 100 {
		r.Faults = append(r.Faults, scenario.FaultRecord{Do: "pause", AtS: float64(i), UntilS: float64(i) + 0.5, Nodes: make([]string, 30)})
	}
	got := text(t, r, 80)
	if !strings.Contains(got, "… and 84 more faults") || !strings.Contains(got, "and 26 more") {
		t.Errorf("the list of faults has no end:\n%s", got)
	}
}
