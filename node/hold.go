package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// held is partitions that this node has gained with one table and does not
// serve yet, because hooks fetch their state.
//
// Invariant: it is in place in the very view in which the partitions are gained,
// so no call is served before; done is closed once no hook is waited for.
type held struct {
	n          *Node
	partitions []uint32 // ascending
	done       chan struct{}

	mu      sync.Mutex
	waiting map[*ownershipHook]*time.Timer
}

// holdLocked gives what is held in the next view, whose table is new. The caller
// holds viewMu.
func (n *Node) holdLocked(old, next *view) []*held {
	still := old.stillHeld()
	var hooks []*ownershipHook
	for _, h := range n.hooks {
		if h.hold > 0 {
			hooks = append(hooks, h)
		}
	}
	if len(hooks) == 0 || !next.joined || old.joined && old.table == next.table || n.ctx.Err() != nil {
		return still
	}
	before := old.table
	if !old.joined {
		before = nil // until now it has served nothing
	}
	moves, err := next.table.Diff(before)
	if err != nil {
		return still
	}
	gained := moves.Gained(n.cfg.Name)
	if len(gained) == 0 {
		return still
	}
	h := &held{n: n, partitions: gained, done: make(chan struct{}), waiting: make(map[*ownershipHook]*time.Timer)}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, hook := range hooks {
		h.waiting[hook] = time.AfterFunc(hook.hold, func() {
			if h.release(hook) {
				n.stats.add(HoldTimeouts)
				n.log.Warn().Int64("hold_ms", hook.hold.Milliseconds()).Int("partitions", len(gained)).
					Msg("an ownership hook takes too long: serving what was gained without it")
			}
		})
	}
	return append(still, h)
}

// release stops waiting for a hook. It is false if that was not waited for.
func (h *held) release(hook *ownershipHook) bool {
	h.mu.Lock()
	timer := h.waiting[hook]
	if timer != nil {
		timer.Stop()
		delete(h.waiting, hook)
		if len(h.waiting) == 0 {
			close(h.done)
		}
	}
	h.mu.Unlock()
	if timer != nil && h.over() {
		h.n.forgetHeld()
	}
	return timer != nil
}

// forgetHeld makes a view without what is not held any more, so that calls need
// not look.
func (n *Node) forgetHeld() {
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	old := n.view.Load()
	next := *old
	next.held, next.changed = old.stillHeld(), make(chan struct{})
	n.view.Store(&next)
	close(old.changed)
}

// stillHeld is what is held up yet; nil: nothing.
func (v *view) stillHeld() (still []*held) {
	for _, h := range v.held {
		if !h.over() {
			still = append(still, h)
		}
	}
	return still
}

// end stops waiting for all hooks: the node ends.
func (h *held) end() {
	h.mu.Lock()
	hooks := make([]*ownershipHook, 0, len(h.waiting))
	for hook := range h.waiting {
		hooks = append(hooks, hook)
	}
	h.mu.Unlock()
	for _, hook := range hooks {
		h.release(hook)
	}
}

// over tells whether nothing is held any more.
func (h *held) over() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// holds gives what holds up a partition; nil: nothing does.
func (v *view) holds(partition uint32) *held {
	for _, h := range v.held {
		if _, found := slices.BinarySearch(h.partitions, partition); found && !h.over() {
			return h
		}
	}
	return nil
}

// awaitHeld waits until something may have changed for a call whose partition is
// held in v, which its caller finds out: it is served, or is no longer this
// node's. The error says that the call's time is up.
func (n *Node) awaitHeld(ctx context.Context, v *view, h *held) error {
	select {
	case <-h.done:
	case <-v.changed:
	case <-ctx.Done():
	}
	return ctx.Err() // several may have come
}

// awaitServing has a call wait while its partition is held. It is false if the
// call was answered instead, because its time is up or it cannot wait.
func (n *Node) awaitServing(in *transport.Incoming, v *view, h *held) bool {
	if in.Inline() {
		n.stats.add(NotOwnerSent)
		_ = in.Reply(uint64(rpc.NotOwner), n.refusal(v, "node %s has just gained partition %d and is not ready to serve it", n.cfg.Name, in.Meta.Partition), nil)
		return false
	}
	if err := n.awaitHeld(in.Context(), v, h); err != nil {
		_ = in.Reply(uint64(rpc.CodeOf(err)), n.refusal(v, "node %s was not ready to serve partition %d in time", n.cfg.Name, in.Meta.Partition), nil)
		return false
	}
	return true
}
