package node

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// waiting waits until a node holds up so many calls, or has held them up.
func waiting(t *testing.T, n *Node, calls uint64) {
	t.Helper()
	eventually(t, "calls wait on "+n.Name(), func() error {
		if got := n.Stats()["held_calls"]; got < calls {
			return fmt.Errorf("%d of %d do", got, calls)
		}
		return nil
	})
}

// Calls that wait for a partition go to its new owner at once when it is lost
// again, though the hook still runs.
func TestHoldEndsWithTheLoss(t *testing.T) {
	t.Parallel()
	l, a, c, key, _ := holdLab(t, time.Hour)
	answered := make(chan string, 2)
	for _, from := range []*Node{a, c} {
		go func() {
			got, err := work.Call(t.Context(), from, &job{Key: key}, rpc.Key(key), rpc.Timeout(2*patience))
			if err != nil {
				answered <- err.Error()
				return
			}
			answered <- got.Node
		}()
	}
	waiting(t, a, 2)
	b := l.start("b")
	agree(t, a, b, c)
	for range 2 {
		if by := await(t, "an answer", answered); by != "b" {
			t.Errorf("answered by %s, want b", by)
		}
	}
	if got := a.Stats()["held_calls"]; got != 2 {
		t.Errorf("%d calls are counted as held up, want 2", got)
	}
}

// An owner that has just gained a partition holds up those calls too whose
// callers do not know of it yet, and take it for a stand-in.
func TestHoldHasNoWayAround(t *testing.T) {
	t.Parallel()
	for _, way := range []transport.StandIn{transport.ForFailover, transport.ForSpill} {
		l, a, c, key, release := holdLab(t, time.Hour)
		conn, err := c.view.Load().peers["a"].Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		body, err := rpc.Encode(nil, &job{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		req := transport.Request{Method: work.Name(), Body: body, Deadline: time.Now().Add(patience)}
		req.Meta = transport.Meta{Partition: int64(c.Table().Partition(key)), Key: []byte(key), StandIn: way}
		answered := make(chan error, 1)
		go func() {
			reply, err := conn.Call(t.Context(), &req)
			if err == nil {
				if reply.Code != transport.CodeOK || reply.Meta.StandIn != transport.AsOwner {
					err = fmt.Errorf("code %d, served as %d: %s", reply.Code, reply.Meta.StandIn, reply.Meta.Message)
				}
				reply.Release()
			}
			answered <- err
		}()
		waiting(t, a, 1)
		if ran := l.executed(key); len(ran) != 0 {
			t.Errorf("executed on %v though held", ran)
		}
		close(release)
		if err := await(t, "an answer", answered); err != nil {
			t.Error(err)
		}
	}
}

// Handlers that run on the reader cannot wait: their calls are refused, and come
// again.
func TestHoldRefusesInline(t *testing.T) {
	t.Parallel()
	_, a, c, key, release := holdLab(t, time.Hour)
	quick := rpc.NewMethod[job, report]("lab.Quick", rpc.Inline())
	for _, n := range []*Node{a, c} {
		quick.Handle(n, func(context.Context, *job) (*report, error) { return &report{Node: n.Name()}, nil })
	}
	before := a.Stats()["not_owner_sent"]
	answered := make(chan error, 1)
	go func() {
		got, err := quick.Call(t.Context(), c, &job{}, rpc.Key(key), rpc.Timeout(patience))
		if err == nil && got.Node != "a" {
			err = fmt.Errorf("answered by %s", got.Node)
		}
		answered <- err
	}()
	eventually(t, "refusals", func() error {
		if got := a.Stats(); got["not_owner_sent"] < before+2 || got["held_calls"] != 0 {
			return fmt.Errorf("%d refused, %d held up", got["not_owner_sent"]-before, got["held_calls"])
		}
		return nil
	})
	select {
	case err := <-answered:
		t.Fatalf("answered though held: %v", err)
	default:
	}
	close(release)
	if err := await(t, "an answer", answered); err != nil {
		t.Error(err)
	}
}

// Once nothing is held, calls do not have to look.
func TestHoldLeavesTheView(t *testing.T) {
	t.Parallel()
	for _, hold := range []time.Duration{time.Hour, 50 * time.Millisecond} { // ended by the return, and by the bound
		_, a, _, _, release := holdLab(t, hold)
		if hold == time.Hour {
			close(release)
		}
		eventually(t, "a view that holds nothing", func() error {
			if held := a.view.Load().held; held != nil {
				return fmt.Errorf("it has %d", len(held))
			}
			return nil
		})
	}
}

// What a node owns first is held up as well.
func TestHoldAtStart(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.build(l.config("a"))
	entered, release := make(chan struct{}), make(chan struct{})
	a.OnOwnership(func(c OwnershipChange) {
		if len(c.Gained) > 0 {
			close(entered)
			<-release
		}
	}, HoldServing(time.Hour))
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the hook", entered)
	_, err := work.Call(t.Context(), a, &job{Key: "k"}, rpc.Key("k"), rpc.Timeout(50*time.Millisecond))
	wantCode(t, err, rpc.DeadlineExceeded)
	if ran := l.executed("k"); len(ran) != 0 {
		t.Errorf("executed on %v though held", ran)
	}
	close(release)
	if _, err := work.Call(t.Context(), a, &job{Key: "k"}, rpc.Key("k")); err != nil {
		t.Error(err)
	}
}

// A node ends though a hook hangs; whoever waits for it learns of that.
func TestHoldEndsWithTheNode(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.build(l.config("a"))
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	a.OnOwnership(func(OwnershipChange) {
		close(entered)
		<-release
	}, HoldServing(time.Hour))
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the hook", entered)
	answered := make(chan error, 1)
	go func() {
		_, err := work.Call(t.Context(), a, &job{Key: "k"}, rpc.Key("k"), rpc.Timeout(2*patience))
		answered <- err
	}()
	waiting(t, a, 1)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		a.Close()
	}()
	wantCode(t, await(t, "an answer", answered), rpc.Unavailable)
	await(t, "Close", closed)
	if ran := l.executed("k"); len(ran) != 0 {
		t.Errorf("executed on %v though held", ran)
	}
}

// A hook learns of a table that comes just as it is done with the one before.
func TestHookMissesNoTable(t *testing.T) {
	t.Parallel()
	n, err := New(Config{Name: "a", Cluster: "c", Table: router.Params{Partitions: 1 << 8}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	told, proceed := make(chan *router.Table), make(chan struct{})
	n.OnOwnership(func(c OwnershipChange) {
		told <- c.New
		<-proceed
	})
	var tables [2]*router.Table
	for i, members := range [][]router.Member{{{Name: "a"}}, {{Name: "a"}, {Name: "b"}}} {
		if tables[i], err = router.New(members, n.cfg.Table); err != nil {
			t.Fatal(err)
		}
	}
	hook := n.hooks[0]
	for i := range 500 {
		table := tables[i%2]
		n.viewMu.Lock()
		next := *n.view.Load()
		next.table, next.joined = table, true
		n.view.Store(&next)
		if i > 0 {
			hook.mu.Unlock() // the hook is done, or about to be
		}
		hook.poke()
		n.viewMu.Unlock()
		if got := await(t, fmt.Sprintf("word of table %d", i), told); got != table {
			t.Fatal("another table")
		}
		hook.mu.Lock()
		proceed <- struct{}{}
		for range 10 {
			runtime.Gosched() // it looks for the next table
		}
	}
	hook.mu.Unlock()
}
