package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/sim/scenario"
)

// noBubbles skips, aloud, what runs bubbles of testing/synctest under the race
// detector, which they can crash.
func noBubbles(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("SKIPPED under -race: bubbles of testing/synctest can crash the race detector (golang/go issue 76691)")
	}
}

func TestSim(t *testing.T) {
	noBubbles(t)
	page, trace := filepath.Join(t.TempDir(), "page.html"), filepath.Join(t.TempDir(), "trace.txt")
	text := succeeds(t, "sim", "crash-one", "--nodes", "4", "--duration", "20s", "--set", "workload.rate=50", "--html", page, "--trace", trace)
	for _, want := range []string{"crash-one", "4 nodes", "availability", "detection time", "invariants held", page} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, file := range []string{page, trace} {
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestSimJSON(t *testing.T) {
	noBubbles(t)
	r := decoded[map[string]any](t, succeeds(t, "sim", "steady", "--nodes", "3", "--duration", "5s", "--seed", "9", "-o", "json"))
	for _, field := range []string{"scenario", "seed", "nodes", "virtual_s", "wall_s", "trace_hash", "broken"} {
		if _, ok := r[field]; !ok {
			t.Errorf("no field %q", field)
		}
	}
	if broken, ok := r["broken"].([]any); !ok || len(broken) != 0 {
		t.Errorf("broken: %v", r["broken"])
	}
	if r["seed"] != 9.0 || r["nodes"] != 3.0 || r["replay"] != "meshnode sim steady --nodes 3 --seed 9 --duration 5s" {
		t.Errorf("seed %v, nodes %v, replay %v", r["seed"], r["nodes"], r["replay"])
	}
}

// What breaks is named, with the command that runs it again, and ends with 1.
func TestSimBroken(t *testing.T) {
	noBubbles(t)
	args := []string{"sim", "crash-one", "--nodes", "4", "--duration", "15s", "--set", "profile=local", "--plant", "retry-ambiguous", "--set", "workload={rate: 400, writes: 1, work: 20ms}"}
	r := program(t, "", args...)
	if r.status != exitFailure || !strings.Contains(r.out, "BROKEN "+scenario.InvOnce) || !strings.Contains(r.out, "--plant retry-ambiguous") {
		t.Errorf("status %d\n%s%s", r.status, r.out, r.errOut)
	}
	r = program(t, "", append(args, "-o", "json")...)
	if r.status != exitFailure || !strings.Contains(r.out, `"invariant": "once"`) || !strings.Contains(r.errOut, "error") {
		t.Errorf("status %d\n%s", r.status, r.errOut)
	}
}

func TestSimCompare(t *testing.T) {
	noBubbles(t)
	var files []string
	for _, seed := range []string{"1", "2"} {
		file := filepath.Join(t.TempDir(), seed+".json")
		out := succeeds(t, "sim", "steady", "--nodes", "3", "--duration", "5s", "--seed", seed, "-o", "json")
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if text := succeeds(t, "sim", "compare", files[0], files[1]); !strings.Contains(text, "availability") {
		t.Errorf("got\n%s", text)
	}
	if r := program(t, "", "sim", "compare", files[0]); r.status != exitUsage {
		t.Errorf("status %d: %s", r.status, r.errOut)
	}
}

// A planted bug is found by processes of this program, and the file that comes of it
// breaks the same invariant.
func TestSimFuzz(t *testing.T) {
	noBubbles(t)
	t.Setenv(actAsProgram, "yes")
	file := filepath.Join(t.TempDir(), "found.yaml")
	r := program(t, "", "sim", "fuzz", "--runs", "50", "--seed", "6", "--workers", "1", "--plant", "serve-foreign", "--out", file, "-o", "json")
	found := decoded[fuzzJSON](t, r.out)
	if r.status != exitFailure || found.Faults > 5 || len(found.Broken) == 0 || found.Broken[0].Invariant != scenario.InvOwnership {
		t.Fatalf("status %d, %+v %s", r.status, found, r.errOut)
	}
	if again := program(t, "", "sim", file); again.status != exitFailure || !strings.Contains(again.out, "BROKEN ownership") {
		t.Errorf("status %d\n%s%s", again.status, again.out, again.errOut)
	}
}

func TestSimUsage(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("name: x\nnodes: 3\nduration: 5s\nnoodles: 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"sim"}, exitUsage, "want one scenario"},
		{[]string{"sim", "nonsense"}, exitUsage, "neither a file nor one of the shipped scenarios"},
		{[]string{"sim", bad}, exitFailure, `line 4, column 1: unknown field "noodles"`},
		{[]string{"sim", "steady", "--set", "workload.rate=fast"}, exitFailure, "workload"},
		{[]string{"sim", "steady", "--nodes", "-1"}, exitFailure, "nodes: -1"},
		{[]string{"sim", "steady", "--plant", "fleas"}, exitFailure, "stale-table"},
		{[]string{"sim", "fuzz", "--runs", "0"}, exitUsage, "above 0"},
	} {
		r := program(t, "", c.args...)
		if r.status != c.status || !strings.Contains(r.errOut, c.want) {
			t.Errorf("%q: status %d, %s", c.args, r.status, r.errOut)
		}
	}
	names := decoded[[]listedJSON](t, succeeds(t, "sim", "list", "-o", "json"))
	if len(names) != len(scenario.Names()) || !strings.Contains(succeeds(t, "sim", "list"), "split-brain (10 nodes") {
		t.Errorf("%d scenarios are listed", len(names))
	}
	if _, err := scenario.Parse(strings.NewReader(succeeds(t, "sim", "init"))); err != nil {
		t.Errorf("what init prints: %v", err)
	}
}
