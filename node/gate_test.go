package node

import (
	"errors"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// A gate against a model: two numbers.
func TestGateModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g, inside, shut := newGate(), 0, false
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				if g.enter() == shut {
					t.Fatalf("entered a gate that is shut: %v", shut)
				}
				if !shut {
					inside++
				}
			},
			"leave": func(*rapid.T) {
				if inside > 0 {
					g.leave()
					inside--
				}
			},
			"close": func(*rapid.T) { g.close(); shut = true },
			"": func(t *rapid.T) {
				if got, want := isClosed(g.drained), shut && inside == 0; got != want {
					t.Fatalf("drained is %v with %d inside, shut %v", got, inside, shut)
				}
			},
		})
	})
}

var errOld = errors.New("it is the old one")

// While the gates change, each handler is counted by one that is waited for.
func TestSettle(t *testing.T) {
	t.Parallel()
	n, err := New(Config{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				g := n.enter()
				if g == nil {
					t.Error("refused while the node runs")
					return
				}
				g.leave()
			}
		})
	}
	for range 200 {
		<-n.settle()
	}
	wg.Wait()
	held := n.enter()
	old := n.running.Load()
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		<-n.settle()
	}()
	eventually(t, "a new gate", func() error {
		if n.running.Load() == old {
			return errOld
		}
		return nil
	})
	later := n.enter()
	if later == nil || later == held || isClosed(settled) {
		t.Fatal("a handler that begins later is not counted apart")
	}
	held.leave()
	await(t, "settle", settled)
	later.leave()
	n.running.Load().close()
	if n.enter() != nil {
		t.Error("entered after the last gate was shut")
	}
}
