package rpc

import (
	"context"
	"errors"
	"io"
	"iter"
)

// StreamCaller opens streams. *node.Node is one.
type StreamCaller interface {
	// Open opens the stream that call says and puts it into call.Stream. It
	// returns when the serving node has accepted it. Errors are as Invoke's.
	Open(ctx context.Context, call *Call) error
}

// RawStream carries encoded messages of one stream. One goroutine may send
// while another receives. A method MaxMessage() int, if it has one, says how
// many bytes a message may have: what is much longer is not even encoded.
type RawStream interface {
	// Send sends a message and waits while the other side's window is full.
	// msg is not used after it has returned. io.EOF: the other side has ended
	// the stream, and Recv says how.
	Send(msg []byte) error
	// Recv gives the next message, valid until the following call. io.EOF: the
	// other side has sent its last one and, for a caller, succeeded.
	Recv() ([]byte, error)
	// CloseSend says that no more is sent; for callers.
	CloseSend() error
	// Close lets go of the stream; for callers. One that has not ended is
	// cancelled.
	Close()
}

// Stream is a typed method with many messages each way: In goes to the server,
// Out comes back. Declare it once, as a Method.
//
//	var Ticks = rpc.NewStream[Subscribe, Tick]("market.Ticks")
//
// A stream has no deadline unless its context, rpc.Timeout or the method's
// default gives one.
type Stream[In, Out any] struct{ spec *Spec }

// NewStream declares a stream. Names are as NewMethod's, which shares them. It
// panics as NewMethod does.
func NewStream[In, Out any](name string, opts ...MethodOption) Stream[In, Out] {
	s := &Spec{request: codecFor[In](), reply: codecFor[Out](), streams: true}
	s.init(name, opts)
	mustTravel[In](name, "request")
	mustTravel[Out](name, "reply")
	return Stream[In, Out]{spec: s}
}

// Name is the stream's name.
func (m Stream[In, Out]) Name() string { return m.spec.name }

// Spec is the stream without its types.
func (m Stream[In, Out]) Spec() *Spec { return m.spec }

// Handle serves the stream: fn runs for each one that is opened, many side by
// side. Its return ends the stream: nil is success, an error is what the
// caller's Recv gives behind the last message. Its ctx ends with the caller's
// deadline or cancel. It panics if r already serves the name.
func (m Stream[In, Out]) Handle(r Registrar, fn func(ctx context.Context, s *ServerStream[In, Out]) error) {
	err := r.Register(&Handler{Spec: m.spec, Serve: func(ctx context.Context, req any) (any, error) {
		raw := req.(RawStream)
		return nil, fn(ctx, &ServerStream[In, Out]{Messages[Out, In]{raw: raw, out: &m.spec.reply, in: &m.spec.request, name: m.spec.name}})
	}})
	if err != nil {
		panic(err)
	}
}

// Open opens a stream and returns when it is accepted by the node that serves
// it; the destination is an option, as Method.Call's. ctx bounds its whole life.
// Close it. Errors are *Error; a failure to open is retried as a call's is, and
// one that is open stays with its node, also when the key's owner changes.
func (m Stream[In, Out]) Open(ctx context.Context, c StreamCaller, opts ...CallOption) (*ClientStream[In, Out], error) {
	call := Call{Spec: m.spec}
	if err := call.apply(opts); err != nil {
		return nil, err
	}
	if call.Dest.many() {
		return nil, refuse(InvalidArgument, "%s: a stream has one destination, not rpc.%s", m.spec.name, call.Dest.Kind)
	}
	if err := c.Open(ctx, &call); err != nil {
		return nil, AsError(err)
	}
	return &ClientStream[In, Out]{
		Messages[In, Out]{raw: call.Stream, out: &m.spec.request, in: &m.spec.reply, name: m.spec.name}, call.Peer,
	}, nil
}

// Messages are the two directions of a stream as one side sees them: it sends
// Send and receives Recv. One goroutine may send while another receives.
type Messages[Send, Recv any] struct {
	raw     RawStream
	out, in *codec
	name    string
	buf     []byte // of the sending goroutine
	slab    slab   // of the receiving goroutine
}

// Send sends a message and waits while the other side does not take any. msg is
// the caller's again once it has returned. io.EOF says that the other side has
// ended the stream; other errors are *Error.
func (m *Messages[Send, Recv]) Send(msg *Send) error {
	var b []byte
	if raw, ok := any(msg).(*[]byte); ok {
		b = *raw
	} else {
		var err error
		if b, err = m.out.append(m.buf[:0], msg, bounds(messageLimit(m.raw))); err != nil {
			e := AsError(err)
			if e.Code == ResourceExhausted {
				return Errorf(e.Code, "a message exceeds what one of the nodes accepts")
			}
			return Errorf(e.Code, "message of %s: %s", m.name, e.Message).After(e.RetryAfter)
		}
		if m.buf = b; cap(b) > keepMessage {
			m.buf = nil
		}
	}
	return streamError(m.raw.Send(b))
}

// messageLimit is how many bytes a message may take while it is encoded, 0 if raw
// does not say. That is more than raw takes, which counts what it refuses.
func messageLimit(raw RawStream) int {
	if r, ok := raw.(interface{ MaxMessage() int }); ok {
		return 2 * r.MaxMessage()
	}
	return 0
}

// keepMessage is the largest buffer for encoding that a stream keeps, in bytes.
const keepMessage = 64 << 10

// Recv gives the next message. io.EOF says that the stream has ended well;
// other errors are *Error.
func (m *Messages[Send, Recv]) Recv() (*Recv, error) {
	b, err := m.raw.Recv()
	if err != nil {
		return nil, streamError(err)
	}
	if m.in.raw {
		return any(m.slab.copy(b)).(*Recv), nil
	}
	v, err := m.in.decode(b)
	if err != nil {
		return nil, Errorf(InvalidArgument, "message of %s: %v", m.name, err)
	}
	return v.(*Recv), nil
}

// All gives the messages one by one, for range. A stream that does not end well
// gives its error last, with a nil message.
func (m *Messages[Send, Recv]) All() iter.Seq2[*Recv, error] {
	return func(yield func(*Recv, error) bool) {
		for {
			msg, err := m.Recv()
			if err == io.EOF {
				return
			}
			if !yield(msg, err) || err != nil {
				return
			}
		}
	}
}

// streamError gives an error in the terms of this package.
func streamError(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return AsError(err)
}

// ServerStream is a stream as its handler sees it. Recv gives io.EOF when the
// caller has sent its last message.
type ServerStream[In, Out any] struct{ Messages[Out, In] }

// ClientStream is a stream as its caller sees it.
type ClientStream[In, Out any] struct {
	Messages[In, Out]
	peer string
}

// CloseSend tells the server that no more messages come. Recv goes on.
func (s *ClientStream[In, Out]) CloseSend() error { return streamError(s.raw.CloseSend()) }

// Close lets go of the stream; one that has not ended is cancelled. It must be
// called once, when neither Send nor Recv runs any more or to make them return.
func (s *ClientStream[In, Out]) Close() { s.raw.Close() }

// Peer is the name of the node that serves the stream.
func (s *ClientStream[In, Out]) Peer() string { return s.peer }
