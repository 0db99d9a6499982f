package rpc

import (
	"context"
	"fmt"

	"github.com/meshnode/meshnode/internal/pack"
	"github.com/meshnode/meshnode/internal/wire"
)

// Spec is what a method is, without its types in the type system: its name,
// its promises, and how its values are encoded. Specs are immutable.
type Spec struct {
	name       string
	idempotent bool
	inline     bool
	streams    bool
	unlimited  bool
	compress   Compression
	priority   Priority
	policy     CallPolicy
	request    codec
	reply      codec
}

// Name is the method's name, such as "greeter.Hello".
func (s *Spec) Name() string { return s.name }

// Idempotent tells that executing a call twice does no harm.
func (s *Spec) Idempotent() bool { return s.idempotent }

// Compression is how long requests and replies are made smaller on the wire.
func (s *Spec) Compression() Compression { return s.compress }

// Streams tells that the method is a Stream: its Handler takes a RawStream.
func (s *Spec) Streams() bool { return s.streams }

// Unlimited tells that calls of the method are not counted against a limit.
func (s *Spec) Unlimited() bool { return s.unlimited }

// Inline tells that the method's handlers never block.
func (s *Spec) Inline() bool { return s.inline }

// AppendRequest is EncodeRequest with the limit MaxBody.
func (s *Spec) AppendRequest(dst []byte, req any) ([]byte, error) {
	return s.EncodeRequest(dst, req, MaxBody)
}

// EncodeRequest appends the encoded request, a pointer to the method's Req, if it
// takes at most limit bytes; a limit of 0 or less is MaxBody. Errors are *Error:
// ResourceExhausted for more bytes, InvalidArgument for a request that nests
// deeper than MaxDepth or holds what cannot travel, with the path of the field.
func (s *Spec) EncodeRequest(dst []byte, req any, limit int) ([]byte, error) {
	return s.encodeRequest(dst, req, bounds(limit))
}

// DecodeRequest returns a new *Req. It is safe on bytes from strangers. The error
// names the field that a value does not fit.
func (s *Spec) DecodeRequest(b []byte) (any, error) { return s.request.decode(b) }

// AppendReply is EncodeReply with the limit MaxBody.
func (s *Spec) AppendReply(dst []byte, reply any) ([]byte, error) {
	return s.EncodeReply(dst, reply, MaxBody)
}

// EncodeReply appends the encoded reply, a pointer to the method's Reply, as
// EncodeRequest does. Errors are *Error, Internal in place of InvalidArgument.
func (s *Spec) EncodeReply(dst []byte, reply any, limit int) ([]byte, error) {
	out, err := s.encode(&s.reply, "reply", dst, reply, bounds(limit))
	if e, ok := err.(*Error); ok && e.Code == InvalidArgument {
		e.Code = Internal
	}
	return out, err
}

func (s *Spec) encodeRequest(dst []byte, req any, b pack.Bounds) ([]byte, error) {
	out, err := s.encode(&s.request, "request", dst, req, b)
	if e, ok := err.(*Error); ok {
		return dst, e.MarkNotExecuted(true)
	}
	return out, err
}

// encode is EncodeRequest for any of a method's values.
func (s *Spec) encode(c *codec, role string, dst []byte, v any, b pack.Bounds) ([]byte, error) {
	out, err := c.append(dst, v, b)
	if err != nil {
		e := AsError(err)
		return dst, Errorf(e.Code, "%s of %s: %s", role, s.name, e.Message).After(e.RetryAfter)
	}
	return out, nil
}

// DecodeReply returns a new *Reply. It is safe on bytes from strangers.
func (s *Spec) DecodeReply(b []byte) (any, error) { return s.reply.decode(b) }

// MethodOption is a property of a method, given to NewMethod.
type MethodOption func(*Spec)

// Idempotent promises that executing a call twice does no harm: it may be sent
// again when its outcome is unknown.
func Idempotent() MethodOption { return func(s *Spec) { s.idempotent = true } }

