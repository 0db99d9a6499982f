package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// cutLab has two nodes; the action "cut" ends the connection by which a calls,
// the first time that a key is executed.
func cutLab(t *testing.T) (l *lab, a *Node) {
	t.Helper()
	l = newLab(t)
	w := newWires()
	l.edit = func(cfg *Config) {
		if cfg.Name == "a" {
			cfg.Network = w
		}
	}
	l.do["cut"] = func(_ context.Context, n *Node, req *job) (*report, error) {
		if len(l.executed(req.Key)) == 1 {
			w.cut()
		}
		return &report{Node: n.Name()}, nil
	}
	return l, l.cluster("a", "b")[0]
}

// When the connection breaks after a call was executed and before the answer,
// nobody knows. Only an idempotent method is tried again.
func TestAmbiguousFailure(t *testing.T) {
	t.Parallel()
	l, a := cutLab(t)
	toB := rpc.Key(keysOf(a, "b", 1)[0])
	for what, to := range map[string]rpc.CallOption{"key": toB, "peer": rpc.Peer("b")} {
		_, err := work.Call(t.Context(), a, &job{Do: "cut", Key: "work " + what}, to)
		if e := wantCode(t, err, rpc.Unavailable); !strings.Contains(e.Message, "unknown") || !strings.Contains(e.Message, "idempotent") {
			t.Errorf("%s: the error does not say what is known: %v", what, e)
		}
		got, err := safe.Call(t.Context(), a, &job{Do: "cut", Key: "safe " + what}, to)
		if err != nil || got.Node != "b" {
			t.Errorf("%s, idempotent: %+v, %v", what, got, err)
		}
		if work, safe := l.executed("work "+what), l.executed("safe "+what); len(work) != 1 || len(safe) != 2 {
			t.Errorf("%s: executed on %v, idempotent on %v; want once and twice", what, work, safe)
		}
	}
}

func TestAmbiguousFailureOfAny(t *testing.T) {
	t.Parallel()
	l, a := cutLab(t)
	unknown, answered := 0, 0
	for i := range 4 {
		key := fmt.Sprint("any ", i)
		_, err := work.Call(t.Context(), a, &job{Do: "cut", Key: key})
		ran := l.executed(key)
		switch {
		case len(ran) != 1:
			t.Errorf("call %d was executed on %v", i, ran)
		case ran[0] == "a" && err == nil:
			answered++
		case ran[0] == "b" && errors.Is(err, rpc.Unavailable):
			unknown++
		default:
			t.Errorf("call %d, executed on %v: %v", i, ran, err)
		}
	}
	for i := range 4 {
		key := fmt.Sprint("any ", i)
		if _, err := safe.Call(t.Context(), a, &job{Do: "cut", Key: "safe " + key}); err != nil {
			t.Errorf("idempotent call %d: %v", i, err)
		}
	}
	if unknown == 0 || answered == 0 {
		t.Errorf("%d outcomes unknown, %d answers", unknown, answered)
	}
}

