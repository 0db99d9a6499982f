package transport

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Handler serves the calls that peers send.
type Handler interface {
	// ServeCall answers in by in.Reply, at most once; a one-way call gets no
	// answer. It runs on a goroutine of its own and may block, unless an
	// Inliner says otherwise. in and all that it gave are invalid once
	// ServeCall has returned.
	ServeCall(in *Incoming)
}

// Inliner is a Handler that knows of calls that never block. Such a call is
// served on the connection's reader, which saves the way to another goroutine
// and back; until it returns, nothing else on that connection is read.
type Inliner interface {
	Handler
	// Inline tells whether in will not block. It runs on the reader, before
	// ServeCall, and may leave what it found in in.Found.
	Inline(in *Incoming) bool
}

// Incoming is one call from a peer.
type Incoming struct {
	Method []byte    // the method's name
	Meta   *Meta     // what came with it
	Body   []byte    // the encoded request, as the peer sent it
	Due    time.Time // the caller's deadline; zero: none
	Found  any       // whatever the Handler's Inline left there
	// Scratch is the Handler's, for inline calls: what one leaves there, the
	// next one on the same connection may find, or nil.
	Scratch any

	conn    *Conn
	id      uint64
	oneWay  bool
	inline  bool
	replied bool
	started bool // run by somebody; under serving.mu
	own     bool // ctx was made by Context, not by the Handler
	frame   []byte
	parts   *inbound
	head    wire.Header

	meta Meta // of the reply, for ReplyMeta

	ctx       *CallContext // under serving.mu until the call is done
	cancelled error        // the same
	stream    *Stream      // the same; nil: a call with one request and one reply
}

// Context ends with the caller's deadline, its cancel, the connection, Reply,
// or the return of ServeCall.
func (in *Incoming) Context() context.Context {
	if in.ctx == nil {
		in.Bind(new(CallContext))
		in.own = true
	}
	return in.ctx
}

// Bind makes ctx, which must be fresh, the call's context. It lets a Handler
// have it inside a larger value of its own. That of an inline call ends with
// its Reset, which is the Handler's to do.
func (in *Incoming) Bind(ctx *CallContext) {
	ctx.due = in.Due
	if in.replied { // it ended with that, and nothing reaches it any more
		in.ctx = ctx
		ctx.end(context.Canceled)
		return
	}
	in.conn.serving.bind(in, ctx)
}

// Inline tells that the call runs on the connection's reader.
func (in *Incoming) Inline() bool { return in.inline }

// OneWay tells that nobody waits for a reply.
func (in *Incoming) OneWay() bool { return in.oneWay }

// Stream is the stream that the peer opened by this call; nil if it is a call
// with one request and one reply. Reply ends it. See Stream.Accept.
func (in *Incoming) Stream() *Stream { return in.stream }

// ConnValue is a value of the Handler's that all calls of one connection share, for what it
// knows of the peer.
func (in *Incoming) ConnValue() *atomic.Value { return &in.conn.value }

// PeerName is Peer's name, without a copy of the rest.
func (in *Incoming) PeerName() string { return in.conn.peer.Name }

// Peer tells who calls.
func (in *Incoming) Peer() Identity { return in.conn.peer }

// Reply answers the call. meta may be nil; it is not kept. body is not used
// after Reply has returned, which for a long one is when it was sent. An answer
// that exceeds the peer's limit becomes CodeResourceExhausted, as does one of
// more than a chunk (wire.MaxInline) that ends a stream. The error says that the
// connection ended first.
func (in *Incoming) Reply(code uint64, meta *Meta, body []byte) error {
	if in.oneWay || in.replied {
		return nil
	}
	if len(body) > wire.MaxInline && !in.inline {
		in.Context() // which sending it ends with, and which is too late to ask for hereafter
	}
	in.replied = true
	if in.stream != nil {
		in.stream.replied()
	}
	err := in.conn.reply(in, code, meta, body)
	if in.ctx != nil && !in.inline {
		in.ctx.end(context.Canceled) // the connection's end no longer reaches it
	}
	return err
}

// MaxReply is the length of the longest reply that the peer takes, in bytes.
func (in *Incoming) MaxReply() int { return in.conn.maxBody }

// ReplyMeta gives an empty meta for Reply that costs no memory. It is the call's
// own, and valid until ServeCall returns.
func (in *Incoming) ReplyMeta() *Meta {
	in.meta = Meta{Partition: NoPartition}
	return &in.meta
}

func (ep *Endpoint) getIncoming(c *Conn) *Incoming {
	if in, ok := ep.calls.Get().(*Incoming); ok {
		in.conn = c
		return in
	}
	return &Incoming{conn: c}
}

func (ep *Endpoint) putIncoming(in *Incoming) {
	if cap(in.frame) > keepFrame {
		ep.buffers.put(in.frame)
		in.frame = nil
	}
	in.reset()
	in.conn, in.Scratch = nil, nil
	ep.calls.Put(in)
}

// reset makes a call that has ended ready for the next one on its connection.
func (in *Incoming) reset() {
	unalias(&in.head)
	in.Method, in.Meta, in.Body, in.Due, in.Found = nil, nil, nil, time.Time{}, nil
	in.parts, in.ctx, in.cancelled, in.stream = nil, nil, nil, nil
	in.oneWay, in.inline, in.replied, in.started, in.own = false, false, false, false, false
}
