package node

import (
	"bytes"
	"context"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// localCall is a call that this node serves for itself. Its context is the one that a call from a
// peer has, so the handler sees the deadline and the cancel of the caller's context, never its
// values.
//
// Invariant: nothing that the handler gets, and nothing that it returns, shares memory with what
// the caller has. The buffer is the handler's until it has returned.
type localCall struct {
	servedContext
	h      *handler
	req    any
	raw    []byte  // what req points to, if the request is bytes
	buffer *[]byte // what raw lies in; nil: nothing
	ticket ticket
	answer chan localAnswer // capacity 1
}

// localAnswer is what a handler on this node has answered: an encoded reply or an error.
type localAnswer struct {
	body *[]byte // one of the node's buffers; nil: an error, or nobody wants to know
	err  *rpc.Error
}

// local serves a call on this node, without a socket. Request and reply are encoded and decoded,
// and the limits of a connection hold, so that a program observes what it would observe if a peer
// served the call. The handler runs on a goroutine of its own, so that the call ends by its
// deadline though the handler does not heed it. The fate is done or missing.
func (o *outgoing) local(ctx context.Context, key info) (fate, error) {
	n, call := o.n, o.call
	if !call.Spec.Streams() {
		if err := o.encodeHere(); err != nil {
			return done, err
		}
	}
	h := n.handlers.find(call.Spec.Name())
	switch {
	case h == nil:
		return missing, o.refusedHere(rpc.Errorf(rpc.Unimplemented, "%s", n.whyUnserved(call.Spec.Name(), key)))
	case h.Spec.Streams() != call.Spec.Streams():
		return missing, o.refusedHere(rpc.Errorf(rpc.Unimplemented, "%s is %s", h.Spec.Name(), shapeOf(h.Spec)))
	case h.Spec.Streams():
		return done, o.localStream(ctx, key, h)
	}
	ticket, refused := n.take(h, o.priority)
	if refused != nil {
		return done, o.refusedHere(refused)
	}
	c := &localCall{h: h, ticket: ticket}
	c.init(o, key, o.due)
	if err := c.decode(o); err != nil {
		return done, o.refusedHere(err)
	}
	return done, o.serveHere(ctx, c)
}

// serveHere runs a call that is admitted.
func (o *outgoing) serveHere(ctx context.Context, c *localCall) error {
	n := o.n
	g := n.enter()
	if g == nil || ctx.Err() != nil || !time.Now().Before(o.due) {
		c.call.End(context.Canceled)
		n.giveBack(c, c.ticket, rpc.AsError(context.Canceled))
		if g == nil {
			return o.stopped()
		}
		g.leave()
		return o.over(ctx)
	}
	n.stats.add(LocalCalls)
	o.reached = true
	stop := func() bool { return true }
	if o.call.OneWay { // nobody waits who could tell it that the node stops
		stop = context.AfterFunc(n.ctx, func() { c.call.End(context.Canceled) })
	} else {
		c.answer = make(chan localAnswer, 1)
	}
	go func() {
		defer g.leave()
		defer stop()
		defer c.call.End(context.Canceled)
		c.serve(n)
	}()
	if o.call.OneWay {
		return nil
	}
	return o.await(ctx, c)
}

// init makes the context of a call that this node serves for itself; the zero due is none.
func (c *servedContext) init(o *outgoing, key info, due time.Time) {
	c.call.SetDeadline(due)
	c.Context = &c.call
	c.Info = o.about(key)
}

// about is what a handler on this node is told of the call, which it may outlive.
func (o *outgoing) about(key info) rpc.Info {
	about := rpc.Info{
		Method: o.call.Spec.Name(), Caller: o.caller(), Peer: o.n.cfg.Name, Metadata: copyOf(o.call.Metadata),
		Keyed: key.keyed, Partition: key.partition, Attempt: o.repeats, Priority: o.priority,
		Failover: key.standIn == transport.InPlace, Spilled: key.standIn == transport.Spilled,
	}
	if key.keyed {
		about.SetKey(o.call.Dest.Key)
	}
	return about
}

// decode makes the request in the handler's type, from bytes of its own. It runs on the caller's
// goroutine, as the bytes are the caller's. If it fails, the call is over.
func (c *localCall) decode(o *outgoing) (refused *rpc.Error) {
	if c.h.Spec.RawRequest() {
		c.buffer = o.n.buffer()
		*c.buffer = append((*c.buffer)[:0], o.body...)
		c.raw = *c.buffer // the handler may put anything into its request
		c.req = &c.raw
		return nil
	}
	o.n.protect(&c.Info, func() (any, error) { return c.h.Spec.DecodeRequest(o.body) }, func(req any, e *rpc.Error) {
		if c.req = req; e != nil {
			refused = rpc.Errorf(rpc.InvalidArgument, "request of %s: %s", c.h.Spec.Name(), e.Message)
			o.n.giveBack(c, c.ticket, refused)
			o.n.stats.add(BadBodies)
		}
	})
	return refused
}

// serve runs the handler, encodes what it returns, and answers the call, also if the handler ends
// the goroutine.
func (c *localCall) serve(n *Node) {
	watch := n.startWatch(c.h)
	var body *[]byte
	n.protect(&c.Info, func() (any, error) {
		reply, err := n.handle(&c.servedContext, c.h, c.req)
		if err != nil || c.answer == nil {
			return nil, err
		}
		body, err = n.replyHere(c.h, reply)
		return nil, err
	}, func(_ any, e *rpc.Error) {
		watch.stop(e)
		n.giveBack(c, c.ticket, e)
		if c.buffer != nil { // which the reply may have been part of
			n.recycle(c.buffer)
		}
		switch {
		case c.answer == nil:
		case e != nil:
			c.answer <- localAnswer{err: carried(e, n.bodies.limit)}
		default:
			c.answer <- localAnswer{body: body} // before the context ends, see await
		}
	})
}

// replyHere encodes a handler's reply for a caller on this node.
func (n *Node) replyHere(h *handler, reply any) (*[]byte, error) {
	buf := n.buffer()
	b, err := h.Spec.EncodeReply((*buf)[:0], reply, n.bodies.guard())
	switch {
	case err != nil:
		err = n.unencodable(h, err)
	case len(b) > n.bodies.limit:
		err = replyTooLong(len(b), n.bodies.limit)
	default:
		*buf = b
		return buf, nil
	}
	n.recycle(buf)
	return nil, err
}

// carried returns e as a caller elsewhere would get it: a fresh value with what travels. Its
// detail is at most limit bytes long.
func carried(e *rpc.Error, limit int) *rpc.Error {
	if len(e.Detail) > limit {
		return replyTooLong(len(e.Detail), limit)
	}
	fresh := &rpc.Error{Code: e.Code, Message: cut(e.Message), RetryAfter: rpc.RetryAfterOf(e.Pushback())}
	if len(e.Detail) > 0 {
		fresh.Detail = bytes.Clone(e.Detail)
	}
	return fresh
}

// replyTooLong is what a caller gets instead of a reply that is longer than it takes, in bytes.
func replyTooLong(length, limit int) *rpc.Error {
	return rpc.Errorf(rpc.ResourceExhausted, "%s", transport.ReplyTooLong(length, limit)).After(rpc.NeverRetry)
}

// await waits for the handler's answer, or for the end of the call's time or of the node, on
// which the handler's context ends.
func (o *outgoing) await(ctx context.Context, c *localCall) error {
	select {
	case a := <-c.answer:
		return o.localReply(a)
	case <-c.call.Done(): // by the deadline, or behind the answer
	case <-ctx.Done():
		c.call.End(ctx.Err())
	case <-o.n.ctx.Done():
		c.call.End(context.Canceled)
	}
	select { // both may be ready: an answer counts
	case a := <-c.answer:
		return o.localReply(a)
	default:
	}
	if ctx.Err() == nil && o.n.ctx.Err() != nil {
		return o.stopped()
	}
	return o.over(ctx)
}

// over is the error of a call whose context or deadline has ended.
func (o *outgoing) over(ctx context.Context) error {
	if ctx.Err() != nil {
		return o.ended(ctx)
	}
	return o.expired(nil)
}

// localReply takes the handler's answer in the caller's type.
func (o *outgoing) localReply(a localAnswer) error {
	switch {
	case a.err != nil:
		return o.failedHere(a.err)
	case a.body == nil:
		return nil
	}
	reply, err := o.replyHere(a.body)
	if err != nil {
		return rpc.Errorf(rpc.Internal, "reply of %s by %s: %v", o.call.Spec.Name(), o.n.cfg.Name, err)
	}
	o.call.Reply = reply
	o.call.AnsweredBy(o.n.cfg.Name)
	return nil
}

// replyHere decodes a reply, and keeps long bytes where they are.
func (o *outgoing) replyHere(body *[]byte) (any, error) {
	if o.call.Spec.RawReply() {
		if into := o.call.Into; into != nil {
			*into = append((*into)[:0], *body...)
			o.n.recycle(body)
			return into, nil
		}
		if cap(*body) > keepBuffer {
			return body, nil
		}
	}
	defer o.n.recycle(body)
	return o.call.Spec.DecodeReply(*body)
}

// encodeHere encodes the request and refuses one that no peer like this node would take.
func (o *outgoing) encodeHere() error {
	if err := o.encode(); err != nil {
		return err
	}
	limit := o.n.bodies.limit
	fits := len(o.body) <= limit
	if o.call.OneWay && len(o.body) > transport.MaxOneWay {
		limit = min(limit, transport.MaxOneWay)
		fits = fits && len(o.shrunk(o.call.Spec.Compression())) <= limit
	}
	if !fits {
		return tooLong(o.call.Spec, len(o.body), limit, o.n.cfg.Name)
	}
	return nil
}

// refusedHere notes that this node refused the call before any handler ran.
func (o *outgoing) refusedHere(e *rpc.Error) *rpc.Error {
	o.failedHere(e)
	o.refused = true
	return e
}

// failedHere notes that this node answered the call with an error, which the sender of a one-way
// call does not hear.
func (o *outgoing) failedHere(e *rpc.Error) *rpc.Error {
	o.answer, o.refused = e, false
	if o.call.OneWay {
		o.unheard = e
	} else {
		o.call.AnsweredBy(o.n.cfg.Name)
	}
	return e
}

// stopped is the error of a call that the end of this node cut short.
func (o *outgoing) stopped() error {
	return rpc.Errorf(rpc.Unavailable, "%s: node %s is stopping", o.call.Spec.Name(), o.n.cfg.Name)
}
