package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// Calls that were made on the leaving node itself finish too, and so do those
// that a handler makes while the node waits for it.
func TestLeaveFinishesNestedCalls(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	began, release := make(chan struct{}, 2), make(chan struct{})
	l.do["nest"] = func(ctx context.Context, n *Node, req *job) (*report, error) {
		began <- struct{}{}
		<-release
		for i := range 100 {
			key := fmt.Sprintf("%s/%d", req.Key, i)
			if _, err := work.Call(ctx, n, &job{Key: key}, rpc.Key(key)); err != nil {
				return nil, fmt.Errorf("nested call %d: %w", i, err)
			}
		}
		return &report{Node: n.Name()}, nil
	}
	nodes := l.cluster("a", "b", "c")
	var wg sync.WaitGroup
	for from, n := range map[string]*Node{"elsewhere": nodes[0], "here": nodes[2]} {
		wg.Go(func() {
			got, err := work.Call(t.Context(), n, &job{Do: "nest", Key: from}, rpc.Peer("c"), rpc.Timeout(patience))
			if err != nil || got.Node != "c" {
				t.Errorf("called from %s: %+v, %v", from, got, err)
			}
		})
		await(t, "the handler's begin", began)
	}
	wg.Go(func() { stopNode(t, nodes[2]) })
	agree(t, nodes[:2]...)
	l.log("c").wait(t, "leaving")
	close(release)
	wg.Wait()
}

// Stop waits for handlers, then ends.
func TestStopWaitsForCalls(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	began, release := make(chan struct{}, 4), make(chan struct{})
	l.do["slow"] = func(_ context.Context, n *Node, _ *job) (*report, error) {
		began <- struct{}{}
		<-release
		return &report{Node: n.Name()}, nil
	}
	nodes := l.cluster("a", "b")
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			got, err := work.Call(t.Context(), n, &job{Do: "slow"}, rpc.Peer("b"), rpc.Timeout(patience))
			if err != nil || got.Node != "b" {
				t.Errorf("called from %s: %+v, %v", n.Name(), got, err)
			}
		})
		await(t, "the handler's begin", began)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stopNode(t, nodes[1])
	}()
	agree(t, nodes[0])
	select {
	case <-stopped:
		t.Error("Stop did not wait")
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	await(t, "the end of Stop", stopped)
	wg.Wait()
	if _, err := work.Call(t.Context(), nodes[1], &job{}, rpc.Peer("b")); !errors.Is(err, rpc.Unavailable) {
		t.Errorf("a call on a stopped node: %v", err)
	}
}

// deafLab has a node b in which a handler runs for a and one for b itself, both
// deaf to their contexts until release is closed.
func deafLab(t *testing.T) (a, b *Node, l *lab, failed chan error, release chan struct{}) {
	t.Helper()
	l = newLab(t)
	began, release := make(chan struct{}, 2), make(chan struct{})
	l.do["deaf"] = func(context.Context, *Node, *job) (*report, error) {
		began <- struct{}{}
		<-release
		return nil, nil
	}
	nodes := l.cluster("a", "b")
	failed = make(chan error, 2)
	for _, n := range nodes {
		go func() {
			_, err := work.Call(context.Background(), n, &job{Do: "deaf"}, rpc.Peer("b"), rpc.Timeout(time.Hour))
			failed <- err
		}()
		await(t, "the handler's begin", began)
	}
	return nodes[0], nodes[1], l, failed, release
}

// Handlers that heed nothing hold neither Stop beyond its context nor Close.
func TestDeafHandlers(t *testing.T) {
	t.Parallel()
	ends := map[string]func(t *testing.T, n *Node){
		"Stop": func(t *testing.T, n *Node) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := n.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "before all calls") {
				t.Errorf("Stop gives %v", err)
			}
		},
		"Close": func(_ *testing.T, n *Node) { n.Close() },
		"Close during Stop": func(t *testing.T, n *Node) {
			stopped := make(chan error, 1)
			go func() { stopped <- n.Stop(context.Background()) }()
			eventually(t, "Stop has begun", func() error {
				if !n.life.isStopping() {
					return errors.New("it has not")
				}
				return nil
			})
			n.Close()
			if err := await(t, "the end of Stop", stopped); !errors.Is(err, context.Canceled) {
				t.Errorf("Stop gives %v", err)
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, b, l, failed, release := deafLab(t)
			defer close(release)
			within(t, handlerGrace, func() { end(t, b) })
			l.log("b").wait(t, "handlers still run")
			for range 2 {
				if err := await(t, "the end of a call", failed); !errors.Is(err, rpc.Unavailable) {
					t.Errorf("a call ended with %v", err)
				}
			}
		})
	}
}

// Handlers that do heed their contexts are told of the end, whoever called.
func TestCloseEndsHandlers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	began, ended := make(chan struct{}, 3), make(chan error, 3)
	l.do["heed"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		began <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}
	nodes := l.cluster("a", "b")
	failed := make(chan error, 2)
	for _, n := range nodes {
		go func() {
			_, err := work.Call(context.Background(), n, &job{Do: "heed"}, rpc.Peer("b"), rpc.Timeout(time.Hour))
			failed <- err
		}()
	}
	if err := work.Send(t.Context(), nodes[1], &job{Do: "heed"}, rpc.Peer("b"), rpc.Timeout(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		await(t, "the handler's begin", began)
	}
	nodes[1].Close()
	for range 3 {
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("a handler's context ended with %v", err)
			}
		default:
			t.Error("Close did not wait for a handler")
		}
	}
	for range 2 {
		if err := await(t, "the end of a call", failed); err == nil {
			t.Error("a call succeeded")
		}
	}
	if strings.Contains(l.log("b").String(), "handlers still run") {
		t.Error("the log blames handlers that heeded their contexts")
	}
}

// A handler may end its own node.
func TestCloseInsideHandler(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"a", "b"} {
		t.Run("called from "+from, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.do["die"] = func(_ context.Context, n *Node, _ *job) (*report, error) { n.Close(); return nil, nil }
			nodes := l.cluster("a", "b")
			for _, n := range nodes {
				if n.Name() != from {
					continue
				}
				_, err := work.Call(t.Context(), n, &job{Do: "die"}, rpc.Peer("b"), rpc.Timeout(patience))
				wantCode(t, err, rpc.Unavailable)
			}
			await(t, "the end of b", nodes[1].Done())
		})
	}
}
