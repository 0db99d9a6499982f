package exact

import (
	"strings"
	"testing"
)

// replayed is a small scenario in which much happens.
const replayed = `
name: replayed
nodes: 5
profile: local
duration: 15s
partitions: 1024
link: {latency: pareto 200us 2, loss: 0.01}
workload: {rate: 100, writes: 0.5, work: uniform 0s 10ms}
timeline:
  - {at: 2s, do: crash, nodes: last, for: 4s}
  - {at: 9s, do: partition, nodes: 0-1, for: 2s}
`

// A cluster does the same thing each time: every packet, every byte of every
// stream, every call, at the same nanosecond.
func TestReplay(t *testing.T) {
	slow(t)
	if raceDetector {
		t.Skip("NOT TESTED with -race, which makes wazero's compiler 40 times slower; TestRun is")
	}
	l := newLab(t)
	p := l.program(t, DefaultPackage)
	simulate := func(seed uint64) ran {
		t.Helper()
		r := l.run(t.Context(), p, RunConfig{Args: []string{"trace"}, Seed: seed, Stdin: strings.NewReader(replayed)})
		if r.err != nil {
			t.Fatalf("%v\n%s", r.err, r.stderr)
		}
		if !strings.Contains(r.stdout, `"broken":[]`) {
			t.Errorf("something broke: %s", r.stdout)
		}
		return r
	}
	first := simulate(1)
	t.Logf("%d events, %+v, program %s by %s", strings.Count(first.stderr, "\nt "), *first.res, p.Hash, p.GoVersion)
	for i := range 2 {
		if again := simulate(1); again.stderr != first.stderr || again.stdout != first.stdout {
			t.Fatalf("run %d differs, from this line on: %s", i+2, firstDifference(first.stderr+first.stdout, again.stderr+again.stdout))
		}
	}
	if other := simulate(2); other.stderr == first.stderr {
		t.Error("another seed gives the same trace")
	}
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
