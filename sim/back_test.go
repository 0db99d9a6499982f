package sim_test

import (
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim"
)

// An owner that two nodes could not reach for long gets its calls back soon after
// they can, however often they tried in vain, and though traffic never ceases.
func TestOwnerIsBackSoon(t *testing.T) {
	for name, outage := range map[string]time.Duration{"short": time.Second, "long": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			sim.Test(t, sim.Config{Nodes: 6, Seed: 5, Setup: serveWhere}, func(t *testing.T, c *sim.Cluster) {
				const caller, owner, next = 0, 1, 2
				key := ownedBy(c, 1, owner, next)[0]
				by := func() string {
					t.Helper()
					reply, err := where.Call(t.Context(), c.Node(caller), &whereRequest{Key: key}, rpc.Key(key))
					if err != nil {
						t.Fatal(err)
					}
					return reply.Node
				}
				by()
				// The others reach the owner, so that gossip keeps it.
				cut := []sim.Rule{
					c.Change([]int{owner}, []int{caller, next}, func(l *sim.Link) { l.Cut = true }),
					c.Change([]int{caller, next}, []int{owner}, func(l *sim.Link) { l.Cut = true }),
				}
				for end := time.Now().Add(outage); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
					by()
				}
				if got := by(); got != c.Member(next).Name {
					t.Fatalf("%s serves while the owner cannot be reached", got)
				}
				for _, rule := range cut {
					rule.Remove()
				}
				healed := time.Now()
				for by() != c.Member(owner).Name {
					time.Sleep(10 * time.Millisecond)
					if time.Since(healed) > 10*time.Second {
						t.Fatal("the owner has not got its calls back")
					}
				}
				t.Logf("back after %v", time.Since(healed))
				if took := time.Since(healed); took > time.Second {
					t.Errorf("back after %v", took)
				}
			})
		})
	}
}

// A connection that carries nothing any more is not taken for its process for long,
// though caller and next owner both have one.
func TestHalfOpenIsNotSilent(t *testing.T) {
	sim.Test(t, sim.Config{Nodes: 6, Seed: 6, Setup: serveWhere}, func(t *testing.T, c *sim.Cluster) {
		const caller, owner, next = 0, 1, 2
		key := ownedBy(c, 1, owner, next)[0]
		for i := range c.Len() { // so that there are connections
			ask(t, c, i, key)
		}
		c.Link(caller, owner).HalfOpen()
		c.Link(next, owner).HalfOpen()
		begun := time.Now()
		for ask(t, c, caller, key) != c.Member(owner).Name || time.Since(begun) < 300*time.Millisecond {
			time.Sleep(10 * time.Millisecond)
			if time.Since(begun) > time.Second {
				t.Fatal("the owner, which lives, is still passed over")
			}
		}
	})
}
