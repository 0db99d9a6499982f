//go:build !race

package sim_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/outbox"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim"
)

// A box that is closed when its node's process ends leaves nothing behind, also if the
// test keeps it; and the call that was taken before a crash is made after it.
func TestBoxClosedWithNode(t *testing.T) {
	b := &boxes{dir: t.TempDir(), open: map[int]*outbox.Box{}, closed: map[int]chan struct{}{}}
	cfg := local(2)
	cfg.Setup = b.setup
	var kept []*outbox.Box
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		kept = append(kept, b.of(0), b.of(1))
		word := "hello"
		for i := range 2 {
			if _, err := count.Enqueue(t.Context(), b.of(0), &word, rpc.Key(ownedBy(c, 1, i)[0]), rpc.ID(word+string(rune('0'+i)))); err != nil {
				t.Error(err)
			}
		}
		c.Crash(1)
		time.Sleep(10 * time.Second)
		if err := c.Restart(0); err != nil {
			t.Error(err)
		}
		if err := c.Boot(1); err != nil {
			t.Error(err)
		}
		c.MustConverge(t, time.Minute)
		for i := range 2 {
			if times, err := count.Await(t.Context(), b.of(0), word+string(rune('0'+i))); err != nil || *times == 0 {
				t.Errorf("%v", err)
			}
		}
	})
	for _, box := range kept {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}
}

var killer = rpc.NewMethod[string, int]("lab.Kill")

// Where partitions are served without the state of a node that is gone, nobody but the
// sender can know how many nodes a durable call has taken with it. It is carried no
// further than crashes are allowed.
func TestDurableCallKillsFew(t *testing.T) {
	b := &boxes{dir: t.TempDir(), open: map[int]*outbox.Box{}, closed: map[int]chan struct{}{}}
	b.cfg = outbox.Config{MaxCrashes: 1, Orphans: outbox.Orphans{ServeAfter: 10 * time.Second}}
	var kill func(int)
	cfg := local(4)
	cfg.Setup = func(i int, n *node.Node) {
		b.setup(i, n)
		outbox.Handle(b.of(i), n, killer, func(context.Context, *outbox.Tx, *string) (*int, error) {
			kill(i)
			<-n.Done()
			return nil, rpc.Errorf(rpc.Unavailable, "gone")
		})
	}
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		kill = c.Crash
		word := "hello"
		id, err := killer.Enqueue(t.Context(), b.of(0), &word, rpc.Key(ownedBy(c, 1, 1, 2, 3)[0]))
		if err != nil {
			t.Fatal(err)
		}
		_, err = killer.Await(t.Context(), b.of(0), id)
		if rpc.CodeOf(err) != rpc.Internal || !strings.Contains(err.Error(), "2 nodes went down while they may have been executing the call (n001, n002)") {
			t.Errorf("%v", err)
		}
		for i, alive := range []bool{true, false, false, true} {
			if c.Member(i).Alive() != alive {
				t.Errorf("n%03d alive: %v", i, !alive)
			}
		}
	})
}
