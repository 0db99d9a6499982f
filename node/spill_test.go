package node

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/meshnode/meshnode/rpc"
)

// When one key has most calls, those beyond the owner's share go to the next
// owners; who may not be served twice, or by others, all go to the owner.
func TestSpill(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	release := make(chan struct{})
	began := make(chan string, 1000)
	l.do["wait"] = func(ctx context.Context, n *Node, req *job) (*report, error) {
		began <- n.Name()
		select {
		case <-release:
		case <-ctx.Done():
		}
		info, _ := rpc.InfoFrom(ctx)
		return &report{Node: n.Name(), Data: fmt.Append(nil, info.Spilled)}, nil
	}
	nodes := l.cluster("a", "b", "c", "d")
	spread := rpc.NewMethod[job, report]("lab.Spread", rpc.Idempotent(), rpc.WithPolicy(rpc.CallPolicy{Spill: 1.25}))
	for _, n := range nodes {
		spread.Handle(n, func(ctx context.Context, req *job) (*report, error) { return l.serve(ctx, n, req) })
	}
	a := nodes[0]
	for _, name := range []string{"b", "c", "d"} { // a call spills to nobody whom it must dial for long
		if _, err := work.Call(t.Context(), a, &job{}, rpc.Peer(name)); err != nil {
			t.Fatal(err)
		}
	}
	key := keysOwned(a, 1, "b", "c", "d")[0]
	var wg sync.WaitGroup
	many := func(m rpc.Method[job, report], n int, opts ...rpc.CallOption) map[string]int {
		var mu sync.Mutex
		got := make(map[string]int)
		opts = append(opts, rpc.Key(key), rpc.Timeout(patience))
		for range n {
			wg.Go(func() {
				r, err := m.Call(t.Context(), a, &job{Do: "wait"}, opts...)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				got[r.Node]++
				if string(r.Data) != fmt.Sprint(r.Node != "b") {
					t.Errorf("%s says that it spilled: %s", r.Node, r.Data)
				}
			})
		}
		for range n {
			await(t, "a handler", began)
		}
		close(release)
		wg.Wait()
		release = make(chan struct{})
		return got
	}
	if got := many(spread, 60); got["b"] < 10 || got["c"] < 10 || got["d"] < 1 {
		t.Errorf("60 calls at once went to %v", got)
	}
	if got := many(safe, 60, rpc.Balance(rpc.Bounded)); got["b"] != 60 {
		t.Errorf("a method whose servers do not agree: %v", got)
	}
	if got := many(work, 60, rpc.Balance(rpc.Bounded)); got["b"] != 60 {
		t.Errorf("what is not idempotent: %v", got)
	}
	if got := many(spread, 60, rpc.OwnerOnly()); got["b"] != 60 {
		t.Errorf("owner only: %v", got)
	}
	if got := many(spread, 5, rpc.Balance(rpc.Bounded)); got["b"] != 5 {
		t.Errorf("a few calls: %v", got)
	}
	_, err := safe.Call(t.Context(), a, &job{}, rpc.Key(key), rpc.Balance(rpc.LeastLoaded))
	wantCode(t, err, rpc.InvalidArgument)
}
