package node

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// Where members serve different methods, a call to a key of one that does not serve its method
// says so, on all ways, and what to do; what it says to do helps.
func TestOwnerWithoutTheMethod(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	a, b := nodes[0], nodes[1]
	some := rpc.NewMethod[job, report]("some.Method")
	flow := rpc.NewStream[job, report]("some.Stream")
	some.Handle(a, func(context.Context, *job) (*report, error) { return &report{Node: "a"}, nil })
	key := keysOf(a, "b", 1)[0]
	own := keysOf(a, "a", 1)[0]
	c, f := dial(t, b, ClientConfig{}), dialForeign(t, b)
	want := []string{"node b owns the key", "some.Method", `SetServiceServing("some", false)`}
	for i, call := range []func() error{
		func() error { return errOf(some.Call(t.Context(), a, &job{}, rpc.Key(key))) },
		func() error { return errOf(some.Call(t.Context(), b, &job{}, rpc.Key(key))) },
		func() error { return errOf(some.Call(t.Context(), c, &job{}, rpc.Key(key))) },
		func() error { return errOf(some.Call(t.Context(), dial(t, a, ClientConfig{}), &job{}, rpc.Key(key))) },
	} {
		e := wantCode(t, call(), rpc.Unimplemented)
		for _, part := range want {
			if !strings.Contains(e.Message, part) {
				t.Errorf("call %d: %q lacks %q", i, e.Message, part)
			}
		}
		if byA := i == 0 || i == 3; byA != strings.HasSuffix(e.Message, "; node a serves it") {
			t.Errorf("call %d: %q", i, e.Message)
		}
	}
	if code, _ := f.ask(some.Name(), nil, map[string]any{"key": key}); code != "Unimplemented" {
		t.Errorf("MessagePack-RPC: %s", code)
	}
	_, err := flow.Open(t.Context(), a, rpc.Key(key))
	if e := wantCode(t, err, rpc.Unimplemented); !strings.Contains(e.Message, "node b owns the key") {
		t.Errorf("a stream: %v", e)
	}
	if got := b.Stats()["keyed_unserved"]; got != 6 {
		t.Errorf("%d calls are counted, want 6", got)
	}
	if got := strings.Count(l.log("b").String(), "does not serve: calls to them fail"); got != 2 {
		t.Errorf("%d lines for two methods", got)
	}
	if got, err := some.Call(t.Context(), b, &job{}, rpc.Key(own)); err != nil || got.Node != "a" {
		t.Errorf("a key of the one that serves it: %+v, %v", got, err)
	}
	if err := b.SetServiceServing("some", false); err != nil {
		t.Fatal(err)
	}
	for _, from := range []rpc.Caller{a, b, c} {
		eventually(t, "the other serves the key", func() error { return errOf(some.Call(t.Context(), from, &job{}, rpc.Key(key))) })
	}
	if got, err := work.Call(t.Context(), a, &job{}, rpc.Key(key)); err != nil || got.Node != "b" {
		t.Errorf("other services stay: %+v, %v", got, err)
	}
}

// A node that neither owns a key nor serves the method leads to the owner: the tables may differ
// for a moment, and the owner may serve it.
func TestUnservedAndNotOwned(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	some := rpc.NewMethod[job, report]("some.Method", rpc.Idempotent())
	some.Handle(c, func(context.Context, *job) (*report, error) { return &report{Node: "c"}, nil })
	for _, key := range keysOf(b, "c", 20) {
		persuade(t, a, "b", "a")
		if _, believed := a.Table().Lookup(key); believed != "b" {
			continue
		}
		if got, err := some.Call(t.Context(), a, &job{}, rpc.Key(key)); err != nil || got.Node != "c" {
			t.Fatalf("%+v, %v", got, err)
		}
		conn, err := a.view.Load().peers["b"].Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, way := range []transport.StandIn{transport.AsOwner, transport.ForFailover, transport.ForSpill} {
			reply, err := conn.Call(t.Context(), &transport.Request{Method: some.Name(), Meta: transport.Meta{
				Partition: int64(b.Table().Partition(key)), Key: []byte(key), StandIn: way,
			}})
			if err != nil {
				t.Fatal(err)
			}
			if rpc.Code(reply.Code) != rpc.NotOwner || string(reply.Meta.Owner) != "c" {
				t.Errorf("as %d: %v, owner %q", way, rpc.Code(reply.Code), reply.Meta.Owner)
			}
			reply.Release()
		}
		if got := b.Stats()["keyed_unserved"]; got != 0 {
			t.Errorf("%d are counted", got)
		}
		return
	}
	t.Fatal("no key is believed to be of b")
}

// Strangers cannot fill the log with names.
func TestUnservedIsToldInMeasure(t *testing.T) {
	t.Parallel()
	var u unserved
	told := 0
	for i := range 3 * maxUnserved {
		for range 2 {
			if u.news(fmt.Sprint("m", i)) {
				told++
			}
		}
	}
	if told != maxUnserved || len(u.told) != maxUnserved {
		t.Errorf("%d lines, %d names, want %d", told, len(u.told), maxUnserved)
	}
}
