package sim_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/sim"
)

// Functions of a Config that panic fail the start that they are of, and nothing else.
func TestConfigsThatPanic(t *testing.T) {
	broken := func(i int) {
		if i == 1 {
			panic("of node 1")
		}
	}
	for what, cfg := range map[string]sim.Config{
		"Config.Setup of n001": {Setup: func(i int, _ *node.Node) { broken(i) }},
		"Config.Node of n001":  {Node: func(i int, _ *node.Config) { broken(i) }},
	} {
		cfg.Nodes, cfg.Seed, cfg.Profile = 2, 1, membership.Local
		c, err := sim.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err = c.Start(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), what+" panicked: of node 1") || !strings.Contains(err.Error(), "guard_test.go") {
			t.Errorf("%s: %v", what, err)
		}
		if c.Node(0) == nil || c.Node(1) != nil {
			t.Errorf("%s: node 0 is %v, node 1 %v", what, c.Node(0), c.Node(1))
		}
		c.Close()
	}
}

// A trace that panics does not end the network that it looks at.
func TestTraceThatPanics(t *testing.T) {
	c, err := sim.New(sim.Config{Nodes: 2, Seed: 1, Profile: membership.Local, Trace: func(sim.Event) { panic("of the trace") }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Start(ctx); err != nil {
		t.Error(err)
	}
}
