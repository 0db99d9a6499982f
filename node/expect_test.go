package node

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
)

// Nodes that expect each other must not serve a key before all of them serve:
// a table of the few that were first would give them the keys of the others.
func TestExpectWaitsForTheWholeTable(t *testing.T) {
	const size = 4
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	nodes := make([]*Node, size)
	var seeds []string
	for i := range nodes {
		n, err := New(Config{
			Name: fmt.Sprintf("n%d", i), Cluster: "expect", Seeds: seeds, Expect: size, Profile: membership.Local,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.Close)
		nodes[i] = n
		if err := n.open(ctx); err != nil {
			t.Fatal(err)
		}
		seeds = []string{nodes[0].Addr().String()}
	}
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			if err := n.waitView(ctx, func(v *view) bool { return v.ready }); err != nil {
				t.Errorf("%s was never ready: %v", n.Name(), err)
				return
			}
			if owners := n.Table().Len(); owners != size {
				t.Errorf("%s was ready with a table of %d members, want %d", n.Name(), owners, size)
			}
		})
		wg.Go(func() {
			if err := n.join(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A node that joins makes one table, however many join with it: those of the few that
// serve first would be of no use.
func TestOneTablePerJoin(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.Expect = 4 }
	nodes := make([]*Node, 4)
	var started sync.WaitGroup
	var seeds []string
	for i := range nodes {
		cfg := l.config(fmt.Sprintf("n%d", i))
		cfg.Seeds = seeds
		nodes[i] = l.build(cfg)
		if err := nodes[i].open(t.Context()); err != nil {
			t.Fatal(err)
		}
		seeds = []string{nodes[0].Addr().String()}
		started.Go(func() {
			if err := nodes[i].join(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	started.Wait()
	agree(t, nodes...)
	l.edit = nil
	cfg := l.config("late")
	cfg.Seeds = seeds
	nodes = append(nodes, l.launch(cfg))
	agree(t, nodes...)
	for _, n := range nodes {
		want := 2 // its own, and the late one's
		if n.Name() == "late" {
			want = 1
		}
		if h := n.History(); len(h) != want {
			t.Errorf("%s has made %d tables, want %d: %+v", n.Name(), len(h), want, h)
		}
	}
}
