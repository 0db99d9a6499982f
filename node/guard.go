package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/meshnode/meshnode/rpc"
)

// Code of the user's runs behind a guard, on whatever goroutine: handlers, interceptors, hooks,
// and the methods of the errors and values that they return. What the guard lets through is an
// *rpc.Error, so nothing behind it calls the user's code again.

// handle runs a handler behind the server interceptors, inside of a guard.
func (n *Node) handle(ctx handlerContext, h *handler, req any) (any, error) {
	reply, err := rpc.ChainServer(ctx, n.cfg.Server, ctx.about(), h.Handler, req)
	if err == context.DeadlineExceeded || err == context.Canceled {
		// Without this the caller would take it for the end of its own patience.
		err = fmt.Errorf("the handler of %s returned %w", h.Spec.Name(), err)
	}
	return reply, err
}

// protect runs work, which serves a call, and then tells then how it ended. A panic ends the
// call, not the node; its stack stays in this node's log. It does not return if work ends its
// goroutine, but then is told all the same.
func (n *Node) protect(about *rpc.Info, work func() (any, error), then func(reply any, e *rpc.Error)) {
	rpc.GuardTo(work, func(reply any, err error) {
		switch err := err.(type) {
		case nil:
			then(reply, nil)
		case *rpc.PanicError:
			then(nil, n.panicked(err, "handler", about.Method))
		case *rpc.Error:
			then(nil, err.MarkNotExecuted(false)) // what it was marked with is of another call
		}
	})
}

// run runs a handler, and then tells then how it ended, as protect does.
func (n *Node) run(ctx handlerContext, h *handler, req any, then func(reply any, e *rpc.Error)) {
	watch := n.startWatch(h)
	n.protect(ctx.about(), func() (any, error) { return n.handle(ctx, h, req) }, func(reply any, e *rpc.Error) {
		watch.stop(e)
		then(reply, e)
	})
}

// panicked logs and counts that code of the user's did not return, and returns what the caller is
// told: all but the stack.
func (n *Node) panicked(p *rpc.PanicError, what, name string) *rpc.Error {
	n.stats.add(Panics)
	event := n.log.Error().Str("panic", p.Text())
	if p.Of != "" {
		event = event.Str("returned_error", p.Of)
	}
	if name != "" {
		event = event.Str("method", name)
	}
	verb := "panicked"
	if p.Exited {
		verb = "ended its goroutine"
	}
	event.Bytes("stack", p.Stack).Msg(what + " " + verb)
	switch {
	case p.Of != "":
		verb = fmt.Sprintf("returned an error (%s) whose methods do not return", p.Of)
	case p.Exited:
		verb = "ended its goroutine (runtime.Goexit) instead of returning"
	}
	return rpc.Errorf(rpc.Internal, "the %s of %s %s; the log of node %s has the stack", what, name, verb, n.cfg.Name)
}

// guarded runs code of the user's that serves no call, on a goroutine of its own, so that it may end
// that. The error has the text of what f returned, or says that it panicked, which has been logged
// and counted. what names it, for messages.
func (n *Node) guarded(what string, f func() error) error {
	ended := make(chan error, 1)
	go rpc.GuardTo(func() (any, error) { return nil, f() }, func(_ any, err error) {
		switch err := err.(type) {
		case *rpc.PanicError:
			n.panicked(err, what, "")
			ended <- fmt.Errorf("%s: %w", what, err)
		case *rpc.Error:
			ended <- errors.New(cmp.Or(err.Message, err.Error()))
		default:
			ended <- nil
		}
	})
	return <-ended
}
