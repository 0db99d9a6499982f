package sim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/sim"
)

// local is what most tests of faults run on.
func local(nodes int) sim.Config {
	return sim.Config{Nodes: nodes, Seed: 5, Profile: membership.Local, Setup: serveWhere}
}

// sees waits until a node routes by a table of so many.
func sees(t *testing.T, c *sim.Cluster, i, count int) {
	t.Helper()
	c.Eventually(t, time.Minute, func() error {
		if n := c.Node(i).Table().Len(); n != count {
			return fmt.Errorf("%s sees %d nodes, want %d", c.Member(i).Name, n, count)
		}
		return nil
	})
}

func TestIsolate(t *testing.T) {
	sim.Test(t, local(4), func(t *testing.T, c *sim.Cluster) {
		c.Isolate(2)
		for i, count := range []int{3, 3, 1, 3} {
			sees(t, c, i, count)
		}
		if c.Disagreement() == "" {
			t.Error("they agree")
		}
		c.Heal()
		c.MustConverge(t, time.Minute)
		sees(t, c, 2, 4)
	})
}

// A link that is cut one way does not make two camps: others vouch for both.
func TestOneWay(t *testing.T) {
	sim.Test(t, local(5), func(t *testing.T, c *sim.Cluster) {
		link := c.OneWay(0, 1).Cut()
		if c.Member(0).Reaches(c.Member(1)) || !c.Member(1).Reaches(c.Member(0)) {
			t.Error("the wrong way is cut")
		}
		time.Sleep(30 * time.Second)
		for i := range 5 {
			sees(t, c, i, 5)
		}
		link.Restore()
		if !c.Member(0).Reaches(c.Member(1)) {
			t.Error("still cut")
		}
		c.MustConverge(t, time.Minute)
	})
}

// Packets get lost on the links that were changed, and on no others.
func TestLoss(t *testing.T) {
	lost := map[string]int{}
	cfg := local(4)
	cfg.Trace = func(e sim.Event) {
		if e.Kind == "lost" {
			lost[e.From+" "+e.To]++
		}
	}
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		c.Link(0, 1).Loss(0.3).Duplicate(0.1).Reorder(0.1, 5*time.Millisecond).Bandwidth(1 << 20)
		time.Sleep(time.Minute)
		if len(lost) != 2 || lost["n000 n001"] == 0 || lost["n001 n000"] == 0 {
			t.Errorf("lost: %v", lost)
		}
		c.MustConverge(t, time.Minute)
		c.Link(0, 1).Loss(1)
		if c.Member(0).Reaches(c.Member(1)) || c.Member(1).Reaches(c.Member(0)) {
			t.Error("all is lost, and something gets through")
		}
	})
}

func TestLatency(t *testing.T) {
	sim.Test(t, local(3), func(t *testing.T, c *sim.Cluster) {
		key := ownedBy(c, 1, 1)[0]
		takes := func(least, most time.Duration) {
			t.Helper()
			start := time.Now()
			if who := ask(t, c, 0, key); who != "n001" {
				t.Errorf("%s answered", who)
			}
			if took := time.Since(start); took < least || took > most {
				t.Errorf("a call took %v, want %v to %v", took, least, most)
			}
		}
		takes(0, 20*time.Millisecond)
		rule := c.Change([]int{0}, nil, func(l *sim.Link) { l.Latency = sim.Constant(30 * time.Millisecond) })
		takes(30*time.Millisecond, 40*time.Millisecond)
		rule.Remove()
		takes(0, 10*time.Millisecond)
		c.Link(0, 1).Latency(sim.Uniform(20*time.Millisecond, 25*time.Millisecond))
		takes(40*time.Millisecond, 60*time.Millisecond)
		c.Link(1, 0).Restore()
		takes(0, 10*time.Millisecond)
		c.Slow(1, 15*time.Millisecond)
		takes(15*time.Millisecond, 100*time.Millisecond)
		c.Slow(1, 0)
		time.Sleep(time.Second)
		takes(0, 10*time.Millisecond)
	})
}

// Connections that break, or carry nothing any more, are noticed and replaced.
func TestBrokenConnections(t *testing.T) {
	sim.Test(t, local(3), func(t *testing.T, c *sim.Cluster) {
		key := ownedBy(c, 1, 1)[0]
		ask(t, c, 0, key)
		c.Link(0, 1).Reset()
		ask(t, c, 0, key)
		c.Link(0, 1).HalfOpen()
		time.Sleep(time.Minute) // the keepalive finds out
		ask(t, c, 0, key)
		c.MustConverge(t, time.Minute)
	})
}
