package sim_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim"
)

// A node that is ended in whichever way is down; one that comes back is another
// process, at the same or another address.
func TestLives(t *testing.T) {
	cfg := local(4)
	starts := map[int]int{}
	cfg.Setup = func(i int, n *node.Node) {
		starts[i]++
		serveWhere(i, n)
	}
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		m, first := c.Member(1), c.Node(1)
		addr := m.Addr()
		if err := c.Boot(1); err == nil {
			t.Error("a second process of a node that runs")
		}
		if err := c.Stop(1); err != nil {
			t.Error(err)
		}
		if ready, _ := m.Ready(); c.Node(1) != nil || m.Alive() || ready {
			t.Error("it runs after Stop")
		}
		if err := c.Stop(1); !errors.Is(err, sim.ErrDown) {
			t.Errorf("stop of what is down: %v", err)
		}
		c.MustConverge(t, time.Second) // it said that it leaves
		for _, again := range []struct {
			restart func(int) error
			moves   bool
		}{{c.Restart, false}, {c.RestartElsewhere, true}, {c.Restart, false}} {
			if err := again.restart(1); err != nil {
				t.Fatal(err)
			}
			if err := c.AwaitReady(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			c.MustConverge(t, time.Minute)
			if moved := m.Addr() != addr; moved != again.moves || c.Node(1) == first || !m.Alive() {
				t.Errorf("at %s after %s", m.Addr(), addr)
			}
			addr = m.Addr()
		}
		if starts[1] != 4 || c.Ended() != 3 {
			t.Errorf("set up %d times, %d ended", starts[1], c.Ended())
		}
		i, err := c.Add()
		if err != nil || i != 4 || c.Len() != 5 {
			t.Errorf("added %d of %d: %v", i, c.Len(), err)
		}
		c.MustConverge(t, time.Minute)
		if c.Member(4).Traffic().Packets == 0 || c.Now() == 0 {
			t.Error("nothing was sent, in no time")
		}
	})
}

// Who waits for a node that is ended meanwhile learns so.
func TestAwaitReady(t *testing.T) {
	sim.Test(t, local(2), func(t *testing.T, c *sim.Cluster) {
		c.Isolate(1)
		if err := c.Restart(1); err != nil { // nobody answers it
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := c.AwaitReady(ctx, 1); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "n001") {
			t.Errorf("got %v", err)
		}
		c.Crash(1)
		c.Crash(1) // is down already
		if err := c.AwaitReady(t.Context(), 1); !errors.Is(err, sim.ErrDown) {
			t.Errorf("got %v", err)
		}
	})
}

func TestClient(t *testing.T) {
	sim.Test(t, local(3), func(t *testing.T, c *sim.Cluster) {
		client, err := c.Client(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		key := ownedBy(c, 1, 2)[0]
		reply, err := where.Call(t.Context(), client, &whereRequest{Key: key}, rpc.Key(key))
		if err != nil || reply.Node != "n002" {
			t.Errorf("%v, %v", reply, err)
		}
		c.Crash(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Client(ctx, 1); err == nil {
			t.Error("a client of a node that is down")
		}
		c.MustConverge(t, time.Minute)
		if n := c.Node(0).Table().Len(); n != 2 {
			t.Errorf("a client is one of %d members", n)
		}
	})
}

// A node that has a name for its seeds joins once the name server answers.
func TestDNSSeed(t *testing.T) {
	cfg := local(3)
	byName := false
	cfg.Node = func(_ int, cfg *node.Config) {
		if byName {
			cfg.Seeds = []string{"dns+mesh.internal:7101"}
		}
	}
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		byName = true
		c.SetDNS("mesh.internal", time.Second) // nobody, nor can others find it where it is now
		if err := c.RestartElsewhere(2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if ready, _ := c.Member(2).Ready(); ready {
			t.Error("it is ready without seeds")
		}
		c.SetDNS("mesh.internal", 100*time.Millisecond, 0, 1)
		if err := c.AwaitReady(t.Context(), 2); err != nil {
			t.Error(err)
		}
		c.MustConverge(t, time.Minute)
	})
}

func TestImpostor(t *testing.T) {
	sim.Test(t, local(3), func(t *testing.T, c *sim.Cluster) {
		n := c.Node(1)
		if err := c.Impostor(t.Context(), 1); !errors.Is(err, membership.ErrNameTaken) {
			t.Errorf("got %v", err)
		}
		c.MustConverge(t, time.Second)
		if c.Node(1) != n || ask(t, c, 0, ownedBy(c, 1, 1)[0]) != "n001" {
			t.Error("it took the place of the other")
		}
	})
}

// What a process leaves behind is found: goroutines, and the memory of its node.
func TestLeftovers(t *testing.T) {
	cfg := local(3)
	end := make(map[int]chan struct{})
	var leaked atomic.Int64
	cfg.Setup = func(i int, n *node.Node) {
		stop := make(chan struct{})
		end[i] = stop
		where.Handle(n, func(context.Context, *whereRequest) (*whereReply, error) {
			go leak(stop, &leaked)
			return &whereReply{Node: n.Name()}, nil
		})
	}
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		key := ownedBy(c, 1, 1)[0]
		ask(t, c, 0, key)
		c.Crash(1)
		time.Sleep(2 * time.Minute)
		if left := c.Leftovers(time.Hour); len(left) != 0 {
			t.Errorf("too early for %q", left)
		}
		left := fmt.Sprintf("%q", c.Leftovers(time.Minute))
		if leaked.Load() != 1 || !strings.Contains(left, "n001#1 left 1 goroutine(s) in") || !strings.Contains(left, "leak") || !strings.Contains(left, "once the node's Done is closed") {
			t.Errorf("%d goroutines leaked; found %s", leaked.Load(), left)
		}
		close(end[1])
		time.Sleep(time.Second)
		if left := c.Leftovers(time.Minute); len(left) != 0 {
			t.Errorf("still %q", left)
		}
	})
}

// leak is a goroutine that somebody forgot.
func leak(stop <-chan struct{}, count *atomic.Int64) {
	count.Add(1)
	<-stop
}

// hold is a goroutine of a test that uses a node.
func hold(n *node.Node, stop <-chan struct{}) {
	<-stop
	_ = n.Name()
}

// A node that somebody holds on to stays in memory, which is found too.
func TestNodeInMemory(t *testing.T) {
	sim.Test(t, local(2), func(t *testing.T, c *sim.Cluster) {
		held := c.Node(1)
		c.Crash(1)
		time.Sleep(2 * time.Minute)
		const want = "n001#1 is still in memory: it has no goroutine left, so a variable, a field or a closure holds its node"
		if left := c.Leftovers(time.Minute); len(left) != 1 || !strings.Contains(left[0], want) || strings.Contains(left[0], "of no process") {
			t.Errorf("found %q", left)
		}
		stop := make(chan struct{})
		go hold(held, stop)
		time.Sleep(time.Second)
		if left := c.Leftovers(time.Minute); len(left) != 1 || !strings.Contains(left[0], "of no process that may be the ones: 1 goroutine(s) in") || !strings.Contains(left[0], "hold") {
			t.Errorf("found %q", left)
		}
		close(stop)
	})
}
