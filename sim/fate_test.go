package sim_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/sim"
)

// fates counts the gains of all nodes by what their hooks were told.
type fates struct {
	mu      sync.Mutex
	gains   map[string]int // "node from fate"
	crashed []string       // of the latest change of node 0
}

func (f *fates) follow(i int, n *node.Node) {
	n.OnOwnership(func(c node.OwnershipChange) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, g := range c.Gained {
			f.gains[fmt.Sprintf("%s %s %v", n.Name(), g.From, g.Fate)]++
		}
		if i == 0 {
			f.crashed = append(f.crashed, c.Crashed...)
		}
	})
}

// take returns what was counted since the last time.
func (f *fates) take() (gains map[string]int, crashed []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gains, crashed = f.gains, f.crashed
	f.gains, f.crashed = make(map[string]int), nil
	return gains, crashed
}

// Hooks and histories tell a crash from a leave, and a process that is back before
// anybody has noticed learns that its former one has crashed.
func TestCrashesAndLeavesDiffer(t *testing.T) {
	f := &fates{gains: make(map[string]int)}
	cfg := sim.Config{Nodes: 4, Profile: membership.Local, Table: router.Params{Partitions: 1 << 8}, Setup: f.follow}
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		// expect checks who gained from whom, and how the last change of node 0 ended.
		expect := func(what string, gains, left, crashed []string) {
			t.Helper()
			c.MustConverge(t, time.Minute)
			time.Sleep(10 * time.Second)
			got, told := f.take()
			for name := range got {
				if strings.HasSuffix(name, " moved") { // from one that stays, for balance
					delete(got, name)
				}
			}
			if !slices.Equal(slices.Sorted(maps.Keys(got)), gains) || !slices.Equal(told, crashed) {
				t.Errorf("%s: gains %v, crashed %v", what, got, told)
			}
			history := c.Node(0).History()
			if last := history[len(history)-1]; !slices.Equal(last.Left, left) || !slices.Equal(last.Crashed, crashed) {
				t.Errorf("%s: the last change is %+v", what, last)
			}
		}
		time.Sleep(10 * time.Second)
		f.take()
		if err := c.Stop(3); err != nil {
			t.Fatal(err)
		}
		expect("leave", []string{"n000 n003 left", "n001 n003 left", "n002 n003 left"}, []string{"n003"}, nil)
		c.Crash(2)
		c.Eventually(t, time.Minute, func() error {
			if table := c.Node(0).Table(); table.Has("n002") {
				return fmt.Errorf("%v", table.Members())
			}
			return nil
		})
		expect("crash", []string{"n000 n002 crashed", "n001 n002 crashed"}, []string{"n002"}, []string{"n002"})
		if err := c.Restart(1); err != nil {
			t.Fatal(err)
		}
		c.MustConverge(t, time.Minute)
		time.Sleep(10 * time.Second)
		got, _ := f.take()
		if back := got["n001 n001 crashed"] + got["n001 n000 moved"]; back != len(c.Node(1).Table().Owned("n001")) {
			t.Errorf("restart: gains %v, of %d partitions", got, len(c.Node(1).Table().Owned("n001")))
		}
	})
}
