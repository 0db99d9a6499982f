package mprpc

import (
	"context"
	"errors"
	"fmt"

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
	if r.notify {
		r.invoke(r.c.g.ctx)
		return
	}
	r.c.answer(r.id, r.invoke(r.c.ctx))
}

// invoke makes the call that r asks for.
func (r *request) invoke(ctx context.Context) reply {
	g := r.c.g
	p, err := g.plan(r.method, r.params)
	if err == nil {
		p.call.OneWay, p.call.For = r.notify, &r.c.who
		err = g.call(ctx, &p.call)
	}
	if err != nil {
		g.stats.add(failures)
		return reply{err: rpc.AsError(err)}
	}
	body, _ := p.call.Reply.(*[]byte)
	if body == nil { // one-way, or an interceptor's doing
		body = new([]byte)
	}
	return replyOf(*body, p.rawReply)
}

// call invokes. Interceptors of this program run in it, and their panic must
// not be a stranger's to cause.
func (g *Gateway) call(ctx context.Context, call *rpc.Call) error {
	_, err := rpc.Guard(func() (any, error) { return nil, g.cfg.Invoke(ctx, call) })
	var p *rpc.PanicError
	if errors.As(err, &p) {
		g.log.Error().Str("panic", fmt.Sprint(p.Value)).Str("method", call.Spec.Name()).
			Bytes("stack", p.Stack).Msg("a call panicked")
		return rpc.Errorf(rpc.Internal, "the call panicked; the log of node %s has the stack", g.cfg.Self)
	}
	return err
}
