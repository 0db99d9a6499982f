package node

import (
	"bytes"
	"context"
	"maps"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// result is what a handler gave.
type result struct {
	reply any
	err   error
}

// local serves a call on this node, without a socket and, where caller and
// handler agree on the types, without encoding. The handler runs on a goroutine
// of its own, so that the call ends by its deadline though the handler does
// not heed it. The fate is done or missing.
func (o *outgoing) local(ctx context.Context, key info) (fate, error) {
	n, call := o.n, o.call
	h := n.handlers.find(call.Spec.Name())
	if h == nil {
		call.AnsweredBy(n.cfg.Name)
		return missing, rpc.Errorf(rpc.Unimplemented, "node %s serves no method %q", n.cfg.Name, call.Spec.Name())
	}
	if h.Spec.Streams() != call.Spec.Streams() {
		return missing, rpc.Errorf(rpc.Unimplemented, "%s is %s", h.Spec.Name(), shapeOf(h.Spec))
	}
	if h.Spec.Streams() {
		return done, o.localStream(ctx, key, h)
	}
	req, err := o.localRequest(h)
	if err != nil {
		return done, err
	}
	if h.Spec.Inline() && !call.OneWay {
		return done, o.localInline(ctx, key, h, req)
	}
	base, stop := ctx, func() bool { return true }
	if call.OneWay {
		base = context.WithoutCancel(ctx)
	}
	ticket, refused := n.take(h, o.priority)
	if refused != nil {
		call.AnsweredBy(n.cfg.Name)
		o.answer, o.refused = refused, true
		return done, refused
	}
	hctx, cancel := context.WithDeadline(base, o.due)
	g := n.enter()
	if g == nil || hctx.Err() != nil {
		cancel()
		n.giveBack(hctx, ticket, hctx.Err())
		if g == nil {
			return done, o.stopped()
		}
		g.leave()
		return done, o.expired(nil)
	}
	n.stats.add(LocalCalls)
	if call.OneWay { // nobody waits who could tell it that the node stops
		stop = context.AfterFunc(n.ctx, cancel)
	}
	about := o.about(key)
	answer := make(chan result, 1)
	go func() {
		defer g.leave()
		defer cancel()
		defer stop()
		reply, err := n.run(&localContext{rpc.ServerContext{Context: hctx, Info: about}}, h, req)
		n.giveBack(hctx, ticket, err)
		answer <- result{reply, err}
	}()
	if call.OneWay {
		return done, nil
	}
	return done, o.await(ctx, hctx, cancel, h, answer)
}

// localContext is the context of a handler that serves this very node.
type localContext struct{ rpc.ServerContext }

func (c *localContext) about() *rpc.Info { return &c.Info }

// about is what a handler on this node is told of the call, which it may
// outlive.
func (o *outgoing) about(key info) rpc.Info {
	about := rpc.Info{
		Method: o.call.Spec.Name(), Peer: o.n.cfg.Name, Metadata: maps.Clone(o.call.Metadata),
		Keyed: key.keyed, Partition: key.partition, Attempt: o.repeats, Priority: o.priority,
		Failover: key.standIn == transport.InPlace, Spilled: key.standIn == transport.Spilled,
	}
	if key.keyed {
		about.SetKey(o.call.Dest.Key)
	}
	return about
}

// localInline runs a handler that never blocks on the caller's own goroutine.
func (o *outgoing) localInline(ctx context.Context, key info, h *handler, req any) error {
	n := o.n
	g := n.enter()
	if g == nil {
		return o.stopped()
	}
	defer g.leave()
	n.stats.add(LocalCalls)
	hctx := &localContext{rpc.ServerContext{Context: dueContext{ctx, o.due}, Info: o.about(key)}}
	reply, err := n.run(hctx, h, req)
	return o.localReply(h, result{reply, err})
}

// dueContext tells of a deadline without a timer for it: nobody waits.
type dueContext struct {
	context.Context
	due time.Time
}

// Deadline implements context.Context.
func (c dueContext) Deadline() (time.Time, bool) { return c.due, true }

// await waits for the handler's answer, or for the end of the call's time or
// of the node, on which the handler is told by cancel.
func (o *outgoing) await(ctx, hctx context.Context, cancel func(), h *handler, answer <-chan result) error {
	select {
	case r := <-answer:
		return o.localReply(h, r)
	case <-hctx.Done():
	case <-o.n.ctx.Done():
		cancel()
	}
	select { // both may be ready: an answer counts
	case r := <-answer:
		return o.localReply(h, r)
	default:
	}
	switch {
	case ctx.Err() != nil:
		return o.ended(ctx)
	case o.n.ctx.Err() != nil:
		return o.stopped()
	}
	return o.expired(nil)
}

// stopped is the error of a call that the end of this node cut short.
func (o *outgoing) stopped() error {
	return rpc.Errorf(rpc.Unavailable, "%s: node %s is stopping", o.call.Spec.Name(), o.n.cfg.Name)
}

// localRequest gives the request in the handler's type. A second attempt gets
// one of its own: the caller may have its answer, and the request back, before
// this handler returns.
func (o *outgoing) localRequest(h *handler) (any, error) {
	if o.call.Spec.SameTypes(h.Spec) && !o.isHedge {
		return o.call.Req, nil
	}
	if err := o.encode(); err != nil {
		return nil, err
	}
	body := o.body
	if o.isHedge {
		body = bytes.Clone(body)
	}
	req, err := h.Spec.DecodeRequest(body)
	if err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "request of %s: %v", h.Spec.Name(), err)
	}
	return req, nil
}

// localReply takes the handler's reply in the caller's type.
func (o *outgoing) localReply(h *handler, r result) error {
	o.call.AnsweredBy(o.n.cfg.Name)
	if r.err != nil {
		o.answer, o.refused = rpc.AsError(r.err), false
		return o.answer
	}
	if o.call.Spec.SameTypes(h.Spec) {
		o.call.Reply = r.reply
		return nil
	}
	b, err := h.Spec.AppendReply(nil, r.reply)
	if err == nil {
		o.call.Reply, err = o.call.Spec.DecodeReply(b)
	}
	if err != nil {
		return rpc.Errorf(rpc.Internal, "reply of %s: %v", h.Spec.Name(), err)
	}
	return nil
}
