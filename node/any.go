package node

import (
	"context"
	"slices"
	"time"

	"github.com/meshnode/meshnode/router/balance"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// toAny carries a call to some node that serves the method, this one included:
// to the one that the policy picks and, as long as that is provably not
// executed, to what it picks of the rest.
func (o *outgoing) toAny(ctx context.Context) error {
	v := o.n.view.Load()
	set, balancer, err := o.n.candidates(v, o.call.Dest.Policy, o.call.Spec.Name())
	if err != nil {
		return err
	}
	o.n.wantLoads(balancer)
	if o.isHedge {
		set = o.elsewhereOf(set)
	}
	var lacking error // nobody serves the method, as far as we asked
	for len(set.Nodes) > 0 {
		at := o.n.pick(v, set, balancer)
		f, err := o.toOne(ctx, v, set.Nodes[at])
		switch {
		case f == done:
			return err
		case f == missing:
			lacking = err
		case f == ambiguous:
			if err := o.mayRepeat(ctx, err); err != nil {
				return err
			}
			o.last = err
		default:
			o.last = err
		}
		set = set.Without(o.n.cfg.Zone, func(i int) bool { return i == at })
	}
	switch {
	case lacking != nil:
		return lacking
	case o.last == nil:
		return errNowhere
	}
	return rpc.Errorf(rpc.Unavailable, "no node could be reached: %v", o.last)
}

// toOne makes one attempt at a node that was picked.
func (o *outgoing) toOne(ctx context.Context, v *view, node *balance.Node) (fate, error) {
	if o.hedge != nil {
		o.hedge.note(node.Name)
	}
	if node.Name == o.n.cfg.Name {
		return o.toSelf(ctx, node)
	}
	p := v.peers[node.Name]
	if p == nil {
		return unsent, rpc.Errorf(rpc.Unavailable, "%s is no live member", node.Name)
	}
	f, _, err := o.send(ctx, target{name: node.Name, peer: p, partition: transport.NoPartition})
	return f, err
}

// toSelf serves a call to any on this very node.
func (o *outgoing) toSelf(ctx context.Context, node *balance.Node) (fate, error) {
	node.Begin()
	start := o.n.since()
	f, err := o.local(ctx, info{})
	now := o.n.since()
	node.End(now, now-start, isFailure(err))
	return f, err
}

// elsewhereOf leaves out the nodes that the first attempt has gone to.
func (o *outgoing) elsewhereOf(set *balance.Set) *balance.Set {
	tried := o.hedge.tried()
	return set.Without(o.n.cfg.Zone, func(i int) bool { return slices.Contains(tried, set.Nodes[i].Name) })
}

// candidates gives the nodes that calls of a method to any may go to, and what
// picks one.
func (n *Node) candidates(v *view, policy rpc.Policy, method string) (*balance.Set, balance.Balancer, error) {
	balancer, err := balance.ByName(string(policy))
	if err != nil || policy == rpc.Bounded {
		return nil, nil, rpc.Errorf(rpc.InvalidArgument, "no policy for calls to any node is called %q; there are %v", policy, rpc.Policies())
	}
	set := v.set
	if down := v.down[serviceOf(method)]; len(down) > 0 {
		set = set.Without(n.cfg.Zone, func(i int) bool { return slices.Contains(down, set.Nodes[i].Name) })
	}
	if len(set.Nodes) == 0 {
		set = balance.NewSet([]*balance.Node{n.self}, n.cfg.Zone)
	}
	return set, balancer, nil
}

// wantLoads has calls under way counted from the first balancer on that goes by
// them. Others, and calls with a key, do without: it costs time.
func (n *Node) wantLoads(b balance.Balancer) {
	switch b.(type) {
	case balance.LeastLoaded, balance.ZoneFirst, balance.Bounded:
		if !n.loads.Load() {
			n.loads.Store(true)
		}
	}
}

// pick has a balancer pick a node, and again if that one is ejected.
func (n *Node) pick(v *view, set *balance.Set, b balance.Balancer) int {
	const tries = 4
	now := n.since()
	out := func(i int) bool {
		p := v.peers[set.Nodes[i].Name]
		return p != nil && p.link.health.Ejected(now)
	}
	first := b.Pick(set, n.turns.Add(1), now)
	for i, try := first, 0; try < tries; try++ {
		if !out(i) {
			return i
		}
		i = b.Pick(set, n.turns.Add(1), now)
	}
	for i := range set.Nodes {
		if !out(i) {
			return i
		}
	}
	return first
}

// setOf gives the nodes that calls to any may go to: those who own keys.
func (n *Node) setOf(v *view) *balance.Set {
	nodes := make([]*balance.Node, 0, len(v.serving))
	for _, name := range v.serving {
		if name == n.cfg.Name {
			nodes = append(nodes, n.self)
		} else if p := v.peers[name]; p != nil {
			nodes = append(nodes, p.load)
		}
	}
	return balance.NewSet(nodes, n.cfg.Zone)
}

// isFailure tells whether an error says that a node is not well, as opposed to
// one that did what it was asked to.
func isFailure(err error) bool {
	if err == nil {
		return false
	}
	code := rpc.CodeOf(err)
	return code == rpc.Unavailable || code == rpc.DeadlineExceeded
}

// experience takes note of how an attempt at a peer went.
func (o *outgoing) experience(t *target, start time.Duration, reply *transport.Reply, err error) {
	now := o.n.since()
	o.endedAt = now
	code, keyed := rpc.OK, t.partition != transport.NoPartition
	if err != nil {
		code = rpc.Unavailable
	} else if reply != nil {
		code = rpc.Code(reply.Code)
		if reply.Meta.Load > 0 {
			t.peer.load.Report(now, reply.Meta.Load)
		}
	}
	t.peer.link.attempts.add(code)
	failed := code == rpc.Unavailable || code == rpc.DeadlineExceeded
	switch {
	case !t.counted:
	case keyed: // what its own keys cost says little about a node
		t.peer.load.Done()
	default:
		t.peer.load.End(now, now-start, failed)
	}
	if seen := t.peer.link.health; failed || seen.Failing() {
		o.n.health.Record(seen, now, !failed, now-start)
	} else if sampled(now) {
		o.n.health.RecordSample(seen, now, true, now-start, samples)
	}
}

// samples is how many calls one stands for where some are enough.
const samples = 8

// sampled picks one of so many calls, by the last digits of the time, which are as
// good as random.
func sampled(now time.Duration) bool { return now>>4%samples == 0 }
