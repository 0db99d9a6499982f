package node

import (
	"context"

	"github.com/meshnode/meshnode/rpc"
)

// Claim asks a node who served partitions last and, with Take, makes it pass those
// that it served on to the caller. Members alone may call it, about themselves.
var Claim = rpc.NewMethod[ClaimRequest, ClaimReply]("mesh.Claim", rpc.Idempotent(), rpc.Unlimited())

type (
	// ClaimRequest asks about partitions.
	ClaimRequest struct {
		Node       string   `json:"node"` // the caller, and its boot id
		Boot       uint64   `json:"boot"`
		Partitions []uint32 `json:"partitions"`
		Take       bool     `json:"take"`  // pass them on to the caller
		Final      bool     `json:"final"` // the caller waits no longer: answer as if nothing were busy
		Done       bool     `json:"done"`  // no question: the caller's hooks have what was passed on
	}
	// ClaimReply lists what the node knows; it leaves out partitions of which it
	// knows nothing.
	ClaimReply struct {
		Tracks bool         `json:"tracks"` // the node has ownership hooks
		Found  []ClaimGroup `json:"found"`
	}
	// ClaimGroup is partitions with one answer.
	ClaimGroup struct {
		State      ClaimState `json:"state"`
		Node       string     `json:"node"` // see ClaimState; with its boot id, if that is known
		Boot       uint64     `json:"boot"`
		Fate       Fate       `json:"fate"`
		Taken      bool       `json:"taken"` // of ClaimGone: Node has said that it has it
		Partitions []uint32   `json:"partitions"`
		Terms      []uint64   `json:"terms"` // one for each; along the chain they grow
	}
	// ClaimState is an answer to a claim.
	ClaimState uint8
)

// The answers to a claim.
const (
	// ClaimHere: the asked node is the last of the chain. With Take it has passed
	// the partition on. The state is at Node: the asked node, or the one that it
	// would have fetched it from itself; Fate says what became of Node.
	ClaimHere ClaimState = iota
	// ClaimBusy: the asked node serves the partition still, its hooks are at it,
	// or it asks for it as well. Ask again.
	ClaimBusy
	// ClaimGone: the asked node has passed it on to Node. Until that has said that
	// it has it, the state may be at the asked node still.
	ClaimGone
	// ClaimEnded: the asked node never had it, and saw that Node, which owned it
	// by its table, ended as Fate says; the term is when that was.
	ClaimEnded
)

// claimAnswer is what a node says of one partition.
type claimAnswer struct {
	state ClaimState
	node  process
	fate  Fate
	taken bool
}

// claim answers a node that has gained partitions.
func (n *Node) claim(ctx context.Context, req *ClaimRequest) (*ClaimReply, error) {
	// A caller whose news has not come yet learns only that it is to ask again.
	if about, ok := rpc.InfoFrom(ctx); !ok || about.Peer != req.Node || about.Caller.Name != req.Node {
		return nil, rpc.Errorf(rpc.PermissionDenied, "%s is for members, about themselves", Claim.Name())
	}
	h := &n.handover
	if req.Done {
		n.confirm(ctx, h.taken(req.Partitions))
		return &ClaimReply{Tracks: h.takesPart()}, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	v := n.view.Load() // after the lock: see conclude
	reply := &ClaimReply{Tracks: h.records != nil}
	if !reply.Tracks {
		return reply, nil
	}
	groups := make(map[claimAnswer]int)
	for _, p := range req.Partitions {
		a, term, ok := n.answerLocked(v, req, p)
		if !ok {
			continue
		}
		at, known := groups[a]
		if !known {
			at = len(reply.Found)
			groups[a] = at
			reply.Found = append(reply.Found, ClaimGroup{State: a.state, Node: a.node.name, Boot: a.node.boot, Fate: a.fate, Taken: a.taken})
		}
		g := &reply.Found[at]
		g.Partitions, g.Terms = append(g.Partitions, p), append(g.Terms, term)
	}
	h.pokeLocked()
	return reply, nil
}

// answerLocked answers about one partition; ok is false if this node knows nothing
// of it. The caller holds handover.mu.
func (n *Node) answerLocked(v *view, req *ClaimRequest, p uint32) (a claimAnswer, term uint64, ok bool) {
	h, asker := &n.handover, process{req.Node, req.Boot}
	r, known := h.records[p]
	owned := v.joined && v.table.Owner(p) == n.cfg.Name
	isMember := v.lives(asker)
	switch {
	case !req.Final && (owned || h.hasLocked(p) || known && !isMember):
		return claimAnswer{state: ClaimBusy, node: h.self}, r.term, true
	case !known:
		return n.departed.owner(v, p)
	case r.to == asker && r.taken: // who knows better what became of it
		return a, 0, false
	case r.to != (process{}) && r.to != asker && (r.taken || !req.Final && v.lives(r.to)):
		a = claimAnswer{state: ClaimGone, node: r.to, taken: r.taken}
		a.fate, _ = n.departed.end(v, r.to) // it was known here
		if ended, at, found := n.departed.owner(v, p); found && at > r.term && !v.lives(r.to) {
			return ended, at, true
		}
		return a, r.term + 1, true
	}
	a = claimAnswer{state: ClaimHere, node: h.self, fate: FateMoved}
	if !r.told { // the state never got here
		a.node, a.fate = process{name: r.from}, r.fate
	}
	if req.Take && isMember {
		r.to, r.taken = asker, false
		h.records[p] = r
	}
	return a, r.term, true
}

// taken notes that those to whom partitions were passed on have them. It returns
// those whose state never was here, by the nodes from which they had come: these
// are to know it as well.
func (h *handover) taken(partitions []uint32) map[string][]uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	further := make(map[string][]uint32)
	for _, p := range partitions {
		r, ok := h.records[p]
		if !ok || r.to == (process{}) || r.taken {
			continue
		}
		r.taken = true
		h.records[p] = r
		if r.told {
			continue
		}
		for _, name := range r.creditors() {
			if name != "" && name != h.self.name {
				further[name] = append(further[name], p)
			}
		}
	}
	h.pokeLocked()
	return further
}

// lives reports whether that very process is a live member of v.
func (v *view) lives(p process) bool {
	m, ok := v.members.Find(p.name)
	return ok && m.Boot == p.boot
}
