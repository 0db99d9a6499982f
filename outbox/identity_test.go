package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// What moves partitions is for members: a client is refused, also when a member carries its
// call, whatever name it gives.
func TestOnlyMembersMovePartitions(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.start("a"), l.start("b")
	l.settled(a, b)
	c, err := node.Dial(t.Context(), a.n.Addr().String(), node.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, to := range []rpc.CallOption{rpc.Any(""), rpc.Peer("a"), rpc.Peer("b")} {
		for _, from := range []string{"", "a", "b", "c"} {
			_, err := whereMethod.Call(t.Context(), c, &whereRequest{From: from, Partitions: []uint32{1}}, to)
			if rpc.CodeOf(err) != rpc.PermissionDenied {
				t.Errorf("where, as %q: %v", from, err)
			}
			_, err = takeMethod.Call(t.Context(), c, &takeRequest{From: from, Partitions: []uint32{1}}, to)
			if rpc.CodeOf(err) != rpc.PermissionDenied {
				t.Errorf("take, as %q: %v", from, err)
			}
		}
		if _, err = refuseMethod.Call(t.Context(), c, &moving{1, 1}, to); rpc.CodeOf(err) != rpc.PermissionDenied {
			t.Errorf("refuse: %v", err)
		}
	}
	if _, err := whereMethod.Call(t.Context(), b.n, &whereRequest{From: "b", Partitions: []uint32{1}}, rpc.Peer("a")); err != nil {
		t.Errorf("a member: %v", err)
	}
	_, err = whereMethod.Call(t.Context(), b.n, &whereRequest{From: "a", Partitions: []uint32{1}}, rpc.Peer("a"))
	if rpc.CodeOf(err) != rpc.PermissionDenied {
		t.Errorf("a member for another: %v", err)
	}
}

// A durable call is the one's who enqueued it, wherever and whenever it is executed, and its
// handler is told the key.
func TestCallerOfDurableCalls(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	type sighting struct {
		caller, ofInfo rpc.Identity
		peer, key      string
	}
	who := rpc.NewMethod[string, string]("lab.Who")
	seen := make(chan sighting, 16)
	l.serve = func(m *machine) {
		Handle(m.box, m.n, who, func(ctx context.Context, tx *Tx, then *string) (*string, error) {
			info, _ := rpc.InfoFrom(ctx)
			seen <- sighting{tx.Caller(), info.Caller, info.Peer, tx.Key()}
			if *then == "" {
				return then, nil
			}
			_, err := who.Enqueue(ctx, tx, new(string), rpc.Key(*then), rpc.OnBehalf(rpc.Identity{Name: "child"}))
			if err == nil {
				_, err = who.Enqueue(ctx, tx, new(string), rpc.Key(*then))
			}
			return then, err
		})
	}
	a, b := l.start("a"), l.start("b")
	l.settled(a, b)
	here, there := keyOf(a, "a"), keyOf(a, "b")
	self, other := rpc.Identity{Name: "a", Member: true}, rpc.Identity{Name: "b", Member: true}
	c, err := node.Dial(t.Context(), a.n.Addr().String(), node.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	admin := rpc.Identity{Name: "admin", Verified: true}
	for _, key := range []string{here, there} {
		for what, one := range map[string]struct {
			enqueue func() error
			want    rpc.Identity
		}{
			"the node": {func() error { return errOf(who.Enqueue(t.Context(), a.box, new(string), rpc.Key(key))) }, self},
			"for somebody": {func() error {
				return errOf(who.Enqueue(t.Context(), a.box, new(string), rpc.Key(key), rpc.OnBehalf(rpc.Identity{Name: "x", Member: true})))
			}, rpc.Identity{Name: "x", Member: true}},
			"a client": {func() error {
				return errOf(EnqueueMethod.Call(t.Context(), c, &EnqueueRequest{Method: who.Name(), Key: key, Body: []byte{0xa0}}))
			}, rpc.Identity{}},
			"a member by its box": {func() error {
				return errOf(EnqueueMethod.Call(t.Context(), b.n, &EnqueueRequest{Method: who.Name(), Key: key, Body: []byte{0xa0}}, rpc.Peer("a")))
			}, other},
			"a gateway": {func() error {
				return errOf(EnqueueMethod.Call(t.Context(), b.n, &EnqueueRequest{Method: who.Name(), Key: key, Body: []byte{0xa0}}, rpc.Peer("a"), rpc.OnBehalf(admin)))
			}, rpc.Identity{Name: "admin"}}, // which nobody has verified: there is no TLS
		} {
			if err := one.enqueue(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got, want := receive(t, seen), (sighting{one.want, one.want, "a", key}); got != want {
				t.Errorf("%s: %+v, want %+v", what, got, want)
			}
		}
	}
	if _, err := who.Enqueue(t.Context(), a.box, &there, rpc.Key(here), rpc.OnBehalf(rpc.Identity{Name: "parent"})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []sighting{
		{rpc.Identity{Name: "parent"}, rpc.Identity{Name: "parent"}, "a", here},
		{rpc.Identity{Name: "child"}, rpc.Identity{Name: "child"}, "a", there},
		{self, self, "a", there}, // what a handler enqueues is its node's own
	} {
		if got := receive(t, seen); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if _, err := who.Call(t.Context(), c, new(string), rpc.Key(there)); err != nil {
		t.Fatal(err)
	}
	if got, want := receive(t, seen), (sighting{peer: "a", key: there}); got != want {
		t.Errorf("an ordinary call: %+v, want %+v", got, want)
	}
}

// Who enqueued a call is on the disk with it.
func TestCallerOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	box, err := Open(dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	admin := rpc.Identity{Name: "admin", Verified: true}
	if _, err := addMethod.Enqueue(t.Context(), box, &add{N: 1}, rpc.Key("k"), rpc.ID("x"), rpc.OnBehalf(admin)); err != nil {
		t.Fatal(err)
	}
	for _, checkpoint := range []bool{false, true} {
		if checkpoint {
			if err := box.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		if err := box.Close(); err != nil {
			t.Fatal(err)
		}
		if box, err = Open(dir, Config{}); err != nil {
			t.Fatal(err)
		}
		if got, err := box.Show("x"); err != nil || got.Caller != "client admin" {
			t.Errorf("enqueued by %q, %v", got.Caller, err)
		}
	}
	if err := box.Close(); err != nil {
		t.Fatal(err)
	}
}

// A client cannot pass for a delivery of a durable call.
func TestOnlyNodesDeliver(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.start("a"), l.start("b")
	l.settled(a, b)
	c, err := node.Dial(t.Context(), a.n.Addr().String(), node.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	h := header{id: "order-17", hash: hash{1}, expires: time.Now().Add(time.Hour), attempt: 1}
	for _, key := range []string{keyOf(a, "a"), keyOf(a, "b")} {
		_, err := addMethod.Call(t.Context(), c, &add{N: 1}, rpc.Key(key), rpc.WithMetadata(headerKey, h.text()))
		if rpc.CodeOf(err) != rpc.InvalidArgument {
			t.Errorf("through a node: %v", err)
		}
	}
	_, _, err = headerOf(&rpc.Info{Metadata: rpc.Metadata{headerKey: h.text()}})
	if rpc.CodeOf(err) != rpc.PermissionDenied {
		t.Errorf("by a client itself: %v", err)
	}
	if _, err := addMethod.Enqueue(t.Context(), a.box, &add{}, rpc.Key(strings.Repeat("k", rpc.MaxKey+1))); rpc.CodeOf(err) != rpc.InvalidArgument {
		t.Errorf("a key that is too long: %v", err)
	}
}

// keyOf returns a key that a node owns.
func keyOf(m *machine, owner string) string {
	for i := 0; ; i++ {
		key := fmt.Sprint("key-", i)
		if _, name := m.n.Table().Lookup(key); name == owner {
			return key
		}
	}
}

func receive[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Error("no handler ran")
	}
	return v
}

// errOf drops what a call gave.
func errOf[T any](_ T, err error) error { return err }
