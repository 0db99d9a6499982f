package sim_test

import (
	"context"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim"
)

type (
	whereRequest struct{ Key string }
	whereReply   struct{ Node string }
)

var where = rpc.NewMethod[whereRequest, whereReply]("test.Where", rpc.Idempotent())

func serveWhere(_ int, n *node.Node) {
	where.Handle(n, func(context.Context, *whereRequest) (*whereReply, error) {
		return &whereReply{Node: n.Name()}, nil
	})
}

func ask(t *testing.T, c *sim.Cluster, from int, key string) string {
	t.Helper()
	reply, err := where.Call(t.Context(), c.Node(from), &whereRequest{Key: key}, rpc.Key(key))
	if err != nil {
		t.Fatal(err)
	}
	return reply.Node
}

func TestCrashAndRestart(t *testing.T) {
	sim.Test(t, sim.Config{Nodes: 5, Seed: 3, Profile: membership.Local, Setup: serveWhere}, func(t *testing.T, c *sim.Cluster) {
		if a, b := ask(t, c, 0, "k"), ask(t, c, 4, "k"); a != b {
			t.Errorf("two owners: %s, %s", a, b)
		}
		c.Crash(2)
		took := c.MustConverge(t, membership.Local.DetectionTime(5))
		t.Logf("crash noticed after %v", took)
		if err := c.Restart(2); err != nil {
			t.Fatal(err)
		}
		t.Logf("back after %v", c.MustConverge(t, time.Minute))
		c.PowerOff(3)
		t.Logf("power off noticed after %v", c.MustConverge(t, membership.Local.DetectionTime(5)))
		if err := c.RestartElsewhere(3); err != nil {
			t.Fatal(err)
		}
		t.Logf("back elsewhere after %v", c.MustConverge(t, time.Minute))
		if err := c.Stop(1); err != nil {
			t.Error(err)
		}
		t.Logf("left after %v", c.MustConverge(t, time.Minute))
	})
}

func TestPartitionAndPause(t *testing.T) {
	sim.Test(t, sim.Config{Nodes: 6, Seed: 4, Profile: membership.Local, Setup: serveWhere}, func(t *testing.T, c *sim.Cluster) {
		c.Partition([]int{0, 1, 2}, []int{3, 4, 5})
		c.Eventually(t, time.Minute, func() error {
			if a, b := c.Node(0).Table().Len(), c.Node(5).Table().Len(); a != 3 || b != 3 {
				return context.DeadlineExceeded
			}
			return nil
		})
		c.Heal()
		t.Logf("healed after %v", c.MustConverge(t, time.Minute))
		c.Pause(2)
		t.Logf("pause noticed after %v", c.MustConverge(t, time.Minute))
		c.Resume(2)
		t.Logf("back after %v", c.MustConverge(t, time.Minute))
	})
}