// crashLab has three nodes; "hang" reports its begin and waits for the end of
// its context.
func crashLab(t *testing.T) (l *lab, nodes []*Node, began chan string) {
	t.Helper()
	l = newLab(t)
	began = make(chan string, 64)
	l.do["hang"] = func(ctx context.Context, n *Node, req *job) (*report, error) {
		if n.Name() == "c" {
			began <- req.Key
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &report{Node: n.Name()}, nil
	}
	return l, l.cluster("a", "b", "c"), began
}

// The owner dies while it executes: the outcome of what is not idempotent is
// unknown at once, the rest goes on to the next owner when membership has
// removed the dead one.
func TestCrashUnderCalls(t *testing.T) {
	t.Parallel()
	l, nodes, began := crashLab(t)
	a, c := nodes[0], nodes[2]
	keys := keysOf(a, "c", 8)
	var wg sync.WaitGroup
	for _, key := range keys {
		wg.Go(func() {
			_, err := work.Call(t.Context(), a, &job{Do: "hang", Key: "work " + key}, rpc.Key(key), rpc.Timeout(patience))
			if !errors.Is(err, rpc.Unavailable) {
				t.Errorf("not idempotent: %v", err)
			}
		})
		wg.Go(func() {
			got, err := safe.Call(t.Context(), a, &job{Do: "hang", Key: "safe " + key}, rpc.Key(key), rpc.Timeout(patience))
			if err != nil || got.Node == "c" {
				t.Errorf("idempotent: %+v, %v", got, err)
			}
		})
	}
	for range 2 * len(keys) {
		await(t, "the calls' begin", began)
	}
	c.Close()
	eventually(t, "a notices the broken connection", func() error {
		if p := a.view.Load().peers["c"]; p != nil && p.Current() != nil {
			return errors.New("it does not")
		}
		return nil
	})
	// What begins now finds nobody there. It is not idempotent, and still safe.
	for _, key := range keys {
		wg.Go(func() {
			got, err := work.Call(t.Context(), a, &job{Key: "late " + key}, rpc.Key(key), rpc.Timeout(patience))
			if err != nil || got.Node == "c" {
				t.Errorf("begun after the crash: %+v, %v", got, err)
			}
		})
	}
	wg.Wait()
	agree(t, nodes[:2]...)
	for _, key := range keys {
		if ran := l.executed("work " + key); len(ran) != 1 {
			t.Errorf("what is not idempotent was executed on %v", ran)
		}
		if ran := l.executed("late " + key); len(ran) != 1 {
			t.Errorf("what began after the crash was executed on %v", ran)
		}
		if ran := l.executed("safe " + key); len(ran) != 2 {
			t.Errorf("what is idempotent was executed on %v", ran)
		}
	}
}

// A dial that times out says nothing about the call's own deadline.
func TestDialTimeoutIsNoDeadline(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	w := newWires()
	l.edit = func(cfg *Config) {
		if cfg.Name == "a" {
			cfg.Network = w
		}
	}
	a := l.cluster("a", "b")[0]
	key := keysOf(a, "b", 1)[0]
	w.failing(func(addr string) error {
		return fmt.Errorf("dial %s: i/o timeout: %w", addr, context.DeadlineExceeded)
	})
	_, err := work.Call(t.Context(), a, &job{Key: key}, rpc.Peer("b"))
	wantCode(t, err, rpc.Unavailable)
	answered := make(chan error, 1)
	go func() {
		_, err := work.Call(t.Context(), a, &job{Key: key}, rpc.Key(key), rpc.Timeout(patience))
		answered <- err
	}()
	eventually(t, "some tries", func() error {
		if got := a.Stats()["retries"]; got < 6 {
			return fmt.Errorf("%d waits", got)
		}
		return nil
	})
	w.failing(nil)
	if err := await(t, "the answer", answered); err != nil {
		t.Error(err)
	}
	if ran := l.executed(key); len(ran) != 1 {
		t.Errorf("executed on %v", ran)
	}
}

// Somebody else listens where a member was, and does not speak the protocol.
func TestStrangerAtTheAddressOfAMember(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) {
		if cfg.Name == "b" {
			cfg.Bind = fixedAddr(t)
		}
	}
	nodes := l.cluster("a", "b", "c")
	a, b := nodes[0], nodes[1]
	key := keysOf(a, "b", 1)[0]
	at := b.Addr().String()
	b.Close()
	ln, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer ln.Close()
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = nc.Close()
		}
	})
	for _, m := range []rpc.Method[job, report]{work, safe} {
		_, err := m.Call(t.Context(), a, &job{}, rpc.Peer("b"))
		if code := rpc.CodeOf(err); code != rpc.Unavailable && code != rpc.NotFound {
			t.Errorf("a call by name: %v", err)
		}
	}
	got, err := work.Call(t.Context(), a, &job{Key: key}, rpc.Key(key), rpc.Timeout(patience))
	if err != nil || got.Node == "b" {
		t.Errorf("a keyed call: %+v, %v", got, err)
	}
}

// The waits between attempts grow, so that many callers of one dead node do
// not keep the others busy.
func TestWaitsGrow(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	w := newWires()
	l.edit = func(cfg *Config) { cfg.Network = w }
	a := l.cluster("a", "b")[0]
	key := keysOf(a, "b", 1)[0]
	w.failing(func(string) error { return errors.New("no route") })
	_, err := work.Call(t.Context(), a, &job{}, rpc.Key(key), rpc.Timeout(600*time.Millisecond))
	if e := wantCode(t, err, rpc.DeadlineExceeded); !strings.Contains(e.Message, "no route") {
		t.Errorf("the error does not say why: %v", e)
	}
	// 5, 10, 20, 40, 80, 160, 250, 250 ms, each at least halved by jitter.
	if got := a.Stats()["retries"]; got > 10 {
		t.Errorf("%d waits in 600 ms", got)
	}
}
