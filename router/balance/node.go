package balance

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// decay is how fast a latency of long ago is forgotten: after so long, a
	// third of it still counts.
	decay = 10 * time.Second
	// reportAge is how long what a node said of its load counts.
	reportAge = time.Second
	// failurePenalty is the least that a failed call counts for: who fails fast
	// must not look fast.
	failurePenalty = time.Second
)

// Node is what one caller knows of one node. Make it with NewNode; it is kept
// as long as the node is a member.
type Node struct {
	Name   string
	Zone   string
	Weight float64 // more than 0

	inFlight atomic.Int64
	latency  atomic.Uint64 // peak EWMA in nanoseconds, as a float64
	updated  atomic.Int64  // when
	reported atomic.Int64  // calls that the node said it is serving
	said     atomic.Int64  // when
}

// NewNode gives a node of which nothing is known yet.
func NewNode(name, zone string, weight float64) *Node {
	return &Node{Name: name, Zone: zone, Weight: weight}
}

// Begin notes that a call begins.
func (n *Node) Begin() { n.inFlight.Add(1) }

// Done notes that a call has ended whose latency says nothing.
func (n *Node) Done() { n.inFlight.Add(-1) }

// End notes that a call has ended, and how long it took.
//
// The latency is a peak EWMA: one that is above the average counts at once, and
// is forgotten with time (as in Finagle and Linkerd). Of two that end at the
// same moment one may be lost; that does no harm.
func (n *Node) End(now, latency time.Duration, failed bool) {
	n.inFlight.Add(-1)
	if failed {
		latency = max(latency, failurePenalty)
	}
	old, at := n.average(), time.Duration(n.updated.Load())
	next := float64(latency)
	if next < old {
		keep := math.Exp(-float64(max(now-at, 0)) / float64(decay))
		next = old*keep + next*(1-keep)
	}
	n.latency.Store(math.Float64bits(next))
	n.updated.Store(int64(now))
}

// Report notes how many calls the node says that it is serving.
func (n *Node) Report(now time.Duration, load uint32) {
	n.reported.Store(int64(load))
	n.said.Store(int64(now))
}

// InFlight is how many calls of this caller are under way.
func (n *Node) InFlight() int64 { return n.inFlight.Load() }

func (n *Node) average() float64 { return math.Float64frombits(n.latency.Load()) }

// Load is what the next call would meet: the latency of late, times the calls
// before it, over the weight. It is in nanoseconds and only good for comparison.
// A node that was never called counts as fast, but only for one call at a time.
func (n *Node) Load(now time.Duration) float64 {
	calls := n.inFlight.Load()
	latency := n.average()
	if latency == 0 {
		if calls > 0 {
			latency = float64(failurePenalty)
		}
		return latency * float64(calls) / n.Weight
	}
	if now-time.Duration(n.said.Load()) < reportAge {
		calls = max(calls, n.reported.Load())
	}
	if idle := now - time.Duration(n.updated.Load()); idle > decay {
		latency *= float64(decay) / float64(idle) // who was slow long ago gets another try
	}
	return latency * float64(calls+1) / n.Weight
}
