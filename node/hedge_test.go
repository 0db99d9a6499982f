package node

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

var hedgedWork = rpc.NewMethod[job, report]("lab.Hedged", rpc.Idempotent(), rpc.Hedge(20*time.Millisecond))

// hedgeLab has nodes that serve hedgedWork, too.
func hedgeLab(t *testing.T, names ...string) (*lab, map[string]*Node) {
	t.Helper()
	l := newLab(t)
	nodes, _ := l.hedging(names...)
	return l, nodes
}

// frozenLab is hedgeLab for a test that freezes b.
func frozenLab(t *testing.T, names ...string) (map[string]*Node, *freezer) {
	t.Helper()
	l := newLab(t)
	l.silence = true
	return l.hedging(names...)
}

// hedging starts a cluster that serves hedgedWork and whose node b can be frozen.
func (l *lab) hedging(names ...string) (map[string]*Node, *freezer) {
	t := l.t
	t.Helper()
	f := newFreezer()
	t.Cleanup(f.goOn)
	l.edit = func(cfg *Config) {
		if cfg.Name == "b" {
			cfg.Network = f
		}
	}
	l.do["tell"] = func(ctx context.Context, n *Node, _ *job) (*report, error) {
		info, _ := rpc.InfoFrom(ctx)
		return &report{Node: n.Name(), Data: fmt.Append(nil, info.Failover)}, nil
	}
	nodes := make(map[string]*Node)
	for _, n := range l.cluster(names...) {
		nodes[n.Name()] = n
		hedgedWork.Handle(n, func(ctx context.Context, req *job) (*report, error) { return l.serve(ctx, n, req) })
	}
	return nodes, f
}

// A frozen owner holds up only calls that are not hedged: the next owner finds
// it silent, too.
func TestHedgePastAFrozenOwner(t *testing.T) {
	t.Parallel()
	nodes, f := frozenLab(t, "a", "b", "c", "d")
	a := nodes["a"]
	keys := append(keysOwned(a, 5, "b", "c"), keysOwned(a, 5, "b", "a")...)
	for _, key := range keys {
		if _, err := hedgedWork.Call(t.Context(), a, &job{Key: "before " + key}, rpc.Key(key)); err != nil {
			t.Fatal(err)
		}
	}
	f.freeze()
	for _, key := range keys {
		got, err := hedgedWork.Call(t.Context(), a, &job{Key: key, Do: "tell"}, rpc.Key(key))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if got.Node == "b" || string(got.Data) != "true" {
			t.Errorf("%s was answered by %s, as a stand-in: %s", key, got.Node, got.Data)
		}
	}
	if got := a.Stats(); got["hedges_won"] == 0 || got["failovers"] == 0 {
		t.Errorf("%d hedges won, %d failovers", got["hedges_won"], got["failovers"])
	}
	f.goOn()
	eventually(t, "the owner serves again", func() error {
		got, err := hedgedWork.Call(t.Context(), a, &job{Key: "after", Do: "tell"}, rpc.Key(keys[0]))
		if err != nil || got.Node != "b" {
			return fmt.Errorf("answered by %+v, %v", got, err)
		}
		return nil
	})
}

// A slow node holds up only the first attempt; the call has one answer and the
// other attempt is ended.
func TestHedgeOfAny(t *testing.T) {
	t.Parallel()
	l, nodes := hedgeLab(t, "a", "b", "c")
	a := nodes["a"]
	ended := make(chan struct{}, 100)
	l.do["slow on b"] = func(ctx context.Context, n *Node, req *job) (*report, error) {
		if n.Name() == "b" {
			<-ctx.Done()
			ended <- struct{}{}
			return nil, ctx.Err()
		}
		return &report{Node: n.Name(), Data: req.Data}, nil
	}
	slow := 0
	for i := range 12 {
		key := fmt.Sprint("any ", i)
		got, err := hedgedWork.Call(t.Context(), a, &job{Key: key, Do: "slow on b", Data: []byte(key)})
		if err != nil || got.Node == "b" || string(got.Data) != key {
			t.Errorf("%+v, %v", got, err)
		}
		for _, ran := range l.executed(key) {
			if ran == "b" {
				slow++
			}
		}
	}
	if slow == 0 {
		t.Fatal("no call went to the slow node")
	}
	for range slow {
		await(t, "the end of a slow attempt", ended)
	}
	if got := a.Stats()["hedges"]; got == 0 || got > 12 {
		t.Errorf("%d hedges for 12 calls", got)
	}
}

// A quick answer costs no second attempt.
func TestHedgeNotNeeded(t *testing.T) {
	t.Parallel()
	_, nodes := hedgeLab(t, "a", "b", "c")
	quick := rpc.NewMethod[job, report]("lab.Hedged", rpc.Idempotent(), rpc.Hedge(time.Minute))
	for i := range 50 {
		key := fmt.Sprint("key-", i)
		if _, err := quick.Call(t.Context(), nodes["a"], &job{Key: key}, rpc.Key(key)); err != nil {
			t.Fatal(err)
		}
	}
	if got := nodes["a"].Stats()["hedges"]; got != 0 {
		t.Errorf("%d hedges", got)
	}
}

// An owner that lives and is slow is not asked twice; if calls of the method may
// spill, the next owner answers.
func TestHedgeOfASlowOwner(t *testing.T) {
	t.Parallel()
	l, nodes := hedgeLab(t, "a", "b", "c", "d")
	a := nodes["a"]
	spread := rpc.NewMethod[job, report]("lab.Spread", rpc.Idempotent(),
		rpc.WithPolicy(rpc.CallPolicy{Spill: 1.25, Hedge: 20 * time.Millisecond}))
	for _, n := range nodes {
		spread.Handle(n, func(ctx context.Context, req *job) (*report, error) { return l.serve(ctx, n, req) })
	}
	release := make(chan struct{})
	l.do["slow on b"] = func(ctx context.Context, n *Node, _ *job) (*report, error) {
		if n.Name() == "b" {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		info, _ := rpc.InfoFrom(ctx)
		return &report{Node: n.Name(), Data: fmt.Append(nil, info.Spilled)}, nil
	}
	key := keysOwned(a, 1, "b", "c")[0]
	got, err := spread.Call(t.Context(), a, &job{Key: "spread", Do: "slow on b"}, rpc.Key(key), rpc.Timeout(patience))
	if err != nil || got.Node != "c" || string(got.Data) != "true" {
		t.Errorf("a method that may spill: %+v, %v", got, err)
	}
	before := a.Stats()["hedges"]
	link := a.view.Load().peers["b"].link
	link.mu.Lock()
	link.askedAt = 0 // forget the sign of life
	link.mu.Unlock()
	answered := make(chan *report, 1)
	go func() {
		got, err := hedgedWork.Call(t.Context(), a, &job{Key: "slow", Do: "slow on b"}, rpc.Key(key), rpc.Timeout(patience))
		if err != nil {
			t.Error(err)
		}
		answered <- got
	}()
	eventually(t, "the hedge is due, and the owner was asked for a sign of life", func() error {
		link.mu.Lock()
		defer link.mu.Unlock()
		if !link.alive || link.askedAt == 0 {
			return errors.New("it was not")
		}
		return nil
	})
	close(release)
	if got := await(t, "the answer", answered); got == nil || got.Node != "b" {
		t.Errorf("answered by %+v", got)
	}
	if ran := l.executed("slow"); len(ran) != 1 || a.Stats()["hedges"] != before {
		t.Errorf("executed on %v, %d hedges", ran, a.Stats()["hedges"]-before)
	}
}
