package node

import (
	"context"
	"errors"
	"slices"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// maxOwners is how many owners of a partition may serve its keys: the first as
// usual, the others in its place.
const maxOwners = 3

// walk is where a call with a key goes next.
//
// Invariant: past is only above 0 if the owners before it could not be reached
// by this node, or one was passed over because another owner had confirmed that
// it is gone.
type walk struct {
	hint     string // the owner that a peer named; empty: by our own table
	hops     int    // hints followed
	past     int    // owners gone past
	redialed bool   // the connection to the owner broke, and was made anew
}

// missed goes on after an attempt at which the peer was lost. It tells whether
// there is somebody else to ask without waiting.
func (w *walk) missed(o *outgoing, v *view) bool {
	if !o.mayFailOver(v) || w.hint != "" {
		return false
	}
	if o.lost == brokeUnderCall && !w.redialed {
		// The process may live: a dial tells, and costs next to nothing if not.
		w.redialed = true
		return true
	}
	w.past++
	return w.past < min(maxOwners, v.table.Len())
}

// mayFailOver tells whether other owners may be asked for this call.
func (o *outgoing) mayFailOver(v *view) bool {
	return !o.call.OwnerOnly && o.n.cfg.Limits.Contact > 0 && v.table.Len() > 1
}

// loss is how an attempt lost its peer.
type loss uint8

const (
	notLost        loss = iota
	noConnection        // there was none, and none could be made
	brokeUnderCall      // it ended while the call was under way
	fellSilent          // it is there, but the peer gave no sign of life when it was asked
)

// lossOf tells whether err says that the peer is out of reach, as opposed to
// one that answers but does not take the call.
func lossOf(err error) loss {
	var call *transport.CallError
	switch {
	case !errors.As(err, &call), call.Err == transport.ErrClosed:
		return notLost // the latter: this node has closed it, as the member is gone
	case call.Err == transport.ErrSilent:
		return fellSilent
	}
	for _, alive := range []error{
		transport.ErrShutdown, transport.ErrStopped, transport.ErrIdle, transport.ErrTooManyCalls, transport.ErrTooManyServed,
		transport.ErrTooManyBytes, transport.ErrTooManyConns, transport.ErrWriteQueueFull,
		transport.ErrBodyTooLarge, transport.ErrStalled,
	} {
		if errors.Is(err, alive) {
			return notLost
		}
	}
	if errors.Is(err, transport.ErrClosed) {
		return brokeUnderCall
	}
	return noConnection
}

// pastOwner makes one attempt at an owner that is not the first, in the place
// of those before it.
func (o *outgoing) pastOwner(ctx context.Context, v *view, w *walk, partition uint32) (fate, string, error) {
	owners := v.ownersOf(partition, maxOwners, o.call.Spec.Name())
	if w.past >= len(owners) {
		return unsent, "", rpc.Errorf(rpc.Unavailable, "no owner of the key could be reached")
	}
	before, name := owners[:w.past], owners[w.past]
	if name == o.n.cfg.Name {
		return o.standIn(ctx, v, partition, before)
	}
	p := v.peers[name]
	if p == nil {
		return unsent, "", rpc.Errorf(rpc.Unavailable, "owner %s is no live member", name)
	}
	f, owner, err := o.send(ctx, target{
		name: name, peer: p, partition: int64(partition), hops: w.hops,
		fingerprint: uint64(v.table.Fingerprint()), standIn: transport.ForFailover, hasty: true,
	})
	// The one that was asked may have passed the call on to another one.
	if by := slices.Index(before, o.call.Peer); by >= 0 && f == done {
		before = before[:by]
	}
	switch o.served {
	case transport.InPlace:
		o.n.stats.add(Failovers)
		o.n.confirmGone(v, before)
	case transport.Relayed:
		o.n.stats.add(RelayedCalls)
		o.n.cutOff(v, owners[0])
	}
	return f, owner, err
}

// standIn serves a call on this node in the place of owners that it could not
// reach itself. What one node finds is not enough: this very node may be the one
// that is cut off. So another owner is asked first; it passes the call back to
// this one, if it finds those gone too, and that is remembered for a while.
func (o *outgoing) standIn(ctx context.Context, v *view, partition uint32, before []string) (fate, string, error) {
	now := o.n.since()
	bounded, cancel := context.WithDeadline(ctx, o.due)
	defer cancel()
	for _, name := range before {
		p := v.peers[name]
		if p == nil {
			continue // gone by the word of the whole cluster
		}
		alive, err := o.n.signOfLife(bounded, p)
		switch {
		case bounded.Err() != nil:
			return done, "", o.ended(bounded)
		case err != nil:
			return done, "", o.stopped()
		case alive:
			p.link.isBack()
			return unsent, "", rpc.Errorf(rpc.Unavailable, "owner %s could not be reached a moment ago", name)
		case !p.link.confirmed(now):
			o.lost = noConnection
			return unsent, "", rpc.Errorf(rpc.Unavailable, "nobody else has confirmed that owner %s is gone: %v", name, o.last)
		}
	}
	o.n.stats.add(Failovers)
	o.n.stats.add(FailoversServed)
	f, err := o.local(ctx, info{keyed: true, partition: partition, standIn: transport.InPlace})
	return f, "", err
}

// confirmGone takes note that this node and another one have found members
// gone: calls go past them, and gossip is told at once.
func (n *Node) confirmGone(v *view, names []string) {
	now := n.since()
	for _, name := range names {
		if p := v.peers[name]; p != nil {
			p.link.confirmGone(now)
			n.suspect(p)
		}
	}
}

// cutOff takes note that a stand-in has reached an owner that this node could
// not, or that one that was gone is back.
func (n *Node) cutOff(v *view, owner string) {
	p := v.peers[owner]
	switch now := n.since(); {
	case p == nil:
	case p.link.confirmed(now):
		p.link.isBack()
	case !p.link.passed(now): // else this call did not even try
		p.link.cutOff(now)
	}
}

// suspect tells gossip that the process of p does not answer.
func (n *Node) suspect(p *peer) {
	if cluster := n.cluster.Load(); cluster != nil {
		n.stats.add(Suspicions)
		cluster.Suspect(p.Name(), p.boot)
	}
}
