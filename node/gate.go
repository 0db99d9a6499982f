package node

import (
	"sync"
	"sync/atomic"
)

// gate counts calls under way and can be shut. It has no lock because every
// call passes it twice.
//
// Invariant: once drained is closed, no call is under way and none will be.
type gate struct {
	state   atomic.Int64 // calls inside, and the bit gateShut
	once    sync.Once
	drained chan struct{}
}

// gateShut is set in the state of a gate that is shut.
const gateShut = 1 << 62

func newGate() *gate { return &gate{drained: make(chan struct{})} }

// enter counts a call, unless the gate is shut.
func (g *gate) enter() bool {
	if g.state.Add(1)&gateShut == 0 {
		return true
	}
	g.leave()
	return false
}

// leave ends a call that entered.
func (g *gate) leave() {
	if g.state.Add(-1) == gateShut {
		g.once.Do(func() { close(g.drained) })
	}
}

// shut reports whether the gate is shut.
func (g *gate) shut() bool { return g.state.Load()&gateShut != 0 }

// close shuts the gate and gives a channel that is closed when the last call
// has left.
func (g *gate) close() <-chan struct{} {
	if g.state.Or(gateShut) == 0 {
		g.once.Do(func() { close(g.drained) })
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

// settle returns a channel that is closed when every handler that runs now has returned. Others may
// begin meanwhile, behind a new gate.
func (n *Node) settle() <-chan struct{} { return n.running.Swap(newGate()).close() }
