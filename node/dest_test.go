package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/router/balance"
	"github.com/meshnode/meshnode/rpc"
)

func TestPeer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	for _, from := range nodes {
		for _, to := range nodes {
			var who string
			got, err := work.Call(t.Context(), from, &job{}, rpc.Peer(to.Name()), rpc.Answered(&who))
			if err != nil || got.Node != to.Name() || who != to.Name() || got.Keyed {
				t.Errorf("%s to %s: %+v by %q, %v", from.Name(), to.Name(), got, who, err)
			}
		}
		for _, name := range []string{"z", "", "A"} {
			who := "nobody"
			_, err := work.Call(t.Context(), from, &job{}, rpc.Peer(name), rpc.Answered(&who))
			if wantCode(t, err, rpc.NotFound); who != "nobody" {
				t.Errorf("%q answered for %q", who, name)
			}
			wantCode(t, work.Send(t.Context(), from, &job{}, rpc.Peer(name)), rpc.NotFound)
		}
	}
}

// anyOf counts who answers so many calls to any.
func anyOf(t *testing.T, n *Node, m rpc.Method[job, report], calls int, opts ...rpc.CallOption) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	for range calls {
		got, err := m.Call(t.Context(), n, &job{}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		counts[got.Node]++
	}
	return counts
}

func TestAny(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.RandSeed = 7 }
	nodes := l.cluster("a", "b", "c")
	for _, opts := range [][]rpc.CallOption{nil, {rpc.Any("")}, {rpc.Any(rpc.RoundRobin)}} {
		if got := anyOf(t, nodes[0], work, 30, opts...); got["a"] != 10 || got["b"] != 10 || got["c"] != 10 {
			t.Errorf("round robin gives %v", got)
		}
	}
	got := anyOf(t, nodes[1], work, 90, rpc.Any(rpc.Random))
	for _, n := range nodes {
		if got[n.Name()] < 10 {
			t.Errorf("random gives %v", got)
		}
	}
	_, err := work.Call(t.Context(), nodes[0], &job{}, rpc.Any("nearest"))
	e := wantCode(t, err, rpc.InvalidArgument)
	for _, policy := range append(rpc.Policies(), "nearest") {
		if !strings.Contains(e.Message, string(policy)) {
			t.Errorf("the error does not name %q: %v", policy, e)
		}
	}
}

// The names of policies are those of the balancers.
func TestPoliciesAreBalancers(t *testing.T) {
	t.Parallel()
	var names []string
	for _, p := range append(rpc.Policies(), rpc.Bounded) {
		names = append(names, string(p))
	}
	if got := balance.Names(); !slices.Equal(got, names) {
		t.Errorf("balancers are called %v, policies %v", got, names)
	}
}

// Any goes on to the next node if one serves no such method, this one
// included, but not if a handler ran and said so.
func TestAnySkips(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.RandSeed = 7 }
	l.do["later"] = func(context.Context, *Node, *job) (*report, error) { return nil, rpc.Unimplemented }
	nodes := l.cluster("a", "b", "c")
	some := rpc.NewMethod[job, report]("lab.Some")
	_, err := some.Call(t.Context(), nodes[0], &job{})
	wantCode(t, err, rpc.Unimplemented)
	for _, n := range nodes[1:] {
		some.Handle(n, func(context.Context, *job) (*report, error) { return &report{Node: n.Name()}, nil })
	}
	for _, policy := range rpc.Policies() {
		for _, n := range nodes {
			byLoad := policy == rpc.LeastLoaded || policy == rpc.ZoneFirst // which may favour one of them
			got := anyOf(t, n, some, 60, rpc.Any(policy))
			if got["b"]+got["c"] != 60 || !byLoad && (got["b"] < 1 || got["c"] < 1) {
				t.Errorf("from %s by %s: %v", n.Name(), policy, got)
			}
		}
	}
	for _, n := range nodes {
		for range 3 {
			_, err := safe.Call(t.Context(), n, &job{Do: "later", Key: "later"})
			wantCode(t, err, rpc.Unimplemented)
		}
	}
	if ran := l.executed("later"); len(ran) != 9 {
		t.Errorf("9 calls were executed %d times: %v", len(ran), ran)
	}
}

