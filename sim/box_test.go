//go:build !race

package sim_test

import (
	"testing"
	"time"

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
