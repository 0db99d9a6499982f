package sim_test

import (
	"testing"
	"time"

	"github.com/meshnode/meshnode/sim"
)

// A node whose seeds are all at other addresses by now is in its cluster all the same
// once others have found it: it waits for the former process of its name to be
// noticed as gone, and meanwhile those it waits for move, too.
func TestAllSeedsMove(t *testing.T) {
	sim.Test(t, sim.Config{Nodes: 4}, func(t *testing.T, c *sim.Cluster) {
		c.Crash(0)
		time.Sleep(24 * time.Second)
		for i := 1; i < 4; i++ {
			c.RestartElsewhere(i)
			time.Sleep(2800 * time.Millisecond)
		}
		time.Sleep(30 * time.Second)
		for i := 1; i < 4; i++ {
			if ready, why := c.Node(i).Ready(); !ready {
				t.Errorf("node %d is not ready: %s", i, why)
			}
			if n := c.Node(i).Table().Len(); n != 3 {
				t.Errorf("node %d routes by a table of %d", i, n)
			}
		}
	})
}
