package sim_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/sim"
)

func TestRunReportsPanics(t *testing.T) {
	if err := sim.Run(sim.Config{}, nil, func() { panic("oh no") }); err == nil || !strings.Contains(err.Error(), "oh no") {
		t.Errorf("got %v", err)
	}
}

// Virtual time that stands still is told of, once, with the stacks.
func TestRunTellsOfStalls(t *testing.T) {
	outside := make(chan struct{})
	calls := 0
	err := sim.Run(sim.Config{Stall: 200 * time.Millisecond}, func(err error, stacks []byte) {
		if calls++; !strings.Contains(err.Error(), "stood still at") || !bytes.Contains(stacks, []byte("TestRunTellsOfStalls")) {
			t.Errorf("%v\n%s", err, stacks)
		}
		close(outside)
	}, func() { <-outside })
	if err != nil || calls != 1 {
		t.Errorf("%v; told %d times", err, calls)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []sim.Config{{Nodes: -1}, {Nodes: 1 << 20}} {
		if c, err := sim.New(cfg); c != nil || err == nil {
			t.Errorf("%d nodes: %v", cfg.Nodes, err)
		}
	}
}
