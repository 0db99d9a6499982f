//go:build !race

package sim_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/sim"
)

// childVariable tells TestChild what to do; without it, it does nothing.
const childVariable = "MESHNODE_SIM_CHILD"

// TestChild is run in a process of its own, because it fails.
func TestChild(t *testing.T) {
	switch os.Getenv(childVariable) {
	case "fail":
		sim.Test(t, sim.Config{Nodes: 1, Seed: 42, Profile: membership.Local}, func(t *testing.T, _ *sim.Cluster) {
			t.Error("on purpose")
		})
	case "leak":
		var held *node.Node
		cfg := sim.Config{Nodes: 1, Seed: 42, Profile: membership.Local, Setup: func(_ int, n *node.Node) { held = n }}
		sim.Test(t, cfg, func(*testing.T, *sim.Cluster) {})
		_ = held.Name()
	case "stall":
		outside := make(chan struct{}) // a bubble does not know it
		sim.Test(t, sim.Config{Nodes: 1, Stall: 300 * time.Millisecond}, func(*testing.T, *sim.Cluster) { <-outside })
	}
}

// child runs TestChild, which must fail, and gives what it prints.
func child(t *testing.T, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("it did not fail:\n%s", out)
	}
	return string(out)
}

// A test that fails prints its seed and how to run it again with that; the
// environment's seed goes over the test's own.
func TestFailurePrintsSeed(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"", "simulation with seed 42; again: " + sim.SeedVariable + "=42 go test -count=1 -run '^TestChild$'"},
		{"7", "simulation with seed 7; again: " + sim.SeedVariable + "=7 "},
		{"x", sim.SeedVariable + `="x": want a number`},
	} {
		out := child(t, childVariable+"=fail", sim.SeedVariable+"="+c.env)
		if !strings.Contains(out, c.want) {
			t.Errorf("%q is not in:\n%s", c.want, out)
		}
	}
}

// What a process leaves behind is told at the line that called Test.
func TestLeftBehindAtCaller(t *testing.T) {
	text, err := os.ReadFile("child_test.go")
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(text), "sim.Test(t, cfg, func(*testing.T, *sim.Cluster) {})\n")
	want := fmt.Sprintf("child_test.go:%d: left behind: n000#1 is still in memory: ", strings.Count(before, "\n")+1)
	if out := child(t, childVariable+"=leak"); !strings.Contains(out, want) {
		t.Errorf("%q is not in:\n%s", want, out)
	}
}

// A simulation that waits for something real is ended, with the stacks.
func TestStalledTestEnds(t *testing.T) {
	out := child(t, childVariable+"=stall")
	for _, want := range []string{"virtual time has stood still", "TestChild"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}
