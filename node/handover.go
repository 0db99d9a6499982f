package node

import (
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/router"
)

// process is one life of a member.
type process struct {
	name string
	boot uint64
}

// record is what this node knows of one partition that it has served, or was the
// next to serve.
//
// Invariant: of the records of all nodes for a partition, the one with the highest
// term says where its state is: here if to is zero, and else with to or further on.
type record struct {
	term    uint64  // grows along the chain of those who serve the partition; close to Unix milliseconds
	to      process // who was next; zero: nobody yet
	taken   bool    // its hooks have returned
	told    bool    // a hook here was told of the gain: the state is here, and before that with from
	from    string  // who served it before; empty: nobody known
	fate    Fate    // of from
	granter string  // who passed it on to here
	// owed are those who passed it on to here before, from where it went on before any
	// hook was told: they have yet to learn that somebody has it.
	owed []string
}

// handover keeps the chain of those who serve each partition: what this node has,
// and to whom it has passed what it had. Only nodes with ownership hooks take part.
type handover struct {
	self process

	mu      sync.Mutex
	records map[uint32]record // nil: this node takes no part
	hooks   []*ownershipHook  // those that take part
	changed chan struct{}     // closed when a record changes

	resolving chan struct{} // held by the hook that asks for former owners
}

func (h *handover) init(self process) {
	h.self, h.changed, h.resolving = self, make(chan struct{}), make(chan struct{}, 1)
}

// join makes this node take part. What it owns by a view already, it has served.
func (h *handover) join(v *view) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.records != nil {
		return
	}
	h.records = make(map[uint32]record)
	if v.joined {
		for _, p := range v.table.Owned(h.self.name) {
			h.records[p] = record{term: nextTerm(0), told: true, from: h.self.name, fate: FateMoved}
		}
	}
}

// takesPart reports whether this node has hooks.
func (h *handover) takesPart() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.records != nil
}

func (h *handover) setHooks(hooks []*ownershipHook) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hooks = slices.DeleteFunc(slices.Clone(hooks), func(k *ownershipHook) bool { return k.tablesOnly })
}

// nextTerm returns a term above another one. It follows the clock, so that terms
// are in order too where a chain was broken.
func nextTerm(term uint64) uint64 { return max(term+1, uint64(time.Now().UnixMilli())) }

// here reports whether this node is the end of a partition's chain, and nobody was
// given it since.
func (h *handover) here(p uint32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.records[p]
	return ok && r.to == process{}
}

// hasLocked reports whether some hook was told of a partition's gain and not yet of
// its loss.
func (h *handover) hasLocked(p uint32) bool {
	return slices.ContainsFunc(h.hooks, func(k *ownershipHook) bool { return k.has.contains(p) })
}

// accept notes that a partition has come here.
func (h *handover) accept(p uint32, r record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.putLocked(p, r)
}

// putLocked notes that a partition has come here once more.
func (h *handover) putLocked(p uint32, r record) {
	if old := h.records[p]; !old.told && !old.taken && old.granter != "" {
		r.owed = append(slices.Clone(old.owed), old.granter)
	}
	h.records[p] = r
}

// creditors are the nodes that are to learn that somebody has what came from them.
func (r *record) creditors() []string {
	return append(slices.Clone(r.owed), r.granter)
}

// conclude notes that a partition is nobody's any more, if v's table is this node's
// still. claim looks at the table under mu as well: so whoever asked since the table
// changed, and was told that there is no record, is right.
func (h *handover) conclude(n *Node, v *view, p uint32, r record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n.view.Load().table == v.table {
		h.putLocked(p, r)
	}
}

// begin prepares the hook k to be told of gains: those that nobody was given since
// they came here.
func (h *handover) begin(k *ownershipHook, v *view, gained []uint32) []Gain {
	h.mu.Lock()
	defer h.mu.Unlock()
	gains := make([]Gain, 0, len(gained))
	for _, p := range gained {
		r, ok := h.records[p]
		if !ok || r.to != (process{}) {
			continue
		}
		g := Gain{Partition: p, From: r.from, Fate: r.fate}
		if k.late && r.told {
			g.From, g.Fate = h.self.name, FateMoved
		}
		if m, live := v.members.Find(g.From); live && g.Fate == FateMoved && m.State == membership.StateDraining {
			g.Fate = FateLeft
		}
		gains = append(gains, g)
		k.has.add(p)
		r.told = true
		h.records[p] = r
	}
	return gains
}

// finish notes that the hook k has returned from gains. It returns, for each node
// that passed them on or that their state comes from, those that all hooks have.
func (h *handover) finish(k *ownershipHook, gained []uint32) map[string][]uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	confirmed := make(map[string][]uint32)
	for _, p := range gained {
		if !k.has.contains(p) {
			continue
		}
		k.done.add(p)
		if slices.ContainsFunc(h.hooks, func(k *ownershipHook) bool { return !k.done.contains(p) }) {
			continue
		}
		r := h.records[p]
		for _, name := range append(r.creditors(), r.from) {
			if list := confirmed[name]; name != "" && name != h.self.name && (len(list) == 0 || list[len(list)-1] != p) {
				confirmed[name] = append(list, p)
			}
		}
	}
	return confirmed
}

// lost notes that the hook k has returned from losses.
func (h *handover) lost(k *ownershipHook, lost router.Moves) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range lost {
		p := m.Partition
		k.has.remove(p)
		k.done.remove(p)
		if r, ok := h.records[p]; ok && r.told {
			r.from, r.fate, r.granter, r.owed = h.self.name, FateMoved, "", nil
			h.records[p] = r
		}
	}
	h.pokeLocked()
}

func (h *handover) pokeLocked() {
	close(h.changed)
	h.changed = make(chan struct{})
}
