package node

import (
	"context"
	"crypto/x509"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/router/balance"
	"github.com/meshnode/meshnode/transport"
)

// view is what the node routes by: the members and the table at one moment.
// It is immutable; a newer one replaces it.
//
// Invariant: changed is closed exactly when a newer view is in place; peers are of
// the others of members, each as its member says.
type view struct {
	table   *router.Table
	members *membership.Snapshot
	peers   map[string]*peer    // everyone but this node
	serving []string            // names of the members that own partitions, sorted
	held    []*held             // what this node owns and does not serve yet
	set     *balance.Set        // what serving stands for
	down    map[string][]string // by service, who says that it cannot serve it; nil: all can
	ready   bool                // this node may route and serve keyed calls
	joined  bool                // it was ready once: what the table says it owns, it owns
	changed chan struct{}
}

// peer is one other member.
type peer struct {
	*transport.Peer
	boot  uint64
	state membership.State
	proof proof
	chain []*x509.Certificate // that it is proven by
	doubt string              // why it is not proven; empty: it was not asked yet
	link  *link
	load  *balance.Node // for calls that may go to several
}

// isMember reports whether a live member has this address.
func (n *Node) isMember(addr netip.Addr) bool {
	v := n.view.Load()
	return v != nil && slices.ContainsFunc(v.members.Members, func(m membership.Member) bool { return m.Addr.Addr() == addr })
}

// onMembers takes a new snapshot. Membership calls it from one goroutine, in
// order.
func (n *Node) onMembers(s *membership.Snapshot) {
	if !n.life.isStopping() { // who leaves together must find each other again
		n.known.observe(s)
	}
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	old := n.view.Load()
	n.departed.note(old, s, n.handover.takesPart())
	n.replaceLocked(old, s, n.peersOf(s, old))
}

// replaceLocked puts a view of these members in the place of old. The caller
// holds viewMu.
func (n *Node) replaceLocked(old *view, s *membership.Snapshot, peers map[string]*peer) {
	next := &view{
		table: old.table, members: s, peers: peers, serving: old.serving,
		ready: old.joined, joined: old.joined, changed: make(chan struct{}), down: downs(s.Members),
	}
	next.ready = next.ready && n.certified()
	if owners := n.servingMembers(next); n.wantsTable(next, owners) && !slices.Equal(owners, old.owners()) &&
		!n.staleOnPurpose(old, len(owners)) {
		table, err := n.cfg.Sim.With(old.table, owners)
		if err != nil {
			n.log.Error().Err(err).Msg("ownership table cannot be built; the old one stays")
		} else {
			next.table = table
			next.serving = make([]string, len(owners))
			for i, m := range owners {
				next.serving[i] = m.Name
			}
			n.noteLocked(next, old.table, table)
		}
	}
	next.held = n.holdLocked(old, next)
	next.set = n.setOf(next)
	n.cfg.Sim.Publish(old.table, next.table)
	n.view.Store(next)
	close(old.changed)
	if next.table != old.table {
		for _, h := range n.hooks {
			h.poke()
		}
	}
}

// wantsTable reports whether a table of these owners is of use. A node that joins routes
// and serves by none until it is ready, and it is not before it serves itself, all that it
// expects serve and all who serve have proved who they are. Where many nodes join at once,
// each would otherwise make a table for every few of them, which all are thrown away.
func (n *Node) wantsTable(v *view, owners []router.Member) bool {
	if v.joined {
		return true
	}
	self, _ := v.members.Find(n.cfg.Name)
	return self.State != membership.StateJoining && len(owners) >= n.expectedOwners(self.State) && !n.halfProven(v)
}

// staleOnPurpose tells whether the table is to keep an owner that is gone: a planted
// fault.
func (n *Node) staleOnPurpose(old *view, owners int) bool {
	return n.cfg.Sim.Planted().StaleTable && old.ready && owners < old.table.Len()
}

