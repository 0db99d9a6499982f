//go:build long && !race

package exact

// Whole programs are built for wasip1 and run: that takes a minute from a cold cache.
// The race detector makes wazero's compiler 40 times slower.

import (
	"bytes"
	"os"
	"path/filepath"
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

// The same sources in another folder, and with another cache, give the same
// program: a trace can be replayed on another machine.
func TestBuildIsTheSameAnywhere(t *testing.T) {
	a, b := newModule(t), newModule(t)
	sum, err := os.ReadFile(filepath.Join("..", "..", "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []module{a, b} {
		// What is replaced is told in the program, with its path.
		m.write("go.mod", "module "+ours+"\n\ngo 1.26.0\n\nrequire "+sockaddrModule+" v1.0.7\n")
		m.write("go.sum", string(sum))
		m.write("tiny/use.go", "package main\n\nimport _ \""+sockaddrModule+"\"\n")
		for _, name := range []string{"doc.go", "sockaddr.go", "rfc6890.go"} {
			text, err := os.ReadFile(filepath.Join("sockaddr", name))
			if err != nil {
				t.Fatal(err)
			}
			m.write(sockaddrFolder+"/"+name, string(text))
		}
	}
	p, _, err := a.build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	q, _, err := b.build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Wasm, q.Wasm) {
		t.Error("two folders give two programs")
	}
}
