package node

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
)

// owned follows the changes that a hook is told, and checks that each goes on
// where the last one ended.
type owned struct {
	mu      sync.Mutex
	last    OwnershipChange
	calls   int
	holds   map[uint32]bool
	problem error
}

func (o *owned) apply(name string, c OwnershipChange) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holds == nil {
		o.holds = make(map[uint32]bool)
	}
	if o.calls > 0 && c.OldFingerprint != o.last.NewFingerprint {
		o.problem = fmt.Errorf("change %d begins with %v, the one before ended with %v", o.calls, c.OldFingerprint, o.last.NewFingerprint)
	}
	for _, m := range c.Gained {
		if o.holds[m.Partition] {
			o.problem = fmt.Errorf("gained %+v; had it: %v", m, o.holds[m.Partition])
		}
		o.holds[m.Partition] = true
	}
	for _, m := range c.Lost {
		if m.From != name || !o.holds[m.Partition] {
			o.problem = fmt.Errorf("lost %+v; had it: %v", m, o.holds[m.Partition])
		}
		delete(o.holds, m.Partition)
	}
	o.last = c
	o.calls++
}

// has waits until the hook knows exactly what the node's table says.
func (o *owned) has(t *testing.T, n *Node) {
	t.Helper()
	eventually(t, "the hook's view of "+n.Name(), func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.problem != nil {
			t.Fatal(o.problem)
		}
		want := n.Table().Owned(n.Name())
		if len(want) != len(o.holds) || slices.ContainsFunc(want, func(p uint32) bool { return !o.holds[p] }) {
			return fmt.Errorf("%d partitions, want %d", len(o.holds), len(want))
		}
		return nil
	})
}

func TestOnOwnership(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.build(l.config("a"))
	var early, late owned
	a.OnOwnership(func(c OwnershipChange) { early.apply("a", c) })
	a.OnOwnership(func(OwnershipChange) { panic("of a hook") })
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.nodes = append(l.nodes, a)
	early.has(t, a)
	b, c := l.start("b"), l.start("c")
	agree(t, a, b, c)
	early.has(t, a)
	a.OnOwnership(func(c OwnershipChange) { late.apply("a", c) })
	late.has(t, a)
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, a, b)
	early.has(t, a)
	late.has(t, a)
	if got := a.Stats(); got["panics"] == 0 || got["table_changes"] < 3 || got["moved_partitions"] == 0 || got["lost_partitions"] == 0 {
		t.Errorf("counted: %v", got)
	}
	history := a.History()
	last := history[len(history)-1]
	early.mu.Lock()
	if c := early.last; !slices.Equal(c.Left, []string{"c"}) || len(c.Joined) != 0 || len(c.Changed) != 0 {
		t.Errorf("the hook was told that %v joined, %v left, %v changed", c.Joined, c.Left, c.Changed)
	}
	early.mu.Unlock()
	if !slices.Equal(last.Left, []string{"c"}) || last.Moved < last.Required || last.Required == 0 || last.New != a.Table().Fingerprint().String() {
		t.Errorf("the last change: %+v", last)
	}
	// Who leaves is told that it loses all, before Stop returns.
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(early.holds) != 0 || len(late.holds) != 0 {
		t.Errorf("after Stop the hooks hold %d and %d partitions", len(early.holds), len(late.holds))
	}
}

// Tables that come while a hook runs are one change.
func TestOwnershipIsCoalesced(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	var o owned
	entered, proceed := make(chan struct{}, 100), make(chan struct{})
	a.OnOwnership(func(c OwnershipChange) {
		entered <- struct{}{}
		<-proceed
		o.apply("a", c)
	})
	await(t, "the hook", entered)
	nodes := []*Node{a}
	for _, name := range []string{"b", "c", "d", "e"} {
		nodes = append(nodes, l.start(name))
		agree(t, nodes...)
	}
	close(proceed)
	o.has(t, a)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.calls != 2 {
		t.Errorf("%d calls, want 2: what was, and all the rest", o.calls)
	}
}

// holdLab gives a, which has just gained keys of b, who is gone, and is held up
// by a hook that returns when release is closed.
func holdLab(t *testing.T, hold time.Duration) (l *lab, a, c *Node, key string, release chan struct{}) {
	t.Helper()
	l = newLab(t)
	nodes := l.cluster("a", "b", "c")
	a, c = nodes[0], nodes[2]
	release = make(chan struct{})
	t.Cleanup(func() {
		select {
		case <-release:
		default:
			close(release)
		}
	})
	first := true
	a.OnOwnership(func(OwnershipChange) {
		if first {
			first = false
			return
		}
		select {
		case <-release:
		case <-a.Done():
		}
	}, HoldServing(hold))
	after, err := router.New([]router.Member{{Name: "a"}, {Name: "c"}}, a.cfg.Table)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keysOf(a, "b", 100) {
		if _, owner := after.Lookup(k); owner == "a" {
			key = k
		}
	}
	if err := nodes[1].Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, a, c)
	return l, a, c, key, release
}

func TestHoldServing(t *testing.T) {
	t.Parallel()
	l, a, c, key, release := holdLab(t, patience)
	answered := make(chan error, 2)
	for _, from := range []*Node{a, c} {
		go func() {
			got, err := work.Call(t.Context(), from, &job{Key: key}, rpc.Key(key), rpc.Timeout(patience))
			if err == nil && got.Node != "a" {
				err = fmt.Errorf("answered by %s", got.Node)
			}
			answered <- err
		}()
	}
	eventually(t, "both calls wait", func() error {
		if got := a.Stats()["held_calls"]; got < 2 {
			return fmt.Errorf("%d do", got)
		}
		return nil
	})
	if ran := l.executed(key); len(ran) != 0 {
		t.Fatalf("executed on %v though held", ran)
	}
	// What was a's before is served meanwhile, and a deadline is kept.
	own := ""
	for _, k := range keysOf(a, "a", 200) {
		if v := a.view.Load(); v.holds(v.table.Partition(k)) == nil {
			own = k
			break
		}
	}
	if _, err := work.Call(t.Context(), c, &job{Key: own}, rpc.Key(own)); err != nil {
		t.Errorf("a key that a had before: %v", err)
	}
	for _, from := range []*Node{a, c} {
		_, err := work.Call(t.Context(), from, &job{Key: "late " + key}, rpc.Key(key), rpc.Timeout(50*time.Millisecond))
		wantCode(t, err, rpc.DeadlineExceeded)
	}
	close(release)
	for range 2 {
		if err := await(t, "an answer", answered); err != nil {
			t.Error(err)
		}
	}
	if ran := l.executed(key); len(ran) != 2 {
		t.Errorf("executed on %v", ran)
	}
}

func TestHoldTimesOut(t *testing.T) {
	t.Parallel()
	_, a, c, key, _ := holdLab(t, 100*time.Millisecond)
	if got, err := work.Call(t.Context(), c, &job{Key: key}, rpc.Key(key)); err != nil || got.Node != "a" {
		t.Errorf("%+v, %v", got, err)
	}
	if got := a.Stats()["hold_timeouts"]; got != 1 {
		t.Errorf("%d holds timed out", got)
	}
}
