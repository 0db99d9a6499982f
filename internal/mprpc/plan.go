package mprpc

import (
	"time"

	"github.com/meshnode/meshnode/internal/wire"
	"github.com/meshnode/meshnode/rpc"
)

// plan is what a request asks for.
type plan struct {
	call     rpc.Call
	rawReply bool // the reply is bytes that were never msgpack
}

// plan reads a request. The error, InvalidArgument, is for the client.
func (g *Gateway) plan(method, params []byte) (plan, error) {
	name, ok := wire.Text(method)
	if !ok {
		return plan{}, rpc.Errorf(rpc.InvalidArgument, "the method's name is no string")
	}
	var args [2][]byte
	n, ok := wire.Elements(params, args[:])
	if !ok || n > len(args) {
		return plan{}, rpc.Errorf(rpc.InvalidArgument, "params must be an array: [], [request] or [request, options]")
	}
	var opts options
	if n == 2 {
		var err error
		if opts, err = readOptions(args[1]); err != nil {
			return plan{}, err
		}
	}
	if n == 0 {
		args[0] = wire.AppendNil(nil) // which decodes as the zero value of any type
	}
	return g.assemble(string(name), args[0], &opts)
}

func (g *Gateway) assemble(method string, arg []byte, opts *options) (p plan, err error) {
	served := g.cfg.Served(method)
	var promises []rpc.MethodOption
	if served != nil {
		promises = append(promises, rpc.DefaultTimeout(served.Timeout()))
		if served.Idempotent() {
			promises = append(promises, rpc.Idempotent())
		}
	}
	p.call.Spec, err = rpc.Untyped(method, promises...)
	if err != nil {
		return p, err
	}
	p.call.Timeout = opts.timeout
	p.call.Dest = opts.dest
	if opts.dest.Kind == rpc.ToAny && served != nil {
		p.call.Dest = rpc.Dest{Kind: rpc.ToPeer, Peer: g.cfg.Self}
	}
	var rawRequest bool
	rawRequest, p.rawReply = opts.raw(served, arg)
	body := arg
	if rawRequest && !wire.IsNil(arg) {
		if body, ok := wire.Text(arg); ok {
			p.call.Req = &body
			return p, nil
		}
		return p, rpc.Errorf(rpc.InvalidArgument, "%s takes raw bytes: a binary value or a string", method)
	}
	if rawRequest {
		body = nil
	}
	p.call.Req = &body
	return p, nil
}

// rawChoice is what a client says of a method's encoding.
type rawChoice uint8

const (
	rawUnsaid rawChoice = iota
	rawNo
	rawYes
)

// options are a request's second parameter.
type options struct {
	dest    rpc.Dest
	timeout time.Duration
	said    rawChoice
}

// raw tells whether the method's request and reply are bytes as they are, not
// msgpack: as the client says; else as the method's spec says, if this node
// serves it; else a request that is a binary value makes both raw.
func (o *options) raw(served *rpc.Spec, arg []byte) (request, reply bool) {
	switch {
	case o.said != rawUnsaid:
		return o.said == rawYes, o.said == rawYes
	case served != nil:
		return served.RawRequest(), served.RawReply()
	}
	bin := wire.IsBin(arg)
	return bin, bin
}

// readOptions reads a map of options. Nil stands for what was left away.
func readOptions(b []byte) (o options, err error) {
	if wire.IsNil(b) {
		return o, nil
	}
	ok, err := wire.Pairs(b, func(key, value []byte) error {
		name, ok := wire.Text(key)
		if !ok {
			return rpc.Errorf(rpc.InvalidArgument, "an option's name is no string")
		}
		return o.set(string(name), value)
	})
	if !ok {
		return o, rpc.Errorf(rpc.InvalidArgument, "the options, which are the second parameter, must be a map")
	}
	return o, err
}

// maxTimeout bounds timeout_ms.
const maxTimeout = 24 * time.Hour

func (o *options) set(name string, value []byte) error {
	if wire.IsNil(value) {
		return nil
	}
	switch name {
	case "key":
		text, ok := wire.Text(value)
		return o.to(rpc.Dest{Kind: rpc.ToKey, Key: string(text)}, name, ok)
	case "peer":
		text, ok := wire.Text(value)
		return o.to(rpc.Dest{Kind: rpc.ToPeer, Peer: string(text)}, name, ok && len(text) > 0)
	case "timeout_ms":
		ms, ok := wire.Uint(value)
		if !ok || ms == 0 || ms > uint64(maxTimeout.Milliseconds()) {
			return rpc.Errorf(rpc.InvalidArgument, "option timeout_ms: want an integer from 1 to %d", maxTimeout.Milliseconds())
		}
		o.timeout = time.Duration(ms) * time.Millisecond
		return nil
	case "raw":
		raw, ok := wire.Bool(value)
		if !ok {
			return rpc.Errorf(rpc.InvalidArgument, "option raw: want true or false")
		}
		if o.said = rawNo; raw {
			o.said = rawYes
		}
		return nil
	}
	return rpc.Errorf(rpc.InvalidArgument, "no option is called %.64q; there are key, peer, timeout_ms and raw", name)
}

// to sets the destination, once.
func (o *options) to(dest rpc.Dest, name string, ok bool) error {
	if !ok {
		return rpc.Errorf(rpc.InvalidArgument, "option %s: want a string", name)
	}
	if o.dest.Kind != rpc.ToAny {
		return rpc.Errorf(rpc.InvalidArgument, "a call goes to a key or to a peer, and to one of them")
	}
	o.dest = dest
	return nil
}
