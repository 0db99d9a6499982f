package node

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// defaultPolicy is how calls are made where neither the method nor the node's
// configuration says otherwise.
func defaultPolicy() rpc.CallPolicy {
	return rpc.CallPolicy{
		Timeout: DefaultCallTimeout, Retries: 2, Backoff: 10 * time.Millisecond, MaxBackoff: time.Second,
		Hedge: rpc.NoHedge, Spill: rpc.NoSpill,
	}
}

// Bounds of the wait for the tables to change.
const (
	minRetry = 5 * time.Millisecond
	maxRetry = 250 * time.Millisecond
)

// pause waits before the next attempt at a call that was not executed: until
// the view is no longer v, or for a jittered, growing while. The error says that
// the call's time is up.
func (o *outgoing) pause(ctx context.Context, v *view) error {
	o.n.stats.add(Retries)
	most := min(minRetry<<min(o.pauses, 8), maxRetry)
	o.pauses++
	wait := most/2 + o.n.jitter(most/2)
	timer := time.NewTimer(min(wait, time.Until(o.due)))
	defer timer.Stop()
	select {
	case <-v.changed:
	case <-timer.C:
	case <-ctx.Done():
		return o.ended(ctx)
	case <-o.n.ctx.Done():
		return o.stopped()
	}
	if !time.Now().Before(o.due) {
		return o.expired(nil)
	}
	return nil
}

// jitter gives a random time from 0 to most.
func (n *Node) jitter(most time.Duration) time.Duration {
	random := rand.New(rand.NewPCG(n.cfg.RandSeed, n.pauses.Add(1)))
	return time.Duration(random.Int64N(int64(most) + 1))
}

// again tells whether the call may be sent once more though that adds to the
// load: by its policy, by the node's budget, and not if it serves a call that is
// itself sent again, lest retries multiply along a chain. If not, it says why.
func (o *outgoing) again() (bool, string) {
	switch {
	case o.nested:
		return false, "it serves a call that is itself a retry"
	case o.repeats >= o.policy().Retries:
		return false, "its retries are used up"
	case !o.n.budget.Withdraw(o.n.since()):
		o.n.stats.add(BudgetExhausted)
		return false, "the node's budget for retries is used up"
	}
	o.repeats++
	o.n.stats.add(Retries)
	return true, ""
}

// mayRepeat tells whether a call whose outcome is unknown may be sent again.
// The error is the call's, if not.
func (o *outgoing) mayRepeat(ctx context.Context, cause error) error {
	if !o.call.Spec.Idempotent() && !o.n.cfg.Sim.Planted().RetryAmbiguous {
		return o.unknown(cause)
	}
	if e := o.poisonous(ctx); e != nil {
		return e
	}
	if o.lost == fellSilent { // it was paid for when the call was given up
		o.repeats++
		o.n.stats.add(Retries)
		return nil
	}
	if ok, why := o.again(); !ok {
		return rpc.Errorf(rpc.Unavailable, "outcome of %s unknown, and it is not tried again, as %s: %v",
			o.call.Spec.Name(), why, cause)
	}
	return nil
}

// repeated goes on with a call that was answered with an error: it sends it
// again as long as that makes sense, and gives what came of it in the end.
func (o *outgoing) repeated(ctx context.Context, err error) error {
	policy := o.policy()
	for err != nil {
		after, makesSense := o.repeatable(err)
		if !makesSense {
			return err
		}
		wait := after + o.n.jitter(min(policy.Backoff<<min(o.repeats, 16), policy.MaxBackoff))
		if wait >= time.Until(o.due) {
			return err
		}
		if ok, _ := o.again(); !ok {
			return err
		}
		if !o.sleep(ctx, wait) {
			return err
		}
		o.last, err = err, o.carry(ctx)
	}
	return nil
}

// repeatable tells whether another try may do better after the call was
// answered with err, and how long the answer asks to wait.
func (o *outgoing) repeatable(err error) (after time.Duration, ok bool) {
	e, answered := err.(*rpc.Error)
	if !answered || e != o.answer || e.RetryAfter < 0 || o.call.Spec.Streams() {
		return 0, false
	}
	switch e.Code {
	case rpc.ResourceExhausted: // a quota would not have named a time
		return e.RetryAfter, o.refused || e.RetryAfter > 0 && o.call.Spec.Idempotent()
	case rpc.Unavailable:
		return e.RetryAfter, o.call.Spec.Idempotent()
	}
	return 0, false
}

// sleep waits; it is false if the call or the node ends first.
func (o *outgoing) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-o.n.ctx.Done():
	}
	return false
}