// setReady makes a view that is ready, once.
func (n *Node) setReady() {
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	old := n.view.Load()
	next := *old
	next.ready, next.joined, next.changed = n.certified(), true, make(chan struct{})
	next.held = n.holdLocked(old, &next)
	n.view.Store(&next)
	close(old.changed)
	for _, h := range n.hooks {
		h.poke()
	}
}

// owners are the members of the table as New took them.
func (v *view) owners() []router.Member { return v.table.Members() }

// servingMembers gives the members that own partitions: those who say that they
// serve and, with TLS, are proven to be who they are. Suspects stay: a suspicion is
// no fact.
func (n *Node) servingMembers(v *view) []router.Member {
	owners := make([]router.Member, 0, len(v.members.Members))
	for _, m := range v.members.Members {
		if m.State == membership.StateServing && n.isProven(v, m.Name) {
			owners = append(owners, router.Member{Name: m.Name, Zone: m.Zone, Weight: m.Weight})
		}
	}
	return owners
}

// retireTimeout is how long calls to a member that has left may still take.
const retireTimeout = 5 * time.Second

// peersOf gives the handles of all other members. Whose membership did not change
// keeps what it has.
func (n *Node) peersOf(s *membership.Snapshot, old *view) map[string]*peer {
	peers := maps.Clone(old.peers)
	eachChange(old.members.Members, s.Members, func(was, now *membership.Member) {
		switch {
		case now == nil:
			delete(peers, was.Name)
			n.letGo(old.peers[was.Name])
		case now.Name != n.cfg.Name:
			peers[now.Name] = n.peerOf(now, old.peers[now.Name])
		}
	})
	return peers
}

// eachChange tells in what two lists of members differ, both sorted by name: was is
// nil for one who is new, now for one who is gone.
func eachChange(old, next []membership.Member, tell func(was, now *membership.Member)) {
	for len(old) > 0 || len(next) > 0 {
		switch {
		case len(next) == 0 || len(old) > 0 && old[0].Name < next[0].Name:
			tell(&old[0], nil)
			old = old[1:]
		case len(old) == 0 || next[0].Name < old[0].Name:
			tell(nil, &next[0])
			next = next[1:]
		default:
			if old[0] != next[0] {
				tell(&old[0], &next[0])
			}
			old, next = old[1:], next[1:]
		}
	}
}

// peerOf gives the handle of a member: with the connections of the old one if it is
// the same process at the same address, or anew, and then lets go of the old one.
func (n *Node) peerOf(m *membership.Member, old *peer) *peer {
	addr := m.Addr.String()
	if old != nil && old.boot == m.Boot && old.Addr() == addr {
		next := *old
		next.state, next.load = m.State, loadOf(old.load, m)
		return &next
	}
	p := &peer{
		Peer: n.endpoint.Peer(m.Name, addr), boot: m.Boot, state: m.State,
		link: &link{health: n.health.Peer()}, load: loadOf(nil, m),
	}
	n.wantProof(p)
	n.letGo(old)
	return p
}

// letGo ends what goes to a member that is gone or was restarted: at once, so that
// whoever waits for a dead process learns of it, but gently if the member had said
// that it leaves.
func (n *Node) letGo(p *peer) {
	if p == nil {
		return
	}
	n.health.Remove(p.link.health)
	if p.state != membership.StateDraining {
		p.Close()
		return
	}
	n.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, retireTimeout)
		defer cancel()
		p.Retire(ctx)
	})
}

// loadOf gives what is known of a member's load, anew if what it is has changed.
func loadOf(old *balance.Node, m *membership.Member) *balance.Node {
	if old != nil && old.Zone == m.Zone && old.Weight == m.Weight {
		return old
	}
	return balance.NewNode(m.Name, m.Zone, m.Weight)
}

// waitView waits until a view satisfies want, or ctx ends.
func (n *Node) waitView(ctx context.Context, want func(*view) bool) error {
	for {
		v := n.view.Load()
		if want(v) {
			return nil
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
