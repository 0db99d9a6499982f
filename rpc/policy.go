package rpc

import (
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// CallPolicy says what is done about calls that do not succeed at once. Zero
// fields of a method's policy mean the node's default, and zero fields there
// the defaults given here.
//
// A failure is unsent (the call was provably not executed: no connection, a
// refusal before any handler ran), or its outcome is unknown (the connection
// broke after the call was sent), or it was answered with an error. Unsent calls
// are sent again within the deadline, whatever the method. Retries are about the
// rest: calls of idempotent methods whose outcome is unknown or that were answered
// with Unavailable, and calls that a node was too busy to take.
type CallPolicy struct {
	// Timeout bounds calls whose context has no deadline. Default 5 s.
	Timeout time.Duration
	// Retries is how often a call may be sent again. Default 2; NoRetries: never.
	// Retries and hedges share one budget of the node, so that many failures add
	// at most a fifth to the load.
	Retries int
	// Backoff is the most that is waited before the first retry; it doubles
	// with each, up to MaxBackoff. The wait is random between 0 and that (full
	// jitter), or what the answer asks for. Defaults 10 ms and 1 s.
	Backoff, MaxBackoff time.Duration
	// Hedge sends a call of an idempotent method a second time if there is no
	// answer after so long: to another node or, if it has a key, to the next
	// owner, which serves it if it too finds the first one silent. HedgeP95
	// waits as long as 95 % of the method's calls take. Default NoHedge.
	Hedge time.Duration
	// Spill lets a call with a key of an idempotent method go to the next owner
	// when the first has more than Spill times its share of this node's calls
	// under way. 1.25 is a good value; NoSpill is the default: every call goes
	// to the owner. The serving side has to agree, by the policy of its method or
	// of its node.
	Spill float64
}

// Values of CallPolicy that are no quantities.
const (
	NoRetries               = -1
	NoSpill                 = -1
	NoHedge   time.Duration = -1
	HedgeP95  time.Duration = -2
)

// Or gives p with the fields of other in place of zeros.
func (p CallPolicy) Or(other CallPolicy) CallPolicy {
	or(&p.Timeout, other.Timeout)
	or(&p.Retries, other.Retries)
	or(&p.Backoff, other.Backoff)
	or(&p.MaxBackoff, other.MaxBackoff)
	or(&p.Hedge, other.Hedge)
	or(&p.Spill, other.Spill)
	return p
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// DefaultTimeout bounds calls whose context has no deadline.
func DefaultTimeout(d time.Duration) MethodOption {
	return func(s *Spec) { s.policy.Timeout = d }
}

// WithPolicy sets how calls of the method are made; see CallPolicy. Zero fields
// leave earlier options as they are.
func WithPolicy(p CallPolicy) MethodOption {
	return func(s *Spec) { s.policy = p.Or(s.policy) }
}

// Hedge sends a call a second time if there is no answer after d, or after
// HedgeP95; see CallPolicy.Hedge. The method should be idempotent.
func Hedge(d time.Duration) MethodOption { return func(s *Spec) { s.policy.Hedge = d } }

// WithPriority gives the calls of a method a priority.
func WithPriority(p Priority) MethodOption { return func(s *Spec) { s.priority = p } }

// Policy is how calls of the method are made, where it says so.
func (s *Spec) Policy() CallPolicy { return s.policy }

// Timeout is how long a call may take when its context says nothing; 0: the
// node's default.
func (s *Spec) Timeout() time.Duration { return s.policy.Timeout }

// Priority is that of the method's calls.
func (s *Spec) Priority() Priority { return s.priority }

// Priority says who is refused first when a node has more calls than it can
// serve. A call that a handler makes has the priority of the one that it serves,
// unless its method or an option says otherwise. Numbers travel on the wire.
type Priority uint8

// The priorities.
const (
	PriorityDefault Priority = 0
	Critical        Priority = 1 // refused last: for what people wait for
	Sheddable       Priority = 2 // refused first: for what can be done later
)

// String is the priority's name.
func (p Priority) String() string {
	switch p {
	case Critical:
		return "critical"
	case Sheddable:
		return "sheddable"
	}
	return "default"
}

// Policy names how the node for a call is picked.
type Policy string

// The policies of calls to any node, and Bounded, that of calls with a key.
const (
	RoundRobin  Policy = "round-robin"  // one after the other; the default
	Random      Policy = "random"       // all alike
	Weighted    Policy = "weighted"     // in proportion to the weights of the nodes
	LeastLoaded Policy = "least-loaded" // the better of two: by latency and calls under way
	ZoneFirst   Policy = "zone-first"   // in the caller's own zone, unless that is overloaded
	// Bounded is for calls with a key of idempotent methods that let calls spill:
	// to the next owner when the first is overloaded. See CallPolicy.Spill, which
	// it sets to 1.25 for one call.
	Bounded Policy = "bounded"
)

// Policies gives the names of all policies of calls to any node.
func Policies() []Policy { return []Policy{RoundRobin, Random, Weighted, LeastLoaded, ZoneFirst} }

// Balance picks the node of a call by a policy: one of Policies for a call to
// any node, Bounded for one with a key.
func Balance(p Policy) CallOption { return CallOption{kind: optPolicy, dest: Dest{Policy: p}} }

// OwnerOnly has a call with a key served by the owner of the key or not at all:
// no other owner stands in for it while it cannot be reached.
func OwnerOnly() CallOption { return CallOption{kind: optOwnerOnly} }

// AtPriority gives one call a priority.
func AtPriority(p Priority) CallOption { return CallOption{kind: optPriority, n: int(p)} }

// NeverRetry in Error.RetryAfter says that another try makes no sense.
const NeverRetry time.Duration = -1

// Pushback is RetryAfter as it travels: milliseconds, rounded up. Packages that
// carry calls use it.
func (e *Error) Pushback() uint32 {
	switch ms := (e.RetryAfter + time.Millisecond - 1) / time.Millisecond; {
	case e.RetryAfter < 0 || ms >= wire.NeverAgain:
		return wire.NeverAgain
	default:
		return uint32(ms)
	}
}

// After gives e with RetryAfter set, for handlers that know when another try
// makes sense:
//
//	return nil, rpc.Errorf(rpc.Unavailable, "the shard is loading").After(time.Second)
func (e *Error) After(d time.Duration) *Error {
	later := *e
	later.RetryAfter = d
	return &later
}

// RetryAfterOf reads what Pushback gave.
func RetryAfterOf(pushback uint32) time.Duration {
	if pushback == wire.NeverAgain {
		return NeverRetry
	}
	return time.Duration(pushback) * time.Millisecond
}
