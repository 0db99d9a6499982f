package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// Invoke carries one call to its destination; it implements rpc.Caller. Use
// the methods of rpc.Method instead, but for gateways.
func (n *Node) Invoke(ctx context.Context, call *rpc.Call) error {
	if len(n.cfg.Client) == 0 {
		return n.route(ctx, call)
	}
	return n.intercepted(ctx, call)
}

// intercepted makes a call behind the client interceptors.
func (n *Node) intercepted(ctx context.Context, call *rpc.Call) (err error) {
	call.TrackCopies()
	rpc.GuardTo(func() (any, error) { return nil, n.invoker(ctx, call) }, func(_ any, failed error) {
		switch failed := failed.(type) {
		case *rpc.PanicError:
			err = n.panicked(failed, "client interceptors", call.Spec.Name()).MarkNotExecuted(!call.Reached())
		case *rpc.Error:
			err = failed.MarkNotExecuted(!call.Reached())
		}
	})
	return err
}

// notRunning is the error of a call that this node cannot make: it has not been started, or it
// stops.
func (n *Node) notRunning() *rpc.Error {
	e := rpc.Errorf(rpc.FailedPrecondition, "node %s has not been started", n.cfg.Name)
	if n.life.isStopping() {
		e = rpc.Errorf(rpc.Unavailable, "node %s is not running any more", n.cfg.Name)
	}
	return e.MarkNotExecuted(true)
}

// route is what stands behind the client interceptors.
func (n *Node) route(ctx context.Context, call *rpc.Call) error {
	if n.port.Load() == nil || !n.calls.enter() {
		return n.notRunning()
	}
	defer n.calls.leave()
	err := n.tracked(ctx, call)
	if err == nil {
		return nil
	}
	return rpc.AsError(err).MarkNotExecuted(!call.Reached())
}

// tracked makes a call and counts it.
func (n *Node) tracked(ctx context.Context, call *rpc.Call) error {
	o := outgoing{n: n, call: call, stats: n.methods.ofSpec(call.Spec)}
	o.inherit(ctx)
	o.due, o.left, o.began = dueOf(ctx, call, n.cfg.Calls.Timeout, n.started)
	_, bounded := ctx.Deadline()
	o.endless = call.Spec.Streams() && !bounded && call.Timeout == 0 && call.Spec.Timeout() == 0
	defer o.end()
	if ctx.Err() != nil {
		return o.ended(ctx)
	}
	if err := checkMetadata(call); err != nil {
		return err
	}
	n.budget.Deposit(o.began, 1)
	err := o.carry(ctx)
	if err != nil {
		err = o.repeated(ctx, err)
	}
	if err != nil || o.endedAt == 0 {
		o.endedAt = n.since()
	}
	o.stats.made(call.Dest.Kind, err, o.endedAt-o.began)
	return err
}

// policy is how the call is made.
func (o *outgoing) policy() rpc.CallPolicy { return o.call.Spec.Policy().Or(o.n.cfg.Calls) }

// inherit takes over what the call has from the one that is being served.
func (o *outgoing) inherit(ctx context.Context) {
	o.priority = priorityOf(o.call)
	served, ok := rpc.InfoFrom(ctx)
	if !ok {
		return
	}
	o.nested = served.Attempt > 0
	if o.priority == rpc.PriorityDefault && !o.call.Prioritised {
		o.priority = served.Priority
	}
}

// priorityOf is what a call says of its priority, or its method.
func priorityOf(call *rpc.Call) rpc.Priority {
	if call.Prioritised {
		return call.Priority
	}
	return call.Spec.Priority()
}

// carry brings the call to its destination, with a second attempt beside the
// first if its policy says so.
func (o *outgoing) carry(ctx context.Context) error {
	if after := o.hedgeAfter(); after > 0 {
		return o.withHedge(ctx, after)
	}
	return o.direct(ctx)
}

// direct brings the call to its destination.
func (o *outgoing) direct(ctx context.Context) error {
	err := o.toDest(ctx)
	if err == o.unheard {
		return nil // a peer would have dropped the one-way call without a word
	}
	return err
}

func (o *outgoing) toDest(ctx context.Context) error {
	switch o.call.Dest.Kind {
	case rpc.ToKey:
		return o.toKey(ctx)
	case rpc.ToPeer:
		return o.toPeer(ctx)
	case rpc.ToAny:
		return o.toAny(ctx)
	}
	return rpc.Errorf(rpc.InvalidArgument, "a call to rpc.%s has many destinations; use Gather", o.call.Dest.Kind)
}

