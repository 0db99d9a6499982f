//go:build process

package proctest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/sim"
)

// The rounds of TestSimulator, and the size of its clusters.
const (
	agreeRounds = 8
	agreeNodes  = 10
)

// TestSimulator holds the simulator against real processes: how long ten nodes
// take to notice that one was killed, and to have it back in all tables when it
// starts again.
func TestSimulator(t *testing.T) {
	realDetect, realBack := realRounds(t)
	simDetect, simBack := simulatedRounds(t)
	t.Logf("killed, until no table has it:  real %s; simulated %s", ranges(realDetect), ranges(simDetect))
	t.Logf("started, until all tables have it: real %s; simulated %s", ranges(realBack), ranges(simBack))
	near(t, "killed", realDetect, simDetect)
	near(t, "started", realBack, simBack)
}

// realRounds kills and restarts a process of ten.
func realRounds(t *testing.T) (detect, back []time.Duration) {
	c := startCluster(t, agreeNodes)
	for range agreeRounds {
		victim := c.members[agreeNodes-1]
		victim.kill()
		c.drop(victim)
		detect = append(detect, c.agree(agreeNodes-1, time.Minute))
		again := start(t, victim.name, victim.addr, "--join", c.members[0].addr)
		c.members = append(c.members, again)
		back = append(back, c.agree(agreeNodes, time.Minute))
	}
	return detect, back
}

// simulatedRounds does the same in the simulator, on links as fast as loopback.
func simulatedRounds(t *testing.T) (detect, back []time.Duration) {
	cfg := sim.Config{
		Nodes: agreeNodes, Seed: 1, Profile: membership.Local,
		Link: sim.Link{Latency: sim.Uniform(20*time.Microsecond, 100*time.Microsecond)},
	}
	err := sim.Run(cfg, nil, func() {
		c, err := sim.New(cfg)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if err := c.Start(ctx); err != nil {
			t.Error(err)
			return
		}
		for range agreeRounds {
			c.Crash(agreeNodes - 1)
			took, err := c.WaitConverged(ctx)
			detect = append(detect, took)
			if err == nil {
				err = c.Restart(agreeNodes - 1)
			}
			if err == nil {
				took, err = c.WaitConverged(ctx)
			}
			back = append(back, took)
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return detect, back
}

// ranges gives the least, the middle and the most.
func ranges(d []time.Duration) string {
	s := slices.Sorted(slices.Values(d))
	return fmt.Sprintf("%v / %v / %v", s[0].Round(time.Millisecond), middle(d).Round(time.Millisecond), s[len(s)-1].Round(time.Millisecond))
}

func middle(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[(len(s)-1)/2]
}

// startOfProcess is what a real process takes before it does anything, and the
// time between two looks at ten of them, which simulated ones do not.
const startOfProcess = 300 * time.Millisecond

// near fails if the middle values are further apart than twice, and more than a
// process takes to start.
func near(t *testing.T, what string, real, simulated []time.Duration) {
	t.Helper()
	a, b := middle(real), middle(simulated)
	if a > 2*b+startOfProcess || b > 2*a+startOfProcess {
		t.Errorf("%s: %v with real processes, %v simulated", what, a, b)
	}
}
