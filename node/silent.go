package node

import "github.com/meshnode/meshnode/transport"

// An owner that leaves calls unanswered for Limits.Contact, over a connection that
// is there, is asked for a sign of life by the transport: once for all calls on the
// connection, and a process whose handlers are slow gives it. While it does not,
// the connection takes no calls, so that those which come go past the owner like
// those that find none; and calls under way that may be repeated end, to be repeated
// at the next owner. The others wait on.

// watch tells what becomes of an attempt if its peer falls silent.
func (o *outgoing) watch(t *target) transport.Watch {
	switch {
	case !t.hasty: // there is nobody else to ask
		return transport.Unwatched
	case !o.call.Spec.Idempotent(), o.nested, o.hedge != nil, o.repeats >= o.policy().Retries:
		return transport.Watched
	}
	return transport.Yielding
}

// mayYield tells whether the budget allows that a call whose peer is silent is
// repeated, and has it pay. A call that may not be waits on: the peer may come back.
func (n *Node) mayYield() bool {
	if n.budget.Withdraw(n.since()) {
		return true
	}
	n.stats.add(BudgetExhausted)
	return false
}
