package node

import (
	"maps"
	"sync/atomic"
)

// Counter names a number that a Node counts since its start, on top of its
// transport's.
type Counter int

// The counters.
const (
	LocalCalls       Counter = iota // calls served for this very process
	Redirects                       // calls that a peer refused as NotOwner
	NotOwnerSent                    // calls that this node refused as NotOwner
	Retries                         // attempts after the first
	Failovers                       // calls that another owner answered in the place of one that is gone
	FailoversServed                 // calls that this node served in the place of an owner that is gone
	RelayedCalls                    // calls that reached their owner through another one
	Relays                          // calls that this node passed on to an owner that its caller could not reach
	Spills                          // calls that went past an owner with more than its share
	SpillsServed                    // calls that this node served for an owner with more than its share
	Hedges                          // second attempts beside a first
	HedgesWon                       // those whose answer came first
	BudgetExhausted                 // retries that the budget did not allow
	Shed                            // calls that this node refused because it had enough
	Suspicions                      // members that this node told gossip to suspect
	TableChanges                    // new ownership tables
	MovedPartitions                 // partitions that changed their owner by them
	GainedPartitions                // those that this node gained
	LostPartitions                  // those that it lost
	HeldCalls                       // calls that waited for an ownership hook
	HoldTimeouts                    // hooks that held calls up for longer than they may
	Panics                          // handlers that panicked
	BadBodies                       // requests that could not be expanded or decoded
	KeyedUnserved                   // calls to keys of this node for methods that it does not serve
	CallersRefused                  // calls whose sender was not believed for whom it carries them

	IdentitiesProven  // members that proved by TLS who they are
	IdentitiesRefused // tries at which a member did not
	counterCount
)

// String is the counter's name in snake case, as metrics have it.
func (c Counter) String() string {
	return [...]string{
		"local_calls", "redirects", "not_owner_sent", "retries",
		"failovers", "failovers_served", "relayed_calls", "relays", "spills", "spills_served",
		"hedges", "hedges_won", "budget_exhausted", "shed", "suspicions",
		"table_changes", "moved_partitions", "gained_partitions", "lost_partitions", "held_calls", "hold_timeouts", "panics", "bad_bodies", "keyed_unserved", "callers_refused",
		"identities_proven", "identities_refused",
	}[c]
}

type stats struct{ counts [counterCount]atomic.Uint64 }

func (s *stats) add(c Counter) { s.counts[c].Add(1) }

// Stats gives every counter of the node and its transport by name; the map is
// the caller's.
func (n *Node) Stats() map[string]uint64 {
	all := make(map[string]uint64)
	if n.endpoint != nil {
		maps.Copy(all, n.endpoint.Stats().All())
	}
	if n.foreign != nil {
		maps.Copy(all, n.foreign.Stats())
	}
	if n.cfg.TLS != nil {
		maps.Copy(all, n.cfg.TLS.Stats())
	}
	all["ejections"] = n.health.Ejections()
	for c := range counterCount {
		all[c.String()] = n.stats.counts[c].Load()
	}
	return all
}
