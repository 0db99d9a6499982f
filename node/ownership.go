package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/meshnode/meshnode/router"
)

// Fate is what became of the node that served a partition before this one.
type Fate uint8

// The fates.
const (
	// FateNew: no live member knows of a node that served the partition.
	FateNew Fate = iota
	// FateMoved: the node lives and serves the partition no more. It may be this
	// node itself, if it lost the partition and nobody else has served it since.
	FateMoved
	// FateLeft: the node leaves gracefully, or has left. Until it has, it answers:
	// it waits for the hooks of those who gain its partitions, within the bounds of
	// Node.Stop.
	FateLeft
	// FateCrashed: the node ended without a word, or does not answer. What it alone
	// knew is lost, or comes back with it.
	FateCrashed
)

// String returns "new", "moved", "left" or "crashed".
func (f Fate) String() string {
	if names := [...]string{"new", "moved", "left", "crashed"}; int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("fate(%d)", uint8(f))
}

// Gain is a partition that came to this node.
type Gain struct {
	Partition uint32
	// From is the node that served the partition last, whoever that is by this
	// node's former table; empty if Fate is FateNew.
	From string
	Fate Fate
}

// OwnershipChange is what a new table means for this node. Several tables that
// followed each other quickly may be one change. A table by which this node both
// loses and gains makes two changes: the losses are told at once, the gains once
// their former owners are known; Old and New of the second are the same table.
type OwnershipChange struct {
	// Old and New are the tables before and after. They are immutable.
	Old, New *router.Table
	// OldFingerprint and NewFingerprint are those of the tables.
	OldFingerprint, NewFingerprint router.Fingerprint
	// Gained are the partitions that came to this node, ascending, with the nodes
	// that served them last. The slice is the hook's.
	Gained []Gain
	// Lost are the partitions that went from this node, ascending, with the owners
	// by New, which may not be the ones that serve them in the end: the node that
	// does learns from Gained that it gets them from this one. The slice is the
	// hook's.
	Lost router.Moves
	// Moved is how many partitions changed their owner in the whole cluster;
	// New.Diff(Old) returns them all.
	Moved int
	// Joined and Left are the members that only one of the tables has, and Changed
	// those with another weight or zone, by name: why the partitions moved. Of
	// those in Left, Crashed are the ones that ended without a word.
	Joined, Left, Crashed, Changed []string
}

// OwnershipOption is a property of a hook.
type OwnershipOption func(*ownershipHook)

// HoldServing makes calls with keys that this node has just gained wait until the
// hook has returned, so that it can fetch their state; they wait at most atMost,
// and within their own deadlines. Handlers that are inline cannot wait: their
// calls are refused, and sent again by their callers. Up to half of atMost, but
// no more than 5 s, may pass before the hook is called, while the former owners
// are asked.
func HoldServing(atMost time.Duration) OwnershipOption {
	return func(h *ownershipHook) { h.hold = atMost }
}

// TablesOnly makes the hook one that follows the tables alone: it is told of gains
// as soon as of losses, without asking anybody for the former owners, so every
// Gain has an empty From and FateNew. It is for programs that find the state of a
// partition by themselves.
func TablesOnly() OwnershipOption {
	return func(h *ownershipHook) { h.tablesOnly = true }
}

// OnOwnership calls fn at each change of what this node owns, once the node is
// ready, beginning with the change from nothing to what it owns then. Changes come
// in order, one at a time, each from where the last one ended; those that come
// while fn runs are one change. A panic of fn is logged and counted, as is an fn that
// ends its goroutine (runtime.Goexit). fn must not
// call Stop, which would wait for it.
//
// What Gain.From promises: among nodes that have hooks, a partition passes from one
// to the next in a chain. The next one's hook is told of the gain after the former
// one's has been told of the loss and has returned, and From is that former node.
// The node waits for that, but not for ever: a former owner that falls silent or
// takes longer than half of HoldServing (2 s without it, at most 5 s) is passed by.
// Register hooks on every node that owns keys: one without hooks takes no part in
// the chain. A hook registered on a node that is ready is told that what the node
// serves already comes from the node itself.
//
// A node that leaves gracefully is told that it loses everything. Stop waits for fn,
// and for the hooks of those who gain the partitions, within its context; Close
// does not wait for them for long.
func (n *Node) OnOwnership(fn func(OwnershipChange), opts ...OwnershipOption) {
	h := &ownershipHook{n: n, fn: fn}
	for _, o := range opts {
		o(h)
	}
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	v := n.view.Load()
	if !h.tablesOnly {
		n.handover.join(v)
	}
	h.late = v.joined
	n.hooks = append(n.hooks, h)
	n.handover.setHooks(n.hooks)
	h.poke()
}

// changeOf returns what moved in the cluster from one table to the next. The gains
// and losses of this node are the hook's to add.
func (n *Node) changeOf(old, table *router.Table) (c OwnershipChange, err error) {
	if old == nil {
		old, _ = router.New(nil, table.Params())
	}
	c = OwnershipChange{
		Old: old, New: table, OldFingerprint: old.Fingerprint(), NewFingerprint: table.Fingerprint(),
	}
	if old == table {
		return c, nil
	}
	moves, err := table.Diff(old)
	if err != nil {
		return c, err
	}
	c.Moved = len(moves)
	c.Joined, c.Left, c.Changed = compare(old, table)
	v := n.view.Load()
	for _, name := range c.Left {
		if n.departed.fate(v, name) == FateCrashed {
			c.Crashed = append(c.Crashed, name)
		}
	}
	return c, nil
}

// waitHooks waits until every hook knows of the latest table, or ctx ends.
func (n *Node) waitHooks(ctx context.Context) {
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
