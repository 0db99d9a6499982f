package sim_test

import (
	"context"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/sim"
)

// Outside of a bubble time is real: this is what the race detector gets to see of
// the simulator, because it cannot be used with bubbles (golang/go issue 76691).
func TestRealTime(t *testing.T) {
	c, err := sim.New(sim.Config{Nodes: 4, Seed: 1, Profile: membership.Local, Setup: serveWhere})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	c.MustConverge(t, time.Minute)
	if a, b := ask(t, c, 0, "k"), ask(t, c, 3, "k"); a != b {
		t.Errorf("two owners: %s, %s", a, b)
	}
	c.Pause(1)
	c.Link(0, 3).Loss(0.1).Duplicate(0.1).Latency(sim.Pareto(time.Millisecond, 2))
	<-time.After(300 * time.Millisecond)
	c.Resume(1)
	c.Crash(2)
	t.Logf("crash noticed after %v of real time", c.MustConverge(t, time.Minute))
	if err := c.Restart(2); err != nil {
		t.Fatal(err)
	}
	t.Logf("back after %v", c.MustConverge(t, time.Minute))
}
