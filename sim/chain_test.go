package sim_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/sim"
)

// holder is a node that had a partition, as its hook was told.
type holder struct {
	life   *life
	gain   node.Gain
	gained time.Time
	lost   bool
}

// life is one process of a node, and how it ended.
type life struct {
	name string
	fate node.Fate // FateMoved: it runs
}

// chains hold what hooks are told against who had each partition before.
//
// What must hold: a hook is told of a gain only after that of the node before was
// told of the loss, or that node has ended; and From is that node. Where that node
// has ended, what it had gained from whom may be known to nobody any more: then From
// may be another one that has ended.
type chains struct {
	mu     sync.Mutex
	had    map[uint32][]holder // by partition, the latest last
	lives  map[int]*life       // by node, the latest
	gains  int
	other  int // named another node that had ended than the one that had it last
	faults []string
}

// follow checks the hooks of a node that is about to start.
func (c *chains) follow(i int, n *node.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &life{name: n.Name(), fate: node.FateMoved}
	c.lives[i] = l
	n.OnOwnership(func(change node.OwnershipChange) { c.told(l, change) }, node.HoldServing(20*time.Second))
}

// ended notes the end of a node's process.
func (c *chains) ended(i int, how node.Fate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lives[i].fate = how
}

func (c *chains) told(l *life, change node.OwnershipChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.fate == node.FateCrashed {
		return // a call that was under way
	}
	for _, m := range change.Lost {
		list := c.had[m.Partition]
		if len(list) == 0 || list[len(list)-1].life != l {
			c.fault("%s loses %d, which it had not", l.name, m.Partition)
			continue
		}
		list[len(list)-1].lost = true
	}
	for _, g := range change.Gained {
		c.gains++
		if why := c.wrong(l, g); why != "" {
			c.fault("%s gains %d from %q (%v): %s", l.name, g.Partition, g.From, g.Fate, why)
		}
		c.had[g.Partition] = append(c.had[g.Partition], holder{life: l, gained: time.Now(), gain: g})
	}
}

// wrong says what is wrong with a gain.
func (c *chains) wrong(l *life, g node.Gain) string {
	list := c.had[g.Partition]
	if len(list) == 0 {
		if g.From != "" || g.Fate != node.FateNew {
			return "nobody had it"
		}
		return ""
	}
	last := list[len(list)-1]
	switch {
	case !last.lost && last.life.fate != node.FateCrashed:
		return last.life.name + " has it still"
	case g.From == last.life.name && (g.Fate == last.life.fate || g.Fate == node.FateLeft && last.life.fate == node.FateMoved):
		return ""
	case last.life.fate != node.FateMoved && c.hasEnded(g):
		c.other++
		return ""
	case last.life.fate == node.FateCrashed && len(list) > 1 && time.Since(last.gained) < 5*time.Second && g.From == list[len(list)-2].life.name:
		return "" // it crashed before it could say that it had it
	}
	chain := ""
	for _, h := range list {
		chain += fmt.Sprintf(" %s(%v, from %s %v)", h.life.name, h.life.fate, h.gain.From, h.gain.Fate)
	}
	return "others had it before:" + chain
}

// hasEnded reports whether a gain is from a process that has ended, and says so.
func (c *chains) hasEnded(g node.Gain) bool {
	for _, l := range c.lives {
		if l.name == g.From {
			return l.fate != node.FateMoved && g.Fate == l.fate
		}
	}
	return false
}

func (c *chains) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// Whatever joins, leaves and crashes at once: each hook is told who had a partition
// last.
func TestGainsComeFromWhoServedLast(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			all := &chains{had: make(map[uint32][]holder), lives: make(map[int]*life)}
			cfg := sim.Config{
				Nodes: 5, Seed: seed + 1, Profile: membership.Local, Table: router.Params{Partitions: 1 << 8}, Setup: all.follow,
			}
			sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
				random := rand.New(rand.NewPCG(seed, 1))
				var stopping sync.WaitGroup
				down := make(map[int]bool)
				one := func() int { // that runs
					for {
						if i := 3 + random.IntN(c.Len()-3); !down[i] {
							return i
						}
					}
				}
				for range 30 {
					for range 1 + random.IntN(2) {
						switch what := random.IntN(6); {
						case what < 3 || c.Len()-len(down) < 6:
							if _, err := c.Add(); err != nil {
								t.Fatal(err)
							}
						case what < 5:
							i := one()
							down[i] = true
							stopping.Go(func() {
								if err := c.Stop(i); err != nil {
									t.Errorf("stop of %d: %v", i, err)
								}
								all.ended(i, node.FateLeft)
							})
						default:
							i := one()
							down[i] = true
							all.ended(i, node.FateCrashed)
							c.Crash(i)
						}
					}
					time.Sleep(time.Duration(random.Int64N(int64(8 * time.Second))))
				}
				stopping.Wait()
				c.MustConverge(t, time.Minute)
				time.Sleep(30 * time.Second)
				all.mu.Lock()
				defer all.mu.Unlock()
				for i, f := range all.faults {
					if i < 10 {
						t.Error(f)
					}
				}
				if len(all.faults) > 0 || all.gains < 1000 || all.other > all.gains/50 {
					t.Errorf("%d of %d gains are wrong; %d name another node that has ended", len(all.faults), all.gains, all.other)
				}
			})
		})
	}
}

// When many nodes join at once, a node hears of where a partition went before it hears of
// the node that has it; and those through whose hands it went before their hooks ran
// learn that it has arrived, so that none waits for that when it leaves.
func TestChainsWhenManyJoin(t *testing.T) {
	all := &chains{had: make(map[uint32][]holder), lives: make(map[int]*life)}
	cfg := sim.Config{Nodes: 30, Table: router.Params{Partitions: 1 << 10}, Setup: all.follow}
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		time.Sleep(10 * time.Second)
		all.mu.Lock()
		for i, f := range all.faults {
			if i < 10 {
				t.Error(f)
			}
		}
		all.mu.Unlock()
		for _, i := range []int{1, 7, 20} {
			begun := c.Now()
			if err := c.Stop(i); err != nil {
				t.Error(err)
			}
			if took := c.Now() - begun; took > 3*time.Second {
				t.Errorf("node %d took %v to leave", i, took)
			}
			time.Sleep(5 * time.Second)
		}
	})
}
