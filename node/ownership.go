package node

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/router"
)

// OwnershipChange is what a new table means for this node. Several tables that
// followed each other quickly may be one change.
type OwnershipChange struct {
	// Old and New are the tables before and after. They are immutable.
	Old, New *router.Table
	// OldFingerprint and NewFingerprint are those of the tables.
	OldFingerprint, NewFingerprint router.Fingerprint
	// Gained and Lost are the partitions that came to this node and went from
	// it, with the owners before and after. The slices are the hook's.
	Gained, Lost router.Moves
	// Moved is how many partitions changed their owner in the whole cluster;
	// New.Diff(Old) gives them all.
	Moved int
	// Joined and Left are the members that only one of the tables has, and Changed
	// those with another weight or zone, by name: why the partitions moved.
	Joined, Left, Changed []string
}

// OwnershipOption is a property of a hook.
type OwnershipOption func(*ownershipHook)

// HoldServing has calls with keys that this node has just gained wait until the
// hook has returned, so that it can fetch their state; they wait at most atMost,
// and within their own deadlines. Handlers that are inline cannot wait: their
// calls are refused, and sent again by their callers.
func HoldServing(atMost time.Duration) OwnershipOption {
	return func(h *ownershipHook) { h.hold = atMost }
}

// OnOwnership has fn told of each change of what this node owns, beginning with
// the change from nothing to what it owns now or will own first. Changes come in
// order, one at a time, each from where the last one ended; those that come while
// fn runs are one change. A node that leaves gracefully is told that it loses
// everything, and Stop waits for fn, within its context; Close does not wait for
// it for long. A panic of fn is logged and counted. fn must not call Stop, which
// would wait for it.
func (n *Node) OnOwnership(fn func(OwnershipChange), opts ...OwnershipOption) {
	h := &ownershipHook{n: n, fn: fn}
	for _, o := range opts {
		o(h)
	}
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	n.hooks = append(n.hooks, h)
	h.poke()
}

// ownershipHook is one hook with what it was told.
//
// Invariant: at most one goroutine runs fn, and as long as what was told is not
// the latest table, there is one.
type ownershipHook struct {
	n    *Node
	fn   func(OwnershipChange)
	hold time.Duration // 0: it holds nothing up

	mu      sync.Mutex
	running bool
	idle    chan struct{} // closed when running ends; nil: it never ran
	told    *router.Table // nil: nothing yet
}

// poke has fn told what it does not know yet. The caller holds viewMu, so that
// shut knows when none will come any more.
func (h *ownershipHook) poke() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running || h.n.ctx.Err() != nil {
		return
	}
	h.running, h.idle = true, make(chan struct{})
	h.n.hooksRun.Add(1)
	go func() {
		defer h.n.hooksRun.Done()
		for h.next() {
		}
	}()
}

// next tells the hook of one change. It is false when there is none.
func (h *ownershipHook) next() bool {
	h.mu.Lock()
	v := h.n.view.Load() // under mu: whoever puts a newer one in place pokes after that
	old := h.told
	if v.table == old || old == nil && v.table.Len() == 0 || h.n.ctx.Err() != nil {
		h.running = false
		close(h.idle)
		h.mu.Unlock()
		return false
	}
	h.told = v.table
	h.mu.Unlock()
	if change, news := h.n.changeOf(old, v.table); news {
		h.tell(change)
	}
	for _, held := range v.held {
		held.release(h)
	}
	return true
}

// changeOf gives what moved for this node from one table to the other.
func (n *Node) changeOf(old, table *router.Table) (c OwnershipChange, news bool) {
	if old == nil {
		old, _ = router.New(nil, table.Params())
	}
	moves, err := table.Diff(old)
	if err != nil {
		return c, false
	}
	c = OwnershipChange{
		Old: old, New: table, OldFingerprint: old.Fingerprint(), NewFingerprint: table.Fingerprint(), Moved: len(moves),
	}
	c.Joined, c.Left, c.Changed = compare(old, table)
	for _, m := range moves {
		switch n.cfg.Name {
		case m.To:
			c.Gained = append(c.Gained, m)
		case m.From:
			c.Lost = append(c.Lost, m)
		}
	}
	return c, true
}

// tell runs the hook.
func (h *ownershipHook) tell(c OwnershipChange) {
	defer func() {
		if p := recover(); p != nil {
			h.n.stats.add(Panics)
			h.n.log.Error().Str("panic", fmt.Sprint(p)).Bytes("stack", debug.Stack()).Msg("ownership hook panicked")
		}
	}()
	h.fn(c)
}

// settled waits until every hook knows of the latest table, or ctx ends.
func (n *Node) settled(ctx context.Context) {
	n.viewMu.Lock()
	hooks := slices.Clone(n.hooks)
	n.viewMu.Unlock()
	for _, h := range hooks {
		h.mu.Lock()
		idle := h.idle
		h.mu.Unlock()
		if idle == nil {
			continue
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return
		}
	}
}
