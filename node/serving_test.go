package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
)

var otherWork = rpc.NewMethod[job, report]("other.Work", rpc.Idempotent())

// sees waits until every node sees a member so.
func sees(t *testing.T, nodes []*Node, name string, want func(membership.Member) bool) {
	t.Helper()
	eventually(t, "the news of "+name, func() error {
		for _, n := range nodes {
			if m, ok := n.Members().Find(name); !ok || !want(m) {
				return fmt.Errorf("%s sees %+v", n.Name(), m)
			}
		}
		return nil
	})
}

// A node that cannot serve owns nothing, and gets no calls but those that name
// it; it goes on to make calls.
func TestSetServing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	b := nodes[1]
	if err := b.SetServing(false); err != nil {
		t.Fatal(err)
	}
	sees(t, nodes, "b", func(m membership.Member) bool { return m.State == membership.StateStandby })
	eventually(t, "tables without b", func() error {
		for _, n := range nodes {
			if n.Table().Has("b") || n.Table().Fingerprint() != nodes[0].Table().Fingerprint() {
				return fmt.Errorf("%s: %v", n.Name(), n.Table())
			}
		}
		return nil
	})
	for i := range 30 {
		key := fmt.Sprint("key-", i)
		for _, n := range nodes {
			for _, to := range []rpc.CallOption{rpc.Key(key), rpc.Any("")} {
				got, err := work.Call(t.Context(), n, &job{Key: key}, to)
				if err != nil || got.Node == "b" {
					t.Fatalf("from %s: %+v, %v", n.Name(), got, err)
				}
			}
		}
	}
	if got, err := work.Call(t.Context(), nodes[0], &job{}, rpc.Peer("b")); err != nil || got.Node != "b" {
		t.Errorf("by name: %+v, %v", got, err)
	}
	if err := b.SetServing(true); err != nil {
		t.Fatal(err)
	}
	agree(t, nodes...)
}

// What one service cannot do goes to the next owners; other services stay.
func TestSetServiceServing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	for _, n := range nodes {
		otherWork.Handle(n, func(ctx context.Context, req *job) (*report, error) { return l.serve(ctx, n, req) })
	}
	down := func(yes bool) func(membership.Member) bool {
		return func(m membership.Member) bool { return m.Down.Has("lab") == yes }
	}
	if err := nodes[1].SetServiceServing("lab", false); err != nil {
		t.Fatal(err)
	}
	sees(t, nodes, "b", down(true))
	for _, n := range nodes {
		for _, key := range keysOf(n, "b", 20) {
			second := n.Table().Owners(n.Table().Partition(key), 2, nil)[1]
			if got, err := work.Call(t.Context(), n, &job{Key: key}, rpc.Key(key)); err != nil || got.Node != second {
				t.Fatalf("from %s: %+v, %v; want %s", n.Name(), got, err, second)
			}
			if got, err := otherWork.Call(t.Context(), n, &job{Key: key}, rpc.Key(key)); err != nil || got.Node != "b" {
				t.Fatalf("another service, from %s: %+v, %v", n.Name(), got, err)
			}
		}
		if got := anyOf(t, n, work, 12, rpc.Any("")); got["b"] > 0 {
			t.Errorf("calls to any, from %s: %v", n.Name(), got)
		}
	}
	if err := nodes[1].SetServiceServing("lab", true); err != nil {
		t.Fatal(err)
	}
	sees(t, nodes, "b", down(false))
	key := keysOf(nodes[0], "b", 1)[0]
	if got, err := work.Call(t.Context(), nodes[0], &job{}, rpc.Key(key)); err != nil || got.Node != "b" {
		t.Errorf("once it can: %+v, %v", got, err)
	}
}

// If nobody can serve it, the owner gets the call and says so itself.
func TestServiceDownEverywhere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	for _, n := range nodes {
		if err := n.SetServiceServing("lab", false); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		sees(t, nodes, n.Name(), func(m membership.Member) bool { return m.Down.Has("lab") })
	}
	key := keysOf(nodes[0], "b", 1)[0]
	if got, err := work.Call(t.Context(), nodes[0], &job{}, rpc.Key(key)); err != nil || got.Node != "b" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSetServiceServingRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	for _, name := range []string{"", "a b", "lab.Work"} {
		if a.SetServiceServing(name, false) == nil {
			t.Errorf("%q was taken", name)
		}
	}
	var err error
	var took []string
	for i := 0; err == nil; i++ {
		name := fmt.Sprintf("%s-%d", strings.Repeat("s", 60), i)
		if err = a.SetServiceServing(name, false); err == nil {
			took = append(took, name)
		}
	}
	if !strings.Contains(err.Error(), "metadata too large") {
		t.Errorf("the error is %v", err)
	}
	sees(t, []*Node{a}, "a", func(m membership.Member) bool {
		return slices.Equal(m.Down.Names(), membership.ServicesOf(took...).Names())
	})
}

// What was said before Start holds from the beginning.
func TestSetServingBeforeStart(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	b := l.build(l.config("b"))
	if err := b.SetServing(false); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	sees(t, []*Node{a, b}, "b", func(m membership.Member) bool { return m.State == membership.StateStandby })
	if a.Table().Has("b") {
		t.Error("b owns keys")
	}
}
