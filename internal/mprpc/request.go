package mprpc

import (
	"context"

	"github.com/meshnode/meshnode/rpc"
)

// request is one request or notification under way. method and params are
// encoded values, its own.
type request struct {
	c              *conn
	notify         bool
	id             uint64
	method, params []byte
	size           int // bytes of its message
}

// serve carries a request into the mesh and queues its answer. It counts until
// then, so that drain does not end the stream first. A notification goes on
// when its client is gone: many close right after they have sent one.
func (r *request) serve() {
	defer r.c.end(r)
	ctx := r.c.ctx
	if r.notify {
		ctx = r.c.g.ctx
	}
	// This stands if an interceptor of this program ends the goroutine (runtime.Goexit).
	answer := reply{err: rpc.Errorf(rpc.Internal, "the call was cut short on node %s", r.c.g.cfg.Self)}
	defer func() {
		if !r.notify {
			r.c.answer(r.id, answer)
		}
	}()
	answer = r.invoke(ctx)
}

// invoke makes the call that r asks for.
func (r *request) invoke(ctx context.Context) reply {
	g := r.c.g
	p, err := g.plan(r.method, r.params)
	if err != nil {
		g.stats.add(failures)
		return reply{err: rpc.AsError(err).MarkNotExecuted(true)}
	}
	p.call.OneWay, p.call.For = r.notify, &r.c.who
	if err := g.call(ctx, &p.call); err != nil {
		g.stats.add(failures)
		return reply{err: rpc.AsError(err)}
	}
	body, _ := p.call.Reply.(*[]byte)
	if body == nil { // one-way, or an interceptor's doing
		body = new([]byte)
	}
	return replyOf(*body, p.rawReply)
}

// call invokes. A panic in it must not be a stranger's to cause.
func (g *Gateway) call(ctx context.Context, call *rpc.Call) error {
	_, err := rpc.Guard(func() (any, error) { return nil, g.cfg.Invoke(ctx, call) })
	if p, panicked := err.(*rpc.PanicError); panicked {
		g.log.Error().Str("panic", p.Text()).Str("method", call.Spec.Name()).
			Bytes("stack", p.Stack).Msg("a call panicked")
		return rpc.Errorf(rpc.Internal, "the call panicked; the log of node %s has the stack", g.cfg.Self)
	}
	return err
}