// A node that is alone serves calls to any.
func TestAnyAlone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.start("a")
	if got := anyOf(t, n, work, 2); got["a"] != 2 {
		t.Errorf("%v", got)
	}
}

// A member that cannot be reached is passed over.
func TestAnyPassesOverTheDead(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	w := newWires()
	l.edit = func(cfg *Config) {
		if cfg.Name == "c" {
			cfg.Network = w
		}
	}
	nodes := l.cluster("a", "b", "c")
	w.failing(func(string) error { return errors.New("no route") })
	if got := anyOf(t, nodes[2], work, 9); got["c"] != 9 {
		t.Errorf("%v", got)
	}
	_, err := work.Call(t.Context(), nodes[2], &job{}, rpc.Peer("a"))
	if e := wantCode(t, err, rpc.Unavailable); !strings.Contains(e.Message, "no route") {
		t.Errorf("the error does not say why: %v", e)
	}
}

func TestGatherAll(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.do["b fails"] = func(_ context.Context, n *Node, _ *job) (*report, error) {
		if n.Name() == "b" {
			return nil, rpc.FailedPrecondition
		}
		return &report{Node: n.Name()}, nil
	}
	nodes := l.cluster("c", "a", "b")
	for _, n := range nodes {
		got, err := work.Gather(t.Context(), n, &job{Do: "b fails"})
		if err != nil || len(got) != 3 {
			t.Fatalf("%v, %v", got, err)
		}
		for i, want := range []string{"a", "b", "c"} {
			r := got[i]
			if r.Peer != want || (want == "b") != errors.Is(r.Err, rpc.FailedPrecondition) || r.Err == nil && r.Reply.Node != want {
				t.Errorf("from %s: result %d is %+v", n.Name(), i, r)
			}
		}
	}
	_, err := nodes[0].Targets(t.Context(), rpc.Dest{Kind: rpc.ToPeer, Peer: "a"})
	wantCode(t, err, rpc.InvalidArgument)
	_, err = nodes[0].Targets(t.Context(), rpc.Dest{Kind: rpc.ToOwners, Key: "k"})
	wantCode(t, err, rpc.InvalidArgument)
	wantCode(t, nodes[0].Invoke(t.Context(), &rpc.Call{Spec: work.Spec(), Req: &job{}, Dest: rpc.Dest{Kind: rpc.ToAll}}), rpc.InvalidArgument)
}

// Send returns before the handler has, and the handler outlives the context of
// the one who sent.
func TestSend(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	release, ended := make(chan struct{}), make(chan error, 32)
	l.do["wait"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		ended <- ctx.Err()
		return nil, rpc.Errorf(rpc.Internal, "nobody hears this")
	}
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		for range 2 { // with and without a context that ends
			ctx, cancel := context.WithCancel(t.Context())
			if err := work.Send(ctx, from, &job{Do: "wait"}, to); err != nil {
				t.Fatal(err)
			}
			cancel()
			release <- struct{}{}
			if err := await(t, "the handler's end", ended); err != nil {
				t.Errorf("the handler's context ended: %v", err)
			}
		}
		var end error
		eventually(t, "a call begins and ends with its deadline", func() error {
			// One that came too late to begin leaves no trace.
			if err := work.Send(t.Context(), from, &job{Do: "wait"}, to, rpc.Timeout(50*time.Millisecond)); err != nil {
				return err
			}
			select {
			case end = <-ended:
				return nil
			case <-time.After(time.Second):
				return errors.New("it did not")
			}
		})
		if !errors.Is(end, context.DeadlineExceeded) {
			t.Errorf("a one-way call ended with %v, want its deadline", end)
		}
	})
}

// Members that say they drain get no calls to any.
func TestAnyLeavesOutWhoDrains(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	if err := nodes[1].cluster.Load().SetState(membership.StateDraining); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b is out of the table", func() error {
		if nodes[0].Table().Has("b") {
			return errors.New("it is still in")
		}
		return nil
	})
	if got := anyOf(t, nodes[0], work, 10); got["b"] != 0 || got["a"] != 5 {
		t.Errorf("%v", got)
	}
	if got, err := work.Call(t.Context(), nodes[0], &job{}, rpc.Peer("b")); err != nil || got.Node != "b" {
		t.Errorf("by name it still answers: %+v, %v", got, err)
	}
}
