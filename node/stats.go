package node

import (
	"maps"
	"sync/atomic"

	"github.com/meshnode/meshnode/internal/mprpc"
	"github.com/meshnode/meshnode/transport"
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
	Panics                          // code of the user's that panicked or ended its goroutine
	PoisonCalls                     // calls that are not carried on, since processes went down while they served them
	BadBodies                       // requests that could not be expanded or decoded
	KeyedUnserved                   // calls to keys of this node for methods that it does not serve
	CallersRefused                  // calls whose sender was not believed for whom it carries them

	IdentitiesProven  // members that proved by TLS who they are
	IdentitiesRefused // tries at which a member did not
	IdentitiesLapsed  // members whose certificate has expired, or is trusted no more
	counterCount
)

// counters are their names, and what they count and what a rise means.
var counters = [counterCount]struct{ name, help string }{
	LocalCalls:        {"local_calls", "Calls of this node that it served itself. A rise is traffic that needs no network."},
	Redirects:         {"redirects", "Calls of this node that a peer refused as NotOwner. A rise for a moment goes with every change of the members; a steady one means tables that differ."},
	NotOwnerSent:      {"not_owner_sent", "Calls that this node refused because it does not own their key. A rise for a moment goes with every change of the members; a steady one means tables that differ."},
	Retries:           {"retries", "Attempts at calls after their first. A rise means peers that fail or are out of reach."},
	Failovers:         {"failovers", "Calls of this node that another owner answered in the place of one that is gone. A rise means that an owner is out of reach."},
	FailoversServed:   {"failovers_served", "Calls that this node served in the place of an owner that is gone. A rise means that an owner is out of reach."},
	RelayedCalls:      {"relayed_calls", "Calls of this node that reached their owner through another one. A rise means that this node cannot reach an owner that lives."},
	Relays:            {"relays", "Calls that this node passed on to an owner that their caller could not reach. A rise means a network that is cut in part."},
	Spills:            {"spills", "Calls of this node that went past an owner with more than its share. A rise means hot keys or a slow owner."},
	SpillsServed:      {"spills_served", "Calls that this node served for an owner with more than its share. A rise means hot keys or a slow owner."},
	Hedges:            {"hedges", "Second attempts that this node made beside a first that took long. A rise means slow answers."},
	HedgesWon:         {"hedges_won", "Second attempts whose answer came before that of the first. A rise means that hedges help."},
	BudgetExhausted:   {"budget_exhausted", "Retries and hedges that the budget did not allow. A rise means that so many calls fail that more attempts would do harm."},
	Shed:              {"shed", "Calls that this node refused because it had enough to do. A rise means overload."},
	Suspicions:        {"suspicions", "Members that this node told gossip to suspect, because they did not answer. A rise means members that froze or crashed."},
	TableChanges:      {"table_changes", "New ownership tables. A rise goes with members that join, leave or fail."},
	MovedPartitions:   {"moved_partitions", "Partitions that changed their owner, anywhere in the cluster. A rise goes with table_changes."},
	GainedPartitions:  {"gained_partitions", "Partitions that this node came to own. A rise goes with members that leave or fail, or with its own start."},
	LostPartitions:    {"lost_partitions", "Partitions that this node ceased to own. A rise goes with members that join."},
	HeldCalls:         {"held_calls", "Calls that waited for an ownership hook to finish. A rise means that state takes its time to move."},
	HoldTimeouts:      {"hold_timeouts", "Ownership hooks that held calls up for longer than they may. Any rise means a hook that hangs or is too slow."},
	Panics:            {"panics", "Handlers, interceptors and hooks that panicked or ended their goroutine; their callers got Internal. Any rise is a bug; the log has the stack."},
	PoisonCalls:       {"poison_calls", "Calls of this node that it did not carry on, because two nodes went down while they served them. Any rise means requests that kill the process that serves them; the log names the method and the key."},
	BadBodies:         {"bad_bodies", "Requests that could not be expanded or decoded. A rise means callers with other types or a broken encoder."},
	KeyedUnserved:     {"keyed_unserved", "Calls by key for keys that this node owns, of methods that it does not serve. Any rise means members that serve different methods."},
	CallersRefused:    {"callers_refused", "Calls whose sender was not believed for whom it carries them. Any rise means a member that is not proven, or a liar."},
	IdentitiesProven:  {"identities_proven", "Members that proved by their certificate who they are. A rise goes with members that join or restart."},
	IdentitiesRefused: {"identities_refused", "Tries at which a member did not prove who it is. A rise means wrong or expired certificates; the log names the member."},
	IdentitiesLapsed:  {"identities_lapsed", "Members that were proven and are no more: their certificate has expired, or its CA is not trusted any more. Any rise means a certificate to replace; the log names the member."},
}

// String is the counter's name in snake case, as metrics have it.
func (c Counter) String() string { return counters[c].name }

// Help says in a sentence or two what is counted, and what a rise means.
func (c Counter) Help() string { return counters[c].help }

// ejectionsName is the counter of package health's.
const ejectionsName = "ejections"

// CounterHelp returns what the counters of Node.Stats count, and what a rise means, by
// name. The map is the caller's.
func CounterHelp() map[string]string {
	all := mprpc.Help()
	maps.Copy(all, transport.CounterHelp())
	all[ejectionsName] = "Peers that were left out of calls to any node for a while, because they answered badly. A rise means peers in trouble."
	for c := range counterCount {
		all[c.String()] = c.Help()
	}
	return all
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
	all[ejectionsName] = n.health.Ejections()
	for c := range counterCount {
		all[c.String()] = n.stats.counts[c].Load()
	}
	return all
}
