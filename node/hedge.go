package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// hedge is a second attempt beside a call that gets no answer for long.
//
// Invariant: the call returns only when the second attempt has ended or was
// never made, because both use its request.
type hedge struct {
	first  *outgoing
	cancel context.CancelFunc // of the first attempt

	mu      sync.Mutex
	over    bool               // the first has an answer
	nodes   []string           // where a first attempt at any node went
	stop    context.CancelFunc // of the second attempt; nil before it runs
	ended   chan struct{}      // closed when the second attempt has ended
	reached bool               // once ended: the second attempt may have been executed
	second  *outgoing          // once ended: the attempt, if its answer counts
	err     error              // its answer
}

const (
	// firstHedge is what HedgeP95 means before there are enough calls to know.
	firstHedge = 100 * time.Millisecond
	// leastHedge is the least that HedgeP95 means: less is within the noise.
	leastHedge = time.Millisecond
)

// hedgeAfter is how long the call waits for its first answer before it is sent
// a second time; 0: it is not.
func (o *outgoing) hedgeAfter() time.Duration {
	after := o.call.Spec.Policy().Hedge
	if after == 0 {
		after = o.n.cfg.Calls.Hedge
	}
	if after == rpc.NoHedge || after == 0 || o.nested || o.call.OneWay || !o.call.Spec.Idempotent() || o.call.Spec.Streams() {
		return 0
	}
	if after != rpc.HedgeP95 {
		return after
	}
	if p95 := o.stats.p95.Value(o.began); p95 > 0 {
		return max(p95, leastHedge)
	}
	return firstHedge
}

// withHedge carries the call with a second attempt after a while. The two share
// what is on the heap, where most calls need not be.
func (o *outgoing) withHedge(ctx context.Context, after time.Duration) error {
	shared := new(outgoing)
	*shared = *o
	err := shared.hedged(ctx, after)
	*o = *shared
	return err
}

func (o *outgoing) hedged(ctx context.Context, after time.Duration) error {
	if err := o.encode(); err != nil {
		return err
	}
	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	o.victims = new(victims) // of both attempts
	h := &hedge{first: o, cancel: cancel, ended: make(chan struct{})}
	o.hedge = h
	timer := time.AfterFunc(after, func() { h.run(ctx) })
	err := o.direct(bounded)
	if timer.Stop() {
		return err
	}
	if err == nil || err == error(o.answer) {
		h.settle()
	}
	<-h.ended
	o.reached = o.reached || h.reached
	if h.second == nil || err == nil {
		return err
	}
	o.n.stats.add(HedgesWon)
	o.call.Reply = h.second.call.Reply
	o.call.AnsweredBy(h.second.call.Peer)
	o.answer, o.refused = h.second.answer, h.second.refused
	return h.err
}

// note remembers where the first attempt goes; tried tells.
func (h *hedge) note(node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nodes = append(h.nodes, node)
}

func (h *hedge) tried() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.nodes)
}

// settle ends the second attempt: the first has an answer.
func (h *hedge) settle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	if h.stop != nil {
		h.stop()
	}
}

// run makes the second attempt.
func (h *hedge) run(ctx context.Context) {
	defer close(h.ended)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	h.mu.Lock()
	h.stop = stop
	over := h.over
	h.mu.Unlock()
	if over {
		return
	}
	second := h.first.twin()
	err := second.elsewhere(ctx)
	h.reached = second.reached
	if err != nil && (err != error(second.answer) || errors.Is(err, rpc.Unavailable) || errors.Is(err, rpc.ResourceExhausted)) {
		return // the first may still do better
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	h.second, h.err = second, err
	h.cancel()
}

// twin is the call once more, for an attempt beside the first. It shares the
// encoded request.
func (o *outgoing) twin() *outgoing {
	call := &rpc.Call{
		Spec: o.call.Spec, Dest: o.call.Dest, Metadata: o.call.Metadata, Req: o.call.Req,
		OwnerOnly: o.call.OwnerOnly, CarryOn: o.call.CarryOn, For: o.call.For,
	}
	return &outgoing{
		n: o.n, call: call, due: o.due, body: o.body, encoded: true, sent: 1, repeats: 1, isHedge: true, hedge: o.hedge,
		stats: o.stats, priority: o.priority, nested: true, victims: o.victims,
	}
}

// elsewhere makes the second attempt at other nodes than the first.
func (o *outgoing) elsewhere(ctx context.Context) error {
	switch o.call.Dest.Kind {
	case rpc.ToAny:
		if !o.paid() {
			return errNowhere
		}
		return o.toAny(ctx)
	case rpc.ToKey:
		return o.atNextOwner(ctx)
	}
	return errNowhere
}

// paid tells whether the budget allows the second attempt, and counts it.
func (o *outgoing) paid() bool {
	if !o.n.budget.Withdraw(o.n.since()) {
		o.n.stats.add(BudgetExhausted)
		return false
	}
	o.n.stats.add(Hedges)
	return true
}

// atNextOwner makes the second attempt at a call with a key. An owner that gives
// a sign of life is only slow: then the next one is asked if calls of the method
// may spill, and else nobody, as the call would come back to the first.
func (o *outgoing) atNextOwner(ctx context.Context) error {
	v := o.n.view.Load()
	if !v.ready || !o.mayFailOver(v) {
		return errNowhere
	}
	partition := v.table.Partition(o.call.Dest.Key)
	owner := v.peers[v.ownerOf(partition, o.call.Spec.Name())]
	if owner == nil { // this node itself, or somebody who is gone
		return errNowhere
	}
	bounded, cancel := context.WithDeadline(ctx, o.due)
	defer cancel()
	alive, err := o.n.signOfLife(bounded, owner)
	if err != nil || alive && o.spillFactor() == 0 || !o.paid() {
		return errNowhere
	}
	if alive {
		return o.spillTo(ctx, v, partition, 1)
	}
	for w := (walk{past: 1, redialed: true}); ; {
		o.lost, o.served = notLost, transport.AsOwner
		f, _, err := o.pastOwner(ctx, v, &w, partition)
		if f == done || f == missing {
			return err
		}
		if o.lost == notLost || !w.missed(o, v) {
			return errNowhere
		}
	}
}

// errNowhere tells that there is no other node for a second attempt.
var errNowhere = errors.New("node: no other node to ask")
