package node

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
)

// tell makes n take a snapshot in which b is in another state, or is not.
func tell(n *Node, b func(*membership.Member) (stays bool)) {
	old := n.Members()
	next := &membership.Snapshot{Version: old.Version + 1, Self: old.Self}
	for _, m := range old.Members {
		if m.Name != "b" || b(&m) {
			next.Members = append(next.Members, m)
		}
	}
	n.onMembers(next)
}

func gone(*membership.Member) bool { return false }

// hanging makes a call from a to b whose handler waits until release.
func hanging(t *testing.T) (a *Node, release chan struct{}, answered chan error) {
	t.Helper()
	l := newLab(t)
	began, release := make(chan struct{}, 1), make(chan struct{})
	l.do["hang"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		began <- struct{}{}
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	}
	a = l.cluster("a", "b")[0]
	answered = make(chan error, 1)
	go func() {
		_, err := work.Call(context.Background(), a, &job{Do: "hang"}, rpc.Peer("b"), rpc.Timeout(time.Hour))
		answered <- err
	}()
	await(t, "the handler's begin", began)
	return a, release, answered
}

// Whoever waits for a member that died learns of it at once, also when the
// dead one's machine no longer says so itself.
func TestDeathEndsCalls(t *testing.T) {
	t.Parallel()
	a, _, answered := hanging(t)
	tell(a, gone)
	wantCode(t, await(t, "the end of the call", answered), rpc.Unavailable)
	if _, err := work.Call(t.Context(), a, &job{}, rpc.Peer("b")); !errors.Is(err, rpc.NotFound) {
		t.Errorf("a call to the dead one: %v", err)
	}
}

// A member that said that it leaves finishes what it has.
func TestLeavingFinishesCalls(t *testing.T) {
	t.Parallel()
	a, release, answered := hanging(t)
	tell(a, func(m *membership.Member) bool { m.State = membership.StateDraining; return true })
	if a.Table().Has("b") || a.view.Load().peers["b"] == nil {
		t.Error("who drains owns keys still, or cannot be called")
	}
	tell(a, gone)
	select {
	case err := <-answered:
		t.Errorf("the call ended with %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if err := await(t, "the end of the call", answered); err != nil {
		t.Error(err)
	}
}

// A new life of a member at its address gets a new connection; other news
// about it does not.
func TestNewLifeNewConnection(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.cluster("a", "b")[0]
	peer := func() *peer { return a.view.Load().peers["b"] }
	first := peer().Peer
	tell(a, func(m *membership.Member) bool { m.Weight = 3; return true })
	if peer().Peer != first {
		t.Error("a new weight made a new connection")
	}
	if m, _ := a.Table().Member("b"); m.Weight != 3 {
		t.Errorf("the table has the weight %v", m.Weight)
	}
	tell(a, func(m *membership.Member) bool { m.Boot++; return true })
	if peer().Peer == first || peer().Addr() != first.Addr() {
		t.Error("a new life has the old connection")
	}
	if _, err := first.Conn(t.Context()); err == nil {
		t.Error("the old handle still connects")
	}
}

// A node that leaves waits until the others have seen it: here, as long as b
// answers that its table is another one.
func TestLeavingWaitsToBeForgotten(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var old atomic.Bool
	old.Store(true)
	l.edit = func(cfg *Config) {
		if cfg.Name != "b" {
			return
		}
		cfg.Server = append(cfg.Server, func(ctx context.Context, _ *rpc.Info, req any, next rpc.ServerHandler) (any, error) {
			reply, err := next(ctx, req)
			if pong, ok := reply.(*PingReply); ok && old.Load() {
				pong.Fingerprint = "old"
			}
			return reply, err
		})
	}
	nodes := l.cluster("a", "b", "c")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stopNode(t, nodes[0])
	}()
	agree(t, nodes[1:]...)
	select {
	case <-stopped:
		t.Error("it did not wait for b")
	case <-time.After(100 * time.Millisecond):
	}
	if got, err := work.Call(t.Context(), nodes[2], &job{}, rpc.Peer("a")); err != nil || got.Node != "a" {
		t.Errorf("meanwhile it gives %+v, %v", got, err)
	}
	old.Store(false)
	await(t, "the end of Stop", stopped)
	if strings.Contains(l.log("a").String(), "may still route") {
		t.Error("it gave up waiting")
	}
}

// A node that is being stopped does not begin to serve.
func TestNoServingAfterStop(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.build(l.config("a"))
	if err := a.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, _ := a.life.stop()
	defer a.shut()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := a.join(ctx); !first || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("join gives %v", err)
	}
	if ready, _ := a.Ready(); ready || a.Table().Len() > 0 {
		t.Errorf("ready %v with %d owners", ready, a.Table().Len())
	}
}
