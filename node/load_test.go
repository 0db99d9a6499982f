package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/meshnode/meshnode/rpc"
)

// load calls keys that are used once each, by several callers on each node,
// with a method that is not idempotent.
type load struct {
	stop   chan struct{}
	wg     sync.WaitGroup
	calls  atomic.Int64
	failed chan error
	keys   sync.Map
}

func newLoad(t *testing.T, do string, nodes ...*Node) *load {
	t.Helper()
	ld := &load{stop: make(chan struct{}), failed: make(chan error, 1)}
	for i, n := range nodes {
		for j := range 3 {
			ld.wg.Go(func() { ld.run(n, fmt.Sprintf("%s by %s %d.%d", do, n.Name(), i, j), do) })
		}
	}
	ld.more(t, 200)
	return ld
}

func (ld *load) run(n *Node, name, do string) {
	for i := 0; ; i++ {
		select {
		case <-ld.stop:
			return
		default:
		}
		key := fmt.Sprintf("%s.%d", name, i)
		if _, err := work.Call(context.Background(), n, &job{Key: key, Do: do}, rpc.Key(key), rpc.Timeout(patience)); err != nil {
			select {
			case ld.failed <- fmt.Errorf("%s: %w", key, err):
			default:
			}
		}
		ld.keys.Store(key, true)
		ld.calls.Add(1)
	}
}

// more waits for so many calls from now on.
func (ld *load) more(t *testing.T, calls int64) {
	t.Helper()
	from := ld.calls.Load()
	eventually(t, "calls", func() error {
		if got := ld.calls.Load() - from; got < calls {
			return fmt.Errorf("%d of %d", got, calls)
		}
		return nil
	})
}

// end stops the load; no call may have failed, and each was executed once.
func (ld *load) end(t *testing.T, l *lab) {
	t.Helper()
	close(ld.stop)
	ld.wg.Wait()
	select {
	case err := <-ld.failed:
		t.Errorf("of %d calls at least one failed: %v", ld.calls.Load(), err)
	default:
	}
	ld.keys.Range(func(key, _ any) bool {
		if ran := l.executed(key.(string)); len(ran) != 1 {
			t.Errorf("%q was executed on %v", key, ran)
		}
		return true
	})
}

// stopNode leaves gracefully and fails if that is cut short.
func stopNode(t *testing.T, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Errorf("stopping %s: %v", n.Name(), err)
	}
}

// Joins and graceful leaves lose no call and execute none twice.
func TestJoinAndLeaveUnderLoad(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	ld := newLoad(t, "", nodes[0], nodes[1])
	d := l.start("d")
	agree(t, nodes[0], nodes[1], nodes[2], d)
	ld.more(t, 200)
	stopNode(t, nodes[2])
	ld.more(t, 200)
	stopNode(t, d)
	ld.more(t, 200)
	ld.end(t, l)
	agree(t, nodes[:2]...)
}
