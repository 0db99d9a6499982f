package node

import (
	"context"
	"slices"

	"github.com/meshnode/meshnode/router/balance"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// spillFactor is how many times its share of this node's calls the owner of a
// key may have before the next owner gets a call; 0: it always gets it.
func (o *outgoing) spillFactor() float64 {
	if o.call.OwnerOnly || !o.call.Spec.Idempotent() {
		return 0
	}
	if o.call.Dest.Policy == rpc.Bounded {
		return balance.DefaultFactor
	}
	factor := o.call.Spec.Policy().Spill
	if factor == 0 {
		factor = o.n.cfg.Calls.Spill
	}
	return max(factor, 0)
}

// spilled makes one attempt at another owner than the first if that one has
// more calls than the call's policy allows. It tells whether it did; if it did
// not succeed, the owner is to be asked after all.
func (o *outgoing) spilled(ctx context.Context, v *view, partition uint32, owner *peer) (f fate, did bool, err error) {
	factor := o.spillFactor()
	if factor == 0 {
		return 0, false, nil
	}
	names := v.ownersOf(partition, maxOwners, o.call.Spec.Name())
	set := &balance.Set{Of: v.set, Nodes: make([]*balance.Node, 0, maxOwners)}
	for _, name := range names {
		if p := v.peers[name]; p != nil {
			set.Nodes = append(set.Nodes, p.load)
		} else if name == o.n.cfg.Name {
			set.Nodes = append(set.Nodes, o.n.self)
		}
	}
	if len(set.Nodes) != len(names) || set.Nodes[0] != owner.load {
		return 0, false, nil
	}
	bounded := balance.Bounded{Factor: factor}
	o.n.wantLoads(bounded)
	at := bounded.Pick(set, 0, 0)
	if at == 0 {
		return 0, false, nil
	}
	if err := o.spillTo(ctx, v, partition, at); err != errNowhere {
		return done, true, err
	}
	o.lost = notLost // whatever became of that one, the owner was not asked
	return 0, false, nil
}

// spillTo makes one attempt at an owner that is not the first, because that one
// has more than its share. errNowhere tells that it did not serve the call.
func (o *outgoing) spillTo(ctx context.Context, v *view, partition uint32, at int) error {
	names := v.ownersOf(partition, at+1, o.call.Spec.Name())
	if len(names) <= at {
		return errNowhere
	}
	name := names[at]
	o.n.stats.add(Spills)
	if name == o.n.cfg.Name {
		h := o.n.handlers.find(o.call.Spec.Name())
		if h == nil || !o.n.letsSpill(h.Spec) {
			return errNowhere
		}
		o.n.stats.add(SpillsServed)
		o.n.self.Begin()
		defer o.n.self.Done()
		_, err := o.local(ctx, info{keyed: true, partition: partition, standIn: transport.Spilled})
		return err
	}
	p := v.peers[name]
	if p == nil {
		return errNowhere
	}
	f, _, err := o.send(ctx, target{
		name: name, peer: p, partition: int64(partition),
		fingerprint: uint64(v.table.Fingerprint()), standIn: transport.ForSpill, hasty: true,
	})
	if f != done {
		return errNowhere
	}
	return err
}

// checkPolicy refuses a policy that calls with a key do not have.
func checkPolicy(call *rpc.Call) error {
	if p := call.Dest.Policy; !slices.Contains([]rpc.Policy{"", rpc.Bounded}, p) {
		return rpc.Errorf(rpc.InvalidArgument, "no policy for calls with a key is called %q; there is %q", p, rpc.Bounded)
	}
	return nil
}
