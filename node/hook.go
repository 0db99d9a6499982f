package node

import (
	"sync"
	"time"

	"github.com/meshnode/meshnode/router"
)

// ownershipHook is one hook with what it was told.
//
// Invariant: at most one goroutine runs fn, and as long as what was told is not
// the latest table, there is one. A partition is in has from before fn is told of
// the gain until fn has returned from being told of the loss, and in done while
// it is in has and fn does not run with its gain.
type ownershipHook struct {
	n          *Node
	fn         func(OwnershipChange)
	hold       time.Duration // 0: it holds nothing up
	tablesOnly bool
	late       bool // the node was ready when the hook came

	mu      sync.Mutex
	running bool
	idle    chan struct{} // closed when running ends; nil: it never ran

	// Of the goroutine that runs fn:
	told   *router.Table // nil: nothing yet
	before *router.Table // the last one of which it was told the gains too

	// Under n.handover.mu; of a hook with tablesOnly, of the goroutine that runs fn:
	has, done bitset
}

// bitset is a set of partitions.
type bitset []uint64

func (b bitset) contains(p uint32) bool {
	return int(p>>6) < len(b) && b[p>>6]&(1<<(p&63)) != 0
}

func (b *bitset) add(p uint32) {
	for int(p>>6) >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[p>>6] |= 1 << (p & 63)
}

func (b bitset) remove(p uint32) {
	if b.contains(p) {
		b[p>>6] &^= 1 << (p & 63)
	}
}

// poke makes fn be told what it does not know yet. The caller holds viewMu, so that
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

// next tells the hook of one change. It returns false when there is none.
func (h *ownershipHook) next() bool {
	h.mu.Lock()
	v := h.n.view.Load() // under mu: whoever puts a newer one in place pokes after that
	gained, lost := h.pending(v)
	first := h.told == nil && v.table.Len() > 0
	if !v.joined || h.n.ctx.Err() != nil || h.told == v.table && len(gained) == 0 || h.told == nil && !first {
		h.running = false
		close(h.idle)
		h.mu.Unlock()
		return false
	}
	h.mu.Unlock()
	switch {
	case len(gained) == 0:
		h.lose(v, lost)
		h.before = v.table
		h.release(v)
	case len(lost) > 0:
		h.lose(v, lost)
	default:
		h.gain(v, gained)
	}
	return true
}

// pending returns what this node owns by v, if it is ready, and the hook does not
// know of, and the reverse; both ascending.
func (h *ownershipHook) pending(v *view) (gained []uint32, lost router.Moves) {
	if !v.joined {
		return nil, nil
	}
	h.n.handover.mu.Lock()
	defer h.n.handover.mu.Unlock()
	for p := range v.table.Params().Partitions {
		switch owner, has := v.table.Owner(p), h.has.contains(p); {
		case owner == h.n.cfg.Name && !has:
			gained = append(gained, p)
		case owner != h.n.cfg.Name && has:
			lost = append(lost, router.Move{Partition: p, From: h.n.cfg.Name, To: owner})
		}
	}
	return gained, lost
}

// lose tells the hook of a table with what was lost by it.
func (h *ownershipHook) lose(v *view, lost router.Moves) {
	c, err := h.n.changeOf(h.told, v.table)
	h.told = v.table
	if err == nil {
		c.Lost = lost
		h.tell(c)
	}
	h.n.handover.lost(h, lost)
}

// gain tells the hook of what was gained, once it is known from where. It tells
// nothing if the table changes meanwhile.
func (h *ownershipHook) gain(v *view, gained []uint32) {
	gains := make([]Gain, 0, len(gained))
	if h.tablesOnly {
		for _, p := range gained {
			gains = append(gains, Gain{Partition: p})
			h.has.add(p)
		}
	} else {
		if !h.n.resolveOwners(v, h.before, gained, h.patience()) {
			return
		}
		gains = h.n.handover.begin(h, v, gained)
	}
	c, err := h.n.changeOf(h.told, v.table)
	h.told = v.table
	if err == nil && (len(gains) > 0 || c.Old != c.New) {
		c.Gained = gains
		h.tell(c)
	}
	h.release(v)
	h.before, h.late = v.table, false
	if !h.tablesOnly {
		h.n.confirm(h.n.ctx, h.n.handover.finish(h, gained))
	}
}

// Bounds of how long former owners are asked.
const (
	defaultPatience = 2 * time.Second
	maxPatience     = 5 * time.Second
)

// patience is how long the hook waits for former owners.
func (h *ownershipHook) patience() time.Duration {
	if h.hold <= 0 {
		return defaultPatience
	}
	return min(h.hold/2, maxPatience)
}

// release ends what the hook holds up by v.
func (h *ownershipHook) release(v *view) {
	for _, held := range v.held {
		held.release(h)
	}
}

// tell runs the hook. One that panics has been told all the same.
func (h *ownershipHook) tell(c OwnershipChange) {
	_ = h.n.guarded("ownership hook", func() error { h.fn(c); return nil })
}
