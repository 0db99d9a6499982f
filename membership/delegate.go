package membership

import (
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"
)

// delegate is what memberlist calls. Most of it runs under memberlist's locks,
// so it copies, pokes and returns.
type delegate struct{ c *Cluster }

var (
	_ memberlist.Delegate         = delegate{}
	_ memberlist.EventDelegate    = delegate{}
	_ memberlist.AliveDelegate    = delegate{}
	_ memberlist.MergeDelegate    = delegate{}
	_ memberlist.ConflictDelegate = delegate{}
)

// NodeMeta implements memberlist.Delegate.
func (d delegate) NodeMeta(int) []byte { return d.c.own.bytes() }

// NotifyMsg implements memberlist.Delegate; there are no user messages.
func (delegate) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (delegate) MergeRemoteState([]byte, bool) {}

// NotifyJoin implements memberlist.EventDelegate.
func (d delegate) NotifyJoin(n *memberlist.Node) {
	d.set(n)
	d.c.foundBy(n.Name)
}

// NotifyUpdate implements memberlist.EventDelegate.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.set(n) }

// NotifyLeave implements memberlist.EventDelegate.
func (d delegate) NotifyLeave(n *memberlist.Node) {
	d.c.roster.end(n.Name, time.Now())
	d.c.gossip.Load().newsChanged()
	d.c.publish.poke()
}

func (d delegate) set(n *memberlist.Node) {
	m, err := toMember(n)
	if err != nil {
		return // NotifyAlive has refused it before
	}
	d.c.roster.set(m, time.Now())
	d.c.publish.poke()
}

// NotifyAlive implements memberlist.AliveDelegate: it keeps out members that
// this node could not work with.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	switch {
	case n.Name == d.c.cfg.Name:
		return nil
	case !validNodeName(n.Name) || !validAdvertise(nodeAddr(n)):
		return fmt.Errorf("%w: name %q or address %v", ErrBadMeta, n.Name, nodeAddr(n))
	}
	meta, err := d.c.compatible(n.Name, n.Meta)
	if d.c.cfg.Planted.NoRefutation && err == nil && d.c.roster.knows(n.Name, meta) {
		err = errDisbelieved
	}
	if err != nil && d.c.quiet.allow("alive", time.Now()) {
		d.c.log.Warn().Err(err).Stringer("addr", nodeAddr(n)).Msg("kept out a member")
	}
	return err
}

// NotifyConflict implements memberlist.ConflictDelegate: a member's name has
// turned up at another address.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.c.gossip.Load().newsChanged()
	d.c.conflicts.report(conflict{name: existing.Name, known: nodeAddr(existing), other: nodeAddr(other)})
}

// NotifyMerge implements memberlist.MergeDelegate. Both sides of a join ask it
// before they take in anything of the other.
func (d delegate) NotifyMerge(peers []*memberlist.Node) error {
	states := make([]nodeState, len(peers))
	for i, p := range peers {
		states[i] = nodeState{Name: p.Name, Addr: nodeAddr(p), Meta: p.Meta, Health: Health(p.State)}
	}
	err := d.c.mergeable(states)
	if err != nil && d.c.quiet.allow("merge", time.Now()) {
		d.c.log.Warn().Err(err).Int("their_members", len(peers)).Msg("refused to merge with a peer")
	}
	return err
}

// mergeable refuses the view of a peer that this node could not work with, and
// one in which a lone node claims a name that a live member has at another
// address. Larger views are let in even so, because a partition with one
// contested name must heal; NotifyConflict then makes the younger node stop.
func (c *Cluster) mergeable(states []nodeState) error {
	alone := c.roster.others(c.cfg.Name) == 0
	for i := range states {
		s := &states[i]
		if !s.live() {
			continue
		}
		if _, err := c.compatible(s.Name, s.Meta); err != nil {
			return err
		}
		known, ok := c.roster.get(s.Name)
		if ok && known.Addr != s.Addr && (len(states) == 1 || alone) {
			return fmt.Errorf("%w: %q at %v is known at %v", errDuplicate, s.Name, s.Addr, known.Addr)
		}
	}
	return nil
}

// compatible decodes a member's metadata and tells whether this node can share
// a table with it. Errors: ErrBadMeta, ErrProtocolMismatch, ErrParamsMismatch.
func (c *Cluster) compatible(name string, encoded []byte) (Meta, error) {
	meta, err := DecodeMeta(encoded)
	if err != nil {
		return meta, fmt.Errorf("member %q: %w", name, err)
	}
	if want := c.cfg.Protocols; meta.Protocol < want.Min || meta.Protocol > want.Max {
		return meta, fmt.Errorf("%w: member %q speaks version %d, this node %d to %d",
			ErrProtocolMismatch, name, meta.Protocol, want.Min, want.Max)
	}
	if meta.Params != c.cfg.Meta.Params {
		return meta, fmt.Errorf("%w: member %q has %s", ErrParamsMismatch, name, meta.Params.against(c.cfg.Meta.Params))
	}
	return meta, nil
}
