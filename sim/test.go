//go:build !wasip1

package sim

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshnode/meshnode/internal/simtime"
)

// SeedVariable is the environment variable that sets the seed of every Test.
const SeedVariable = "MESHNODE_SIM_SEED"

// startTimeout is how long Test waits for its nodes, in virtual time.
const startTimeout = 5 * time.Minute

// Test runs f in virtual time, on a cluster whose nodes have started. When the
// test fails it prints the seed and the command that runs it again. Everything is
// ended when f returns, and the test fails if a process left goroutines behind.
//
// f and what it starts must keep to what package testing/synctest demands: no
// real sockets and files that block, and no channels made outside of f.
//
// Under the race detector it is skipped, aloud: bubbles of synctest crash it
// (golang/go issue 76691). Run such tests without -race.
func Test(t *testing.T, cfg Config, f func(t *testing.T, c *Cluster)) {
	t.Helper()
	if raceDetector {
		t.Skip("SKIPPED under -race: bubbles of testing/synctest can crash the race detector (golang/go issue 76691); run without -race")
	}
	cfg.Seed = seedOf(t, cfg.Seed)
	defer func() {
		if t.Failed() {
			t.Logf("simulation with seed %d; again: %s=%d go test -count=1 -run '^%s$'", cfg.Seed, SeedVariable, cfg.Seed, t.Name())
		}
	}()
	var left []string
	defer func() { // here, so that the line is the caller's
		t.Helper()
		for _, one := range left {
			t.Error("left behind: " + one)
		}
	}()
	w := simtime.Watch(cfg.Stall, func(s *simtime.Stalled) { panic(s.Error() + "\n" + string(s.Stacks)) })
	defer w.Stop()
	synctest.Test(t, func(t *testing.T) {
		defer w.Pulse()()
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if left = c.finish(); c.tracer.failed() != nil {
				t.Error(c.tracer.failed())
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
		defer cancel()
		if err := c.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := c.WaitConverged(ctx); err != nil {
			t.Fatal(err)
		}
		f(t, c)
	})
}

// seedOf gives the seed of a test: by the environment, by its configuration, or
// another one each time.
func seedOf(t *testing.T, seed uint64) uint64 {
	t.Helper()
	if text := os.Getenv(SeedVariable); text != "" {
		fixed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s=%q: want a number", SeedVariable, text)
		}
		return fixed
	}
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1_000_000_007
	}
	return seed
}

// leftoverGrace is how long goroutines may outlive their process.
const leftoverGrace = 2 * time.Minute

// finish ends a test's cluster, and gives what its processes left behind.
func (c *Cluster) finish() []string {
	c.Close()
	grace := leftoverGrace + 2*c.cfg.Profile.DetectionTime(c.Len())
	time.Sleep(grace)
	return c.Leftovers(grace)
}

// MustConverge is WaitConverged that fails the test after a while of virtual time.
func (c *Cluster) MustConverge(t *testing.T, within time.Duration) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	took, err := c.WaitConverged(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return took
}

// Eventually waits until cond gives no error, and fails the test with its last one
// after a while of virtual time.
func (c *Cluster) Eventually(t *testing.T, within time.Duration, cond func() error) {
	t.Helper()
	end := time.Now().Add(within)
	for {
		err := cond()
		if err == nil {
			return
		}
		if !time.Now().Before(end) {
			t.Fatal(fmt.Errorf("still after %v: %w", within, err))
		}
		time.Sleep(convergePoll)
	}
}