// Inline promises that the method's handlers never block: not on a lock that
// others hold for long, not on a channel, a file, or another call. They then run
// where the request was read, which saves the way to another goroutine and back;
// until they return nothing else on that connection is read, and their context
// is valid only until then.
func Inline() MethodOption { return func(s *Spec) { s.inline = true } }

// Unlimited keeps the method's calls out of the limit of calls that a node can
// serve at a time (node.Admission): for those that only wait, such as long polls.
func Unlimited() MethodOption { return func(s *Spec) { s.unlimited = true } }

// Compression is a way to make bodies smaller. The numbers travel on the wire.
type Compression uint8

// The ways. S2 costs little time; Zstd makes bodies smallest.
const (
	NoCompression Compression = iota
	S2
	Zstd
)

// Compress has requests and replies of 512 bytes or more compressed on the wire
// where that makes them smaller. It is off by default: on a fast network it
// costs more time than it saves. A body that would expand to more than the
// receiver's limit is refused with ResourceExhausted. Messages of streams are
// not compressed.
func Compress(how Compression) MethodOption { return func(s *Spec) { s.compress = how } }

// Method is a typed method: a value to be declared once and used by callers
// and handlers alike.
type Method[Req, Reply any] struct{ spec *Spec }

// NewMethod declares a method. Its name is 1 to 128 printable ASCII characters
// without spaces, by custom "service.Method"; names that begin with "mesh."
// are the mesh's own. It panics on a bad name: methods are declared in package
// variables, so that is found when the program starts. It panics likewise, with
// the path of the field, if values of Req or Reply cannot travel: those with
// funcs, channels, complex numbers, unsafe pointers, two fields of one name, or
// maps whose keys are pointers. docs/types.md lists what can.
func NewMethod[Req, Reply any](name string, opts ...MethodOption) Method[Req, Reply] {
	s := &Spec{request: codecFor[Req](), reply: codecFor[Reply]()}
	s.init(name, opts)
	mustTravel[Req](name, "request")
	mustTravel[Reply](name, "reply")
	return Method[Req, Reply]{spec: s}
}

func (s *Spec) init(name string, opts []MethodOption) {
	if !wire.ValidName(name) {
		panic(fmt.Sprintf("rpc: bad method name %q: want 1 to 128 printable ASCII characters without spaces", name))
	}
	s.name = name
	for _, o := range opts {
		o(s)
	}
}

// Untyped gives the spec of a method that is known by name only: requests and
// replies are encoded bytes (*[]byte), as gateways handle them.
func Untyped(name string, opts ...MethodOption) (*Spec, error) {
	if !wire.ValidName(name) {
		return nil, Errorf(InvalidArgument, "bad method name %q: want 1 to 128 printable ASCII characters without spaces", name)
	}
	s := &Spec{request: rawCodec(), reply: rawCodec()}
	s.init(name, opts)
	return s, nil
}

// Name is the method's name.
func (m Method[Req, Reply]) Name() string { return m.spec.name }

// Spec is the method without its types.
func (m Method[Req, Reply]) Spec() *Spec { return m.spec }

// Handle serves the method: fn runs for each call that reaches r, many side by
// side. Its ctx ends with the caller's deadline or cancel, or when the call is
// answered; it has none of the values of the caller's context. req, and what it
// points to, is the handler's alone, wherever the caller is; the bytes of a []byte
// request only until it returns, so that it must copy what it keeps. reply is
// encoded after the return and must not change until then: what other goroutines
// change must be copied. A nil reply stands for the zero Reply. Of an error, its code,
// message, detail and RetryAfter reach the caller. It panics if r already serves
// the name.
func (m Method[Req, Reply]) Handle(r Registrar, fn func(ctx context.Context, req *Req) (*Reply, error)) {
	err := r.Register(&Handler{Spec: m.spec, Serve: func(ctx context.Context, req any) (any, error) {
		reply, err := fn(ctx, req.(*Req))
		if err != nil {
			return nil, err
		}
		if reply == nil {
			reply = new(Reply)
		}
		return reply, nil
	}})
	if err != nil {
		panic(err)
	}
}

