package node

import (
	"context"
	"fmt"
	"testing"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
)

// An observer reaches every owner, and none of the keys and calls to any reach
// it.
func TestObserver(t *testing.T) {
	l := newLab(t)
	nodes := l.cluster("a", "b")
	cfg := l.config("eye")
	cfg.Observer = true
	eye := l.launch(cfg)
	if eye.Table().Has("eye") {
		t.Fatalf("the observer owns keys: %v", eye.Table())
	}
	eventually(t, "every node knows the observer", func() error {
		for _, n := range nodes {
			m, ok := n.Members().Find("eye")
			if !ok || m.State != membership.StateStandby {
				return fmt.Errorf("%s knows it as %v, %v", n.Name(), m.State, ok)
			}
		}
		return nil
	})
	agree(t, nodes...)
	for i := range 50 {
		key := fmt.Sprint("key-", i)
		reply, err := work.Call(context.Background(), eye, &job{Key: key}, rpc.Key(key))
		if err != nil {
			t.Fatal(err)
		}
		if _, owner := eye.Table().Lookup(key); reply.Node != owner {
			t.Fatalf("%s was answered by %s, want %s", key, reply.Node, owner)
		}
		anywhere, err := work.Call(context.Background(), nodes[i%2], &job{Key: key})
		if err != nil || anywhere.Node == "eye" {
			t.Fatalf("a call to any: %v, %v", anywhere, err)
		}
	}
	// It leaves like any other.
	if err := eye.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}
