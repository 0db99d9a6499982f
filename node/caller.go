package node

import (
	"context"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// peerNote is what this node knows of who is at the other end of a connection, so that not
// every call has to find out.
//
// Invariant: it holds for the view whose changed channel is asOf, and does not change.
type peerNote struct {
	asOf   chan struct{}
	who    rpc.Identity
	waited bool // calls of this connection have waited long enough for their sender to be known
	told   bool // the log was told that its sender is not believed
}

// peerIdentity returns who is at the other end of the connection that a call came by.
func (n *Node) peerIdentity(in *transport.Incoming) rpc.Identity {
	return n.noteOf(in).who
}

func (n *Node) noteOf(in *transport.Incoming) *peerNote {
	v, value := n.view.Load(), in.ConnValue()
	old, noted := value.Load().(*peerNote)
	if noted && old.asOf == v.changed {
		return old
	}
	note := &peerNote{asOf: v.changed, who: v.identityOf(in.Peer())}
	if noted {
		note.waited, note.told = old.waited, old.told
	}
	value.Store(note)
	return note
}

// noted changes what is known of the peer.
func (n *Node) noted(in *transport.Incoming, edit func(*peerNote)) {
	next := *n.noteOf(in)
	edit(&next)
	in.ConnValue().Store(&next)
}

// memberWait is how long calls of a node that this one does not know as a member wait for that.
const memberWait = 2 * time.Second

// awaitMember makes a call wait for its sender to become known, if that says it is a node: a
// member that has just joined calls before its news has gone round, and whoever decides by the
// caller would turn it away for good. It is only for calls about which somebody decides. A
// connection waits once: its sender may be no member at all.
func (n *Node) awaitMember(in *transport.Incoming) {
	note := n.noteOf(in)
	if note.who.Member || note.waited || in.Inline() || in.PeerName() == "" || in.PeerName() == n.cfg.Name {
		return
	}
	ctx, cancel := context.WithTimeout(in.Context(), n.prover.wait)
	defer cancel()
	err := n.waitView(ctx, func(v *view) bool { return n.ctx.Err() != nil || v.identityOf(in.Peer()).Member })
	if err != nil && in.Context().Err() == nil {
		n.noted(in, func(note *peerNote) { note.waited = true })
	}
}

// identityOf returns who a peer is by this view. A name makes no member: somebody can hold a
// certificate of the CA, or say any name where there is none, without being in the cluster.
func (v *view) identityOf(p transport.Identity) rpc.Identity {
	who := rpc.Identity{Name: p.Subject, Verified: p.Verified}
	if p.Name != "" {
		known := v.peers[p.Name]
		who.Member = known != nil && known.boot == p.Boot && known.proof == proven
	}
	return who
}

// callerOf returns who makes a call that was admitted: its sender, or whom it carries it for.
func (n *Node) callerOf(in *transport.Incoming) rpc.Identity {
	m := in.Meta
	if m.Caller == 0 {
		return n.peerIdentity(in)
	}
	return rpc.Identity{
		Name: string(m.CallerName), Member: m.Caller&transport.CallerMember != 0,
		Verified: m.Caller&transport.CallerVerified != 0 && in.Peer().Verified,
	}
}

// state writes for whom this node carries a call into its meta.
func state(m *transport.Meta, who *rpc.Identity) {
	m.Caller, m.CallerName = transport.Carried, []byte(who.Name)
	if who.Member {
		m.Caller |= transport.CallerMember
	}
	if who.Verified {
		m.Caller |= transport.CallerVerified
	}
}

// believes reports whether the sender of a call may say for whom it carries it: members may. A
// call of anybody else is answered, and not executed. A node that this one does not know as a
// member may have joined just now, so it is told to try again, as where tables differ.
func (n *Node) believes(in *transport.Incoming) bool {
	v, m := n.view.Load(), in.Meta
	badly := m.Caller&transport.Carried == 0 || m.Caller&transport.CallerMember != 0 && len(m.CallerName) == 0
	if !badly && n.peerIdentity(in).Member {
		return true
	}
	n.stats.add(CallersRefused)
	if !n.noteOf(in).told { // once for a connection
		n.noted(in, func(note *peerNote) { note.told = true })
		n.log.Warn().Str("method", string(in.Method)).Str("peer", in.PeerName()).Str("certificate", in.Peer().Subject).Bytes("claimed", m.CallerName[:min(len(m.CallerName), 128)]).
			Msg("a call was refused: its sender, which is no member, says that it carries the call for somebody else")
	}
	code, refusal := rpc.NotOwner, n.refusal(v, "node %s does not know %s as a proven member yet, and takes nobody else's word for whom a call is", n.cfg.Name, in.PeerName())
	switch {
	case badly:
		code, refusal = rpc.InvalidArgument, n.refusal(v, "it is not said properly for whom the call is carried")
	case in.PeerName() == "":
		code, refusal = rpc.PermissionDenied, n.refusal(v, "a client calls for itself; only a member may say for whom it carries a call")
	}
	_ = in.Reply(uint64(code), refusal, nil)
	return false
}

// caller is who makes the call by the knowledge of this node: itself, or whom it carries it for.
func (o *outgoing) caller() rpc.Identity {
	if o.call.For != nil {
		who := *o.call.For
		who.Verified = who.Verified && o.n.cfg.TLS != nil // as another node would have it
		return who
	}
	return o.n.identity()
}

// identity is this node as a caller.
func (n *Node) identity() rpc.Identity {
	return rpc.Identity{Name: n.cfg.Name, Member: true, Verified: n.cfg.TLS != nil}
}

// checkOwn is checkMetadata for a client, which calls for nobody but itself.
func checkOwn(call *rpc.Call) error {
	if call.For != nil {
		return rpc.Errorf(rpc.PermissionDenied, "%s: a client calls for itself; rpc.OnBehalf is for members", call.Spec.Name())
	}
	return checkMetadata(call)
}
