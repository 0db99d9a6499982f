package node

import (
	"context"
	"errors"
	"slices"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// admitStandIn decides about a call that went past its owner. It gives what a
// handler is to be told, or the member that answers after all and that the call
// is to be passed on to, or a refusal.
//
// Invariant: this node serves a call in the place of owners only if it is among
// the first maxOwners of the partition by its own table, and none of those
// before it gave it a sign of life just now.
func (n *Node) admitStandIn(ctx context.Context, spec *rpc.Spec, m *transport.Meta) (key info, alive *peer, refusal *transport.Meta) {
	v := n.view.Load()
	if refusal := n.refuseKeyed(v, m); refusal != nil {
		return info{}, nil, refusal
	}
	partition := uint32(m.Partition)
	owners := v.ownersOf(partition, maxOwners, spec.Name())
	rank := slices.Index(owners, n.cfg.Name)
	key = info{keyed: true, partition: partition}
	switch {
	case rank == 0:
		return key, nil, nil
	case rank < 0:
		return info{}, nil, n.notOwner(v, partition, owners[0])
	case m.StandIn == transport.ForSpill && n.letsSpill(spec):
		n.stats.add(SpillsServed)
		key.standIn = transport.Spilled
		return key, nil, nil
	case m.StandIn != transport.ForFailover:
		return info{}, nil, n.notOwner(v, partition, owners[0])
	}
	for i, name := range owners[:rank] {
		p := v.peers[name]
		if p == nil {
			continue
		}
		alive, err := n.signOfLife(ctx, p)
		switch {
		case err != nil: // nobody waits for what would follow from either
			return info{}, nil, n.refusal(v, "nothing was known of %s when the call ended", name)
		case !alive:
			continue
		}
		n.confirmGone(v, owners[:i])
		if m.Hops > 0 {
			return info{}, nil, n.notOwner(v, partition, name)
		}
		return info{}, p, nil
	}
	n.stats.add(FailoversServed)
	n.confirmGone(v, owners[:rank])
	key.standIn = transport.InPlace
	return key, nil, nil
}

// letsSpill tells whether calls of a method may be served by owners that are not
// the first. A handler that relies on being the owner must not be surprised, so
// who serves it has to agree, by the method's policy or the node's.
func (n *Node) letsSpill(spec *rpc.Spec) bool {
	return spec.Idempotent() && spec.Policy().Or(n.cfg.Calls).Spill > 0
}

// relay passes a call on to the member that should serve it and that its caller
// alone cannot reach, and the answer back. A call that has come this way is not
// passed on again.
func (n *Node) relay(in *transport.Incoming, p *peer) {
	n.stats.add(Relays)
	v := n.view.Load()
	if in.Stream() != nil {
		_ = in.Reply(uint64(rpc.NotOwner), n.notOwner(v, uint32(in.Meta.Partition), p.Name()), nil)
		return
	}
	ctx := in.Context()
	conn, err := p.Conn(ctx)
	if err == nil {
		err = n.relayBy(ctx, conn, in)
	}
	var e *rpc.Error
	switch {
	case err == nil:
		return
	case transport.IsUnsent(err):
		_ = in.Reply(uint64(rpc.NotOwner), n.refusal(v, "passing the call on to %s: %v", p.Name(), err), nil)
		return
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		e = rpc.Errorf(rpc.DeadlineExceeded, "%s, which the call was passed on to, did not answer in time", p.Name())
	default:
		e = rpc.Errorf(rpc.Unavailable, "the connection to %s broke after the call was passed on: %v", p.Name(), err)
	}
	meta := said("%s", e.Message)
	meta.StandIn = transport.Relayed
	_ = in.Reply(uint64(e.Code), meta, nil)
}

// relayBy passes the call on by a connection. The error says that there was no
// answer to give.
func (n *Node) relayBy(ctx context.Context, conn *transport.Conn, in *transport.Incoming) error {
	req := transport.Request{Method: string(in.Method), Body: in.Body, Deadline: in.Due}
	req.Meta = transport.Meta{
		Partition: in.Meta.Partition, Fingerprint: in.Meta.Fingerprint, Hops: in.Meta.Hops + 1,
		Attempt: in.Meta.Attempt, Encoding: in.Meta.Encoding, Priority: in.Meta.Priority,
		StandIn: in.Meta.StandIn, Key: in.Meta.Key, User: in.Meta.User,
	}
	who := n.callerOf(in)
	state(&req.Meta, &who)
	if in.OneWay() {
		return conn.Notify(&req)
	}
	reply, err := conn.Call(ctx, &req)
	if err != nil {
		return err
	}
	defer reply.Release()
	meta := transport.Meta{
		Partition: transport.NoPartition, Fingerprint: reply.Meta.Fingerprint, Refused: reply.Meta.Refused, Owner: reply.Meta.Owner,
		Message: reply.Meta.Message, Encoding: reply.Meta.Encoding, Pushback: reply.Meta.Pushback,
		StandIn: transport.Relayed, User: reply.Meta.User,
	}
	if reply.Meta.StandIn == transport.InPlace {
		meta.StandIn = transport.InPlace
	}
	if !meta.Refused {
		meta.Owner = []byte(conn.Peer().Name)
	}
	_ = in.Reply(reply.Code, &meta, reply.Body)
	return nil
}