// Call sends req and waits for the reply. The destination is an option: Key,
// Peer or Any (the default). A nil req stands for the zero Req. Errors are
// *Error.
func (m Method[Req, Reply]) Call(ctx context.Context, c Caller, req *Req, opts ...CallOption) (*Reply, error) {
	call := calls.Get().(*Call)
	defer call.release()
	call.Spec, call.Req = m.spec, orZero(req)
	if err := call.apply(opts); err != nil {
		return nil, err
	}
	if call.ID != "" {
		return nil, refuse(InvalidArgument, "%s: an id is for Enqueue", m.spec.name)
	}
	if call.Dest.many() {
		return nil, refuse(InvalidArgument, "%s: Call has one destination; use Gather for rpc.%s", m.spec.name, call.Dest.Kind)
	}
	if err := c.Invoke(ctx, call); err != nil {
		return nil, AsError(err)
	}
	reply, err := replyOf[Reply](call)
	if err != nil || call.Into == nil {
		return reply, err
	}
	return intoMemory(reply, call.Into), nil
}

// intoMemory puts a reply of bytes into the caller's memory, if it is not there:
// not every way that a call can take brings it there by itself.
func intoMemory[Reply any](reply *Reply, into *[]byte) *Reply {
	b, raw := any(reply).(*[]byte)
	if !raw || b == into {
		return reply
	}
	*into = append((*into)[:0], *b...)
	return any(into).(*Reply)
}

// orZero gives the zero value for a nil pointer, as it would arrive remotely.
func orZero[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}

// replyOf gives what a call that succeeded has brought. An interceptor can
// have left anything there; nothing at all stands for the zero Reply.
func replyOf[Reply any](call *Call) (*Reply, error) {
	reply, ok := call.Reply.(*Reply)
	if !ok && call.Reply != nil {
		return nil, Errorf(Internal, "%s: a reply of %T, not %T", call.Spec.name, call.Reply, reply)
	}
	return orZero(reply), nil
}

// Send is a one-way call: it returns when the request is on its way, and
// nobody says whether it was executed. An error says that it was not sent.
func (m Method[Req, Reply]) Send(ctx context.Context, c Caller, req *Req, opts ...CallOption) error {
	call := Call{Spec: m.spec, Req: orZero(req), OneWay: true}
	if err := call.apply(opts); err != nil {
		return err
	}
	if call.Dest.many() {
		return refuse(InvalidArgument, "%s: Send has one destination, not rpc.%s", m.spec.name, call.Dest.Kind)
	}
	if err := c.Invoke(ctx, &call); err != nil {
		return AsError(err)
	}
	return nil
}

// Result is one node's answer in a Gather.
type Result[Reply any] struct {
	Peer  string
	Reply *Reply // nil if Err is not
	Err   error  // an *Error
}

// Gather sends req to several nodes at once and waits for all answers: to all
// (the default, All) or to the owners of a key (Owners). Results come in the
// order of the nodes' names, or of the owners, primary first; one that failed
// says so in its Err. The error is for what prevents every call.
func (m Method[Req, Reply]) Gather(ctx context.Context, c Caller, req *Req, opts ...CallOption) ([]Result[Reply], error) {
	call := Call{Spec: m.spec, Req: orZero(req), Dest: Dest{Kind: ToAll}}
	if err := call.apply(opts); err != nil {
		return nil, err
	}
	switch d := &call.Dest; {
	case !d.many():
		return nil, refuse(InvalidArgument, "%s: Gather goes to rpc.All or rpc.Owners; use Call for rpc.%s", m.spec.name, d.Kind)
	case d.Kind == ToOwners && d.N < 1:
		return nil, refuse(InvalidArgument, "%s: %d owners asked for; want 1 or more", m.spec.name, d.N)
	}
	peers, err := c.Targets(ctx, call.Dest)
	if err != nil {
		return nil, AsError(err)
	}
	results := make([]Result[Reply], len(peers))
	scatter(ctx, c, &call, peers, func(i int, one *Call, err error) {
		results[i].Peer = peers[i]
		if err == nil {
			results[i].Reply, err = replyOf[Reply](one)
		}
		if err != nil {
			results[i].Err = AsError(err)
		}
	})
	return results, nil
}
