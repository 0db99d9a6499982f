package node

import (
	"context"
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
// Invariant: changed is closed exactly when a newer view is in place.
type view struct {
	table   *router.Table
	members *membership.Snapshot
	peers   map[string]*peer    // everyone but this node
	serving []string            // names of the members that own partitions, sorted
	held    []*held             // what this node owns and does not serve yet
	set     *balance.Set        // what serving stands for
	down    map[string][]string // by service, who says that it cannot serve it; nil: all can
	ready   bool                // this node may route and serve keyed calls
	changed chan struct{}
}

// peer is one other member.
type peer struct {
	*transport.Peer
	boot  uint64
	state membership.State
	proof proof
	link  *link
	load  *balance.Node // for calls that may go to several
}

// onMembers takes a new snapshot. Membership calls it from one goroutine, in
// order.
func (n *Node) onMembers(s *membership.Snapshot) {
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	old := n.view.Load()
	n.replaceLocked(old, s, n.peersOf(s, old.peers))
}

// replaceLocked puts a view of these members in the place of old. The caller
// holds viewMu.
func (n *Node) replaceLocked(old *view, s *membership.Snapshot, peers map[string]*peer) {
	next := &view{
		table: old.table, members: s, peers: peers, serving: old.serving,
		ready: old.ready, changed: make(chan struct{}), down: downs(s.Members),
	}
	if owners := n.servingMembers(next); !slices.Equal(owners, old.owners()) && !n.staleOnPurpose(old, len(owners)) {
		table, err := n.cfg.Sim.With(old.table, owners)
		if err != nil {
			n.log.Error().Err(err).Msg("ownership table cannot be built; the old one stays")
		} else {
			next.table = table
			next.serving = make([]string, len(owners))
			for i, m := range owners {
				next.serving[i] = m.Name
			}
			n.noteLocked(old.table, table)
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
	next.ready, next.changed = true, make(chan struct{})
	n.view.Store(&next)
	close(old.changed)
}

// owners are the members of the table as New took them.
func (v *view) owners() []router.Member { return v.table.Members() }

// servingMembers gives the members that own partitions: those who say that they
// serve and, with TLS, have proved who they are. Suspects stay: a suspicion is
// no fact.
func (n *Node) servingMembers(v *view) []router.Member {
	owners := make([]router.Member, 0, len(v.members.Members))
	for _, m := range v.members.Members {
		if m.State == membership.StateServing && (m.Name == n.cfg.Name || v.peers[m.Name].proof == proven) {
			owners = append(owners, router.Member{Name: m.Name, Zone: m.Zone, Weight: m.Weight})
		}
	}
	return owners
}

// retireTimeout is how long calls to a member that has left may still take.
const retireTimeout = 5 * time.Second

// peersOf gives the handles of all other members, and lets go of those who are
// gone or were restarted: at once, so that whoever waits for a dead process
// learns of it, but gently if the member had said that it leaves.
func (n *Node) peersOf(s *membership.Snapshot, old map[string]*peer) map[string]*peer {
	peers := make(map[string]*peer, len(s.Members))
	for _, m := range s.Members {
		if m.Name == n.cfg.Name {
			continue
		}
		addr := m.Addr.String()
		if p := old[m.Name]; p != nil && p.boot == m.Boot && p.Addr() == addr {
			peers[m.Name] = &peer{
				Peer: p.Peer, boot: m.Boot, state: m.State, proof: p.proof, link: p.link, load: loadOf(p.load, &m),
			}
			continue
		}
		peers[m.Name] = &peer{Peer: n.endpoint.Peer(m.Name, addr), boot: m.Boot, state: m.State, link: &link{health: n.health.Peer()}, load: loadOf(nil, &m)}
		n.wantProof(peers[m.Name])
	}
	for name, p := range old {
		if now := peers[name]; now != nil && now.Peer == p.Peer {
			continue
		}
		n.health.Remove(p.link.health)
		if p.state == membership.StateDraining {
			n.tasks.Go(func() {
				ctx, cancel := context.WithTimeout(n.ctx, retireTimeout)
				defer cancel()
				p.Retire(ctx)
			})
			continue
		}
		p.Close()
	}
	return peers
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
