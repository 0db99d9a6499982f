package node

import (
	"context"
	"sync"
)

// gate counts calls under way and can be shut.
//
// Invariant: once drained is closed, no call is under way and none will be.
type gate struct {
	mu      sync.Mutex
	inside  int
	shut    bool
	drained chan struct{}
}

func newGate() *gate { return &gate{drained: make(chan struct{})} }

// enter counts a call, unless the gate is shut.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	g.inside++
	return true
}

// leave ends a call that entered.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.shut && g.inside == 0 {
		close(g.drained)
	}
}

// close shuts the gate and gives a channel that is closed when the last call
// has left.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		g.shut = true
		if g.inside == 0 {
			close(g.drained)
		}
	}
	return g.drained
}

// enter counts a handler that begins to run. It gives nil once the node has
// shut its last gate.
func (n *Node) enter() *gate {
	for {
		g := n.running.Load()
		if g.enter() {
			return g
		}
		if n.running.Load() == g {
			return nil
		}
	}
}

// settle waits until every handler that runs now has returned, or ctx ends.
// Others may begin meanwhile.
func (n *Node) settle(ctx context.Context) {
	select {
	case <-n.running.Swap(newGate()).close():
	case <-ctx.Done():
	}
}
