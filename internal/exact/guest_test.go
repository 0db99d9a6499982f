package exact

import (
	"strings"
	"testing"
)

// A cluster does the same thing each time: every packet, every byte of every
// stream, every line of every log, at the same nanosecond.
func TestReplay(t *testing.T) {
	slow(t)
	if raceDetector {
		t.Skip("NOT TESTED with -race, which makes wazero's compiler 40 times slower; TestRun is")
	}
	l := newLab(t)
	p := l.program(t, "./internal/exact/guest")
	var first ran
	for i := range 3 {
		r := l.run(t.Context(), p, RunConfig{Args: nodes(5), Seed: 1})
		if r.err != nil {
			t.Fatalf("%v\n%s", r.err, r.stderr)
		}
		if i == 0 {
			first = r
			t.Logf("%d events, %+v", strings.Count(r.stdout, "\n"), *r.res)
		} else if r.stdout != first.stdout {
			t.Fatalf("run %d differs, from this line on: %s", i+1, firstDifference(first.stdout, r.stdout))
		}
	}
	other := l.run(t.Context(), p, RunConfig{Args: nodes(5), Seed: 2})
	if other.err != nil {
		t.Fatalf("%v\n%s", other.err, other.stderr)
	}
	if other.stdout == first.stdout {
		t.Error("another seed gives the same trace")
	}
	t.Logf("hash %s of %s", p.Hash, p.GoVersion)
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + "\nand\n" + y[i]
		}
	}
	return "one is the beginning of the other"
}
