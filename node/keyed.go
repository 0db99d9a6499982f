package node

import (
	"context"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// maxHops is how often a call follows a NotOwner before it waits for the
// tables to agree.
const maxHops = 2

// toKey carries a call to the owner of its key.
//
// Invariant: a call is sent again only if the attempt before it was provably
// not executed, or its method is idempotent.
func (o *outgoing) toKey(ctx context.Context) error {
	if err := checkPolicy(o.call); err != nil {
		return err
	}
	var w walk
	for {
		v := o.n.view.Load()
		f, owner, err := o.step(ctx, v, &w)
		switch f {
		case done:
			return err
		case missing:
			return o.withServer(err)
		case redirect:
			o.last = err
			// A hint to nobody we know, or to ourselves, leads nowhere.
			if v.peers[owner] != nil && owner != w.hint && w.hops < maxHops {
				w = walk{hint: owner, hops: w.hops + 1}
				continue
			}
		case ambiguous:
			o.last = err
			if err := o.mayRepeat(ctx, err); err != nil {
				return err
			}
		case unsent:
			o.last = err
		}
		if o.lost != notLost && w.missed(o, v) {
			continue
		}
		w = walk{}
		if err := o.pause(ctx, v); err != nil {
			return err
		}
	}
}

// step makes one attempt: at the owner by v, at the one that a peer named, or
// at the next one while those before it cannot be reached.
func (o *outgoing) step(ctx context.Context, v *view, w *walk) (fate, string, error) {
	self := o.n.cfg.Name
	o.lost, o.served = notLost, transport.AsOwner
	if !v.ready {
		return unsent, "", rpc.Errorf(rpc.Unavailable, "node %s is not ready: %s", self, o.n.why(v))
	}
	partition := v.table.Partition(o.call.Dest.Key)
	owner := v.ownerOf(partition, o.call.Spec.Name())
	if owner == self {
		if h := v.holds(partition); h != nil {
			return o.held(ctx, v, h)
		}
		// Our own table decides what we execute, whatever a peer believes.
		f, err := o.local(ctx, info{keyed: true, partition: partition})
		return f, "", err
	}
	if w.hint != "" {
		owner = w.hint
	}
	p := v.peers[owner]
	if p == nil {
		return unsent, "", rpc.Errorf(rpc.Unavailable, "no live node owns the key")
	}
	if w.past == 0 && w.hint == "" && p.link.avoid.Load() != 0 && p.link.passed(o.n.since()) && o.mayFailOver(v) {
		w.past = 1
	}
	if w.past > 0 {
		return o.pastOwner(ctx, v, w, partition)
	}
	if w.hint == "" {
		if f, did, err := o.spilled(ctx, v, partition, p); did {
			return f, "", err
		}
	}
	return o.send(ctx, target{
		name: owner, peer: p, partition: int64(partition),
		fingerprint: uint64(v.table.Fingerprint()), hops: w.hops, hasty: o.mayFailOver(v),
	})
}

// held has a call on this very node wait until its partition is served.
func (o *outgoing) held(ctx context.Context, v *view, h *held) (fate, string, error) {
	if !o.waited {
		o.waited = true
		o.n.stats.add(HeldCalls)
	}
	ctx, cancel := context.WithDeadline(ctx, o.due)
	defer cancel()
	if err := o.n.awaitHeld(ctx, v, h); err != nil {
		return done, "", o.ended(ctx)
	}
	return unsent, "", rpc.Errorf(rpc.Unavailable, "the partition was held up")
}

// peerTries is how often a call to one node by name is sent while it is
// provably not executed.
const peerTries = 4

// toPeer carries a call to one node by name.
func (o *outgoing) toPeer(ctx context.Context) error {
	name := o.call.Dest.Peer
	for try := 1; ; try++ {
		v := o.n.view.Load()
		if name == o.n.cfg.Name {
			_, err := o.local(ctx, info{})
			return err
		}
		p := v.peers[name]
		if p == nil {
			return rpc.Errorf(rpc.NotFound, "no live member is called %q", name)
		}
		f, _, err := o.send(ctx, target{name: name, peer: p, partition: transport.NoPartition})
		switch {
		case f == done || f == missing:
			return err
		case f == ambiguous:
			if err := o.mayRepeat(ctx, err); err != nil {
				return err
			}
		case try == peerTries:
			return rpc.Errorf(rpc.Unavailable, "%v", err)
		}
		o.last = err
		if err := o.pause(ctx, v); err != nil {
			return err
		}
	}
}

// Targets gives the names of the nodes that a destination of many stands for;
// it implements rpc.Caller.
func (n *Node) Targets(_ context.Context, dest rpc.Dest) ([]string, error) {
	if n.port.Load() == nil || n.calls.shut() {
		return nil, n.notRunning()
	}
	v := n.view.Load()
	switch dest.Kind {
	case rpc.ToAll:
		return v.provenNames(), nil
	case rpc.ToOwners:
		if dest.N < 1 {
			return nil, rpc.Errorf(rpc.InvalidArgument, "%d owners asked for; want 1 or more", dest.N)
		}
		owners := v.table.Owners(v.table.Partition(dest.Key), dest.N, nil)
		if len(owners) == 0 {
			return nil, rpc.Errorf(rpc.Unavailable, "no live node owns the key; node %s: %s", n.cfg.Name, n.why(v))
		}
		return owners, nil
	}
	return nil, rpc.Errorf(rpc.InvalidArgument, "rpc.%s is not a destination of many", dest.Kind)
}