// checkMetadata refuses metadata and a key that a peer would refuse, or take for a violation of
// the protocol, wherever the call goes.
func checkMetadata(call *rpc.Call) error {
	if n := len(call.Metadata); n > rpc.MaxMetadata {
		return rpc.Errorf(rpc.InvalidArgument, "%s: %d pairs of metadata; want at most %d", call.Spec.Name(), n, rpc.MaxMetadata)
	}
	if n := len(call.Dest.Key); n > rpc.MaxKey {
		return rpc.Errorf(rpc.InvalidArgument, "%s: a key of %d bytes; want at most %d", call.Spec.Name(), n, rpc.MaxKey)
	}
	size := 0
	for k, v := range call.Metadata {
		size += len(k) + len(v)
	}
	if size > rpc.MaxMetadataBytes {
		return rpc.Errorf(rpc.ResourceExhausted, "the metadata of %s (%d bytes) exceed the limit of %d bytes for a call",
			call.Spec.Name(), size, rpc.MaxMetadataBytes).After(rpc.NeverRetry)
	}
	return nil
}

// dueOf is when a call must have ended: by its context, and by its own
// timeout, else the method's, else the fallback. left is the time until then if
// that is known without reading the clock again, else 0. now is the time since
// start, which is any time in the past: to count from it, one clock is read
// instead of two.
func dueOf(ctx context.Context, call *rpc.Call, fallback time.Duration, start time.Time) (due time.Time, left, now time.Duration) {
	now = time.Since(start)
	due, bounded := ctx.Deadline()
	timeout := call.Timeout
	if timeout == 0 && !bounded {
		if timeout = call.Spec.Timeout(); timeout == 0 {
			timeout = fallback
		}
	}
	if timeout != 0 {
		if t := start.Add(now + timeout); !bounded || t.Before(due) {
			return t, timeout, now
		}
	}
	return due, 0, now
}

// target is where one attempt goes.
type target struct {
	name        string
	peer        *peer
	partition   int64
	fingerprint uint64
	hops        int
	standIn     transport.StandIn
	boot        uint64 // of the process that was reached
	counted     bool   // among the calls under way to the peer
	hasty       bool   // others may be asked: wait for a connection no longer than Limits.Contact
}

// send makes one attempt at a remote peer. owner is only given with redirect.
func (o *outgoing) send(ctx context.Context, t target) (f fate, owner string, err error) {
	// Before anything that waits, as the first use of a type does: of calls that begin at
	// once, each must see those that were sent to the peer before it.
	if t.counted = o.n.loads.Load(); t.counted {
		t.peer.load.Begin()
	}
	if !o.call.Spec.Streams() {
		if err := o.encode(); err != nil {
			if t.counted {
				t.peer.load.Done()
			}
			return done, "", err
		}
	}
	start := o.began
	if o.sent > 0 {
		start = o.n.since()
	}
	o.sent++
	reply, err := o.exchange(ctx, &t)
	if err == nil || ctx.Err() == nil {
		o.experience(&t, start, reply, err)
	} else if t.counted {
		t.peer.load.Done() // the caller has given up: that says nothing of the peer
	}
	switch {
	case err != nil:
		f, owner, failed := o.failed(ctx, t.name, err)
		if f == ambiguous && o.lost == brokeUnderCall {
			o.broke(process{t.name, t.boot}, err)
		}
		return f, owner, failed
	case reply == nil:
		o.reached = true
		return done, "", nil
	}
	defer reply.Release()
	return o.answered(t.name, reply)
}

// exchange sends the call and waits for its reply, which is nil without an error
// for a one-way call and a stream that was opened.
func (o *outgoing) exchange(ctx context.Context, t *target) (*transport.Reply, error) {
	conn, err := o.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	t.boot = conn.Peer().Boot
	req := transport.Request{
		Method: o.call.Spec.Name(), Body: o.body, Deadline: o.due, Left: o.left, Into: o.call.Into,
		Watch: o.watch(t),
	}
	o.left = 0
	if o.limit = conn.MaxBody(); len(o.body) <= o.limit { // else it is refused as it is
		req.Body = o.shrunk(o.call.Spec.Compression())
	}
	req.Meta = transport.Meta{
		Partition: t.partition, Fingerprint: t.fingerprint,
		Hops: uint8(t.hops), Attempt: uint8(min(o.repeats, 255)), Encoding: o.how,
		Priority: uint8(o.priority), StandIn: t.standIn, User: pairsOf(o.call.Metadata),
	}
	if t.partition != transport.NoPartition {
		req.Meta.Key = bytesOf(o.call.Dest.Key)
	}
	if who := o.call.For; who != nil {
		state(&req.Meta, who)
	}
	switch {
	case o.call.Spec.Streams():
		return o.openAt(ctx, conn, t.name, &req)
	case o.call.OneWay:
		o.limit = min(o.limit, transport.MaxOneWay)
		return nil, conn.Notify(&req)
	}
	return conn.Call(ctx, &req)
}

