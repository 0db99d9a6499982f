package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// A hook that does not return is told of the next change all the same, and holds nothing up.
func TestHooksThatDoNotReturn(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"panic", "exit"} {
		l := newLab(t)
		n := l.build(l.config("a"))
		var told atomic.Int64
		n.OnOwnership(func(OwnershipChange) {
			told.Add(1)
			_ = misbehave(how)
		}, HoldServing(time.Hour))
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.nodes = append(l.nodes, n)
		if _, err := work.Call(t.Context(), n, &job{}, rpc.Key("k"), rpc.Timeout(patience)); err != nil {
			t.Errorf("%s: a partition is held for ever: %v", how, err)
		}
		b := l.start("b")
		agree(t, n, b)
		eventually(t, "the second change", func() error {
			if told.Load() < 2 {
				return fmt.Errorf("%s: told %d times", how, told.Load())
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		l.log("a").wait(t, "ownership hook", `"stack"`, "guard_test.go")
	}
}

// rudeMemory does as it is told.
type rudeMemory struct {
	known, remember string
	calls           atomic.Int64
}

func (m *rudeMemory) Known() []KnownPeer { _ = misbehave(m.known); return nil }
func (m *rudeMemory) String() string     { return "a rude memory" }

func (m *rudeMemory) Remember([]KnownPeer) error {
	m.calls.Add(1)
	return misbehave(m.remember)
}

// A memory that panics is one that fails: at the start the node says so and does not start, as it
// would found a second cluster; later it is tried again.
func TestMemoriesThatDoNotReturn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	cfg := l.config("a")
	cfg.Remember = &rudeMemory{known: "panic"}
	n := l.build(cfg)
	if err := n.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "Config.Remember: panicked") {
		t.Errorf("it starts: %v", err)
	}
	for _, how := range []string{"panic", "exit", "nil error", "exit in error"} {
		l := newLab(t)
		cfg := l.config("a")
		memory := &rudeMemory{remember: how}
		cfg.Remember = memory
		n := l.launch(cfg)
		l.start("b")
		eventually(t, "it is asked to remember", func() error {
			if memory.calls.Load() == 0 {
				return errors.New(how)
			}
			return nil
		})
		n.Close()
		if calls := memory.calls.Load(); calls < 2 || calls > 3 { // at the end once more
			t.Errorf("%s: asked %d times", how, calls)
		}
	}
}
