package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/sim"
)

// memory is a node's, over all its processes.
type memory struct {
	mu    sync.Mutex
	peers []node.KnownPeer
}

func (m *memory) Known() []node.KnownPeer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peers
}

func (m *memory) Remember(peers []node.KnownPeer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.peers = peers
	return nil
}

func (m *memory) String() string { return "memory" }

// remembering gives every node a memory, and from when the result is set to true on
// seeds where nobody is.
func remembering(cfg *sim.Config) (lost *bool) {
	lost = new(bool)
	memories := map[int]*memory{}
	cfg.Node = func(i int, cfg *node.Config) {
		if memories[i] == nil {
			memories[i] = &memory{}
		}
		cfg.Remember = memories[i]
		if *lost {
			cfg.Seeds = []string{"10.99.0.1:7101", "10.99.0.2:7101"}
		}
	}
	return lost
}

// A node whose seeds are gone is back as soon as one that has seeds.
func TestSeedsAreGone(t *testing.T) {
	cfg := local(5)
	lost := remembering(&cfg)
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		time.Sleep(2 * time.Second) // what is new is written down within one
		*lost = true
		if err := c.Restart(3); err != nil {
			t.Fatal(err)
		}
		took := c.MustConverge(t, 2*time.Second)
		t.Logf("without its seeds: back after %v", took)
	})
}

// A whole cluster without power comes back as one, without seeds; while a node
// reaches nobody, it is not ready and does not found one of its own.
func TestAllAreGone(t *testing.T) {
	cfg := local(5)
	lost := remembering(&cfg)
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		time.Sleep(2 * time.Second)
		*lost = true
		for i := range c.Len() {
			c.PowerOff(i)
		}
		if err := c.Boot(2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if ready, why := c.Node(2).Ready(); ready || !strings.Contains(why, "one of the 4 peers in memory") {
			t.Errorf("alone: ready %v, %q", ready, why)
		}
		for _, i := range []int{0, 1, 3, 4} {
			if err := c.Boot(i); err != nil {
				t.Fatal(err)
			}
		}
		c.Eventually(t, 10*time.Second, func() error {
			for i := range c.Len() {
				if names := c.Node(i).Members().Names(); len(names) != c.Len() || !slices.Equal(names, c.Node(0).Members().Names()) {
					return fmt.Errorf("node %d sees %v", i, names)
				}
				if ready, _ := c.Member(i).Ready(); !ready {
					_, why := c.Node(i).Ready()
					return fmt.Errorf("node %d is not ready: %s", i, why)
				}
			}
			return nil
		})
	})
}