// connect gives a connection to the target; only a missing one costs a context.
func (o *outgoing) connect(ctx context.Context, t *target) (*transport.Conn, error) {
	if c := t.peer.Current(); c != nil {
		return c, nil
	}
	due := o.due
	if t.hasty {
		if soon := time.Now().Add(o.n.cfg.Limits.Contact); soon.Before(due) {
			due = soon
		}
	}
	bounded, cancel := context.WithDeadline(ctx, due)
	defer cancel()
	conn, err := t.peer.Conn(bounded)
	if err != nil && due != o.due && bounded.Err() != nil && ctx.Err() == nil {
		// The dial goes on; whoever comes next may find it done.
		err = &transport.CallError{Unsent: true, Err: errSilent}
	}
	return conn, err
}

// errLate is of a call whose time was up before it was sent.
var errLate = &transport.CallError{Unsent: true, Err: context.DeadlineExceeded}

// errSilent tells of a peer that takes longer than Limits.Contact to answer.
var errSilent = errors.New("no sign of life")

// answered reads what the peer said.
func (o *outgoing) answered(peer string, reply *transport.Reply) (fate, string, error) {
	o.served = reply.Meta.StandIn
	if o.served != transport.AsOwner && !reply.Meta.Refused && len(reply.Meta.Owner) > 0 {
		peer = string(reply.Meta.Owner)
	}
	if reply.Code == transport.CodeOK {
		o.reached = true
		v, err := o.n.bodies.decodeReply(o.call, reply)
		if err != nil {
			return done, "", rpc.Errorf(rpc.Internal, "reply of %s by %s: %v", o.call.Spec.Name(), peer, err)
		}
		o.call.Reply = v
		o.call.AnsweredBy(peer)
		return done, "", nil
	}
	e := errorOf(reply)
	executed := !reply.Meta.Refused
	o.reached = o.reached || executed
	if o.served == transport.Relayed && executed && len(reply.Meta.Owner) == 0 {
		return o.notRelayed(peer, e)
	}
	if e.Code == rpc.NotOwner && !executed {
		o.n.stats.add(Redirects)
		return redirect, string(reply.Meta.Owner), e
	}
	o.call.AnsweredBy(peer)
	o.answer, o.refused = e, !executed
	if e.Code == rpc.Unimplemented && !executed {
		return missing, "", e
	}
	return done, "", e
}

// notRelayed classes a call that a stand-in passed on and lost.
func (o *outgoing) notRelayed(peer string, e *rpc.Error) (fate, string, error) {
	if e.Code == rpc.DeadlineExceeded {
		return done, "", o.expired(e)
	}
	return ambiguous, "", fmt.Errorf("%s: %w", peer, e)
}

// failed classes an attempt that got no answer.
func (o *outgoing) failed(ctx context.Context, peer string, err error) (fate, string, error) {
	o.reached = o.reached || !transport.IsUnsent(err)
	switch {
	case ctx.Err() != nil:
		return done, "", o.ended(ctx)
	case !time.Now().Before(o.due) || isLate(err):
		return done, "", o.expired(err)
	case tooLarge(err):
		return done, "", tooLong(o.call.Spec, len(o.body), o.limit, peer)
	}
	o.lost = lossOf(err)
	if transport.IsUnsent(err) {
		return unsent, "", fmt.Errorf("%s could not be reached: %w", peer, err)
	}
	if o.lost == fellSilent {
		return ambiguous, "", fmt.Errorf("%s fell silent after the call was sent: %w", peer, err)
	}
	return ambiguous, "", fmt.Errorf("the connection to %s broke after the call was sent: %w", peer, err)
}

// tooLarge tells that a request exceeds what the peer takes; what the peer
// itself said about frames is another matter.
func tooLarge(err error) bool {
	var ce *transport.CallError
	return errors.As(err, &ce) && ce.Err == transport.ErrBodyTooLarge
}

// ended is the error of a call whose context ended.
func (o *outgoing) ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return o.expired(o.last)
	}
	return rpc.Errorf(rpc.Canceled, "the call of %s was canceled", o.call.Spec.Name())
}

// expired is the error of a call whose deadline passed; cause may be nil.
func (o *outgoing) expired(cause error) error {
	if cause == nil || errors.Is(cause, context.DeadlineExceeded) {
		cause = o.last
	}
	if cause == nil {
		return rpc.Errorf(rpc.DeadlineExceeded, "no answer to %s within the deadline", o.call.Spec.Name())
	}
	return rpc.Errorf(rpc.DeadlineExceeded, "%s did not succeed within the deadline: %v", o.call.Spec.Name(), cause)
}

// unknown is the error of a call that may have been executed and must not be
// sent again.
func (o *outgoing) unknown(err error) error {
	return rpc.Errorf(rpc.Unavailable, "outcome of %s unknown: %v (declare the method idempotent to have it tried again)",
		o.call.Spec.Name(), err)
}
