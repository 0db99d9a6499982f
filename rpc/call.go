package rpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Caller carries calls to their destination. *node.Node is one.
type Caller interface {
	// Invoke makes the call and fills call.Reply and call.Peer. Errors are
	// *Error or wrap one.
	Invoke(ctx context.Context, call *Call) error
	// Targets gives the names of the nodes that a destination of many stands
	// for.
	Targets(ctx context.Context, dest Dest) ([]string, error)
}

// Registrar takes handlers. *node.Node is one.
type Registrar interface {
	// Register serves a method. The error says that its name is taken.
	Register(h *Handler) error
}

// Handler serves one method.
type Handler struct {
	Spec *Spec
	// Serve takes a pointer to the method's Req and gives one to its Reply; of
	// a Stream it takes a RawStream, and gives nothing.
	Serve func(ctx context.Context, req any) (reply any, err error)
}

// Call is one call under way, as client interceptors see it. It is used again
// once the call has returned: nobody may keep it.
type Call struct {
	Spec     *Spec
	Dest     Dest
	Metadata Metadata // sent along; nil is empty. Interceptors may add with Set
	Timeout  time.Duration
	OneWay   bool
	// OwnerOnly keeps a call with a key from other owners than the first.
	OwnerOnly bool
	// CarryOn makes the call go on however many nodes go down while they serve it. It is for
	// callers with a bound of their own, such as queues of durable calls.
	CarryOn bool
	// Priority of the call, if Prioritised; else its method's counts.
	Priority    Priority
	Prioritised bool

	Req   any // *Req of the method
	Reply any // *Reply of the method, once the call has succeeded

	// For is who the call is made for, and is not changed; nil: this node. See OnBehalf.
	For *Identity

	// ID names a durable call; see Queue. Empty for others.
	ID string

	// Into is memory for a reply of []byte; may be nil.
	Into *[]byte

	// Stream is what Open has opened; nil for calls.
	Stream RawStream

	// Peer is the name of the node that answered, with a reply or an error.
	// Empty: none did.
	Peer string

	peerOut *string

	reached bool         // an attempt may have been executed
	copies  *atomic.Bool // the same of this call and its copies; nil: there are none
}

// calls are those that Method.Call uses again and again.
var calls = sync.Pool{New: func() any { return new(Call) }}

func (c *Call) release() {
	*c = Call{}
	calls.Put(c)
}

// DestKind is how a destination is named.
type DestKind uint8

// The kinds of destinations.
const (
	ToAny    DestKind = iota // any node
	ToKey                    // the owner of a key
	ToPeer                   // one node by name
	ToAll                    // all nodes
	ToOwners                 // the first N owners of a key
)

// String is the name of the option that makes the kind.
func (k DestKind) String() string {
	return [...]string{"Any", "Key", "Peer", "All", "Owners"}[k]
}

// Dest says where a call goes.
type Dest struct {
	Kind   DestKind
	Key    string // ToKey, ToOwners
	Peer   string // ToPeer
	N      int    // ToOwners
	Policy Policy // ToAny, and ToKey: Bounded or empty
}

func (d *Dest) many() bool { return d.Kind == ToAll || d.Kind == ToOwners }

// Metadata is what users send along with a call. Keys and values are any bytes, within MaxMetadata
// and MaxMetadataBytes.
type Metadata map[string]string

// MaxMetadata is how many pairs of metadata a call may carry.
const MaxMetadata = wire.MaxPairs

// MaxKey is the most bytes that the key of a call may have.
const MaxKey = wire.MaxKey

// MaxMetadataBytes is how many bytes the keys and values of a call's metadata may have together. A
// call with more is refused with ResourceExhausted. It leaves room for the rest of a header.
const MaxMetadataBytes = 52 << 10

type optionKind uint8

const (
	optDest optionKind = iota
	optMetadata
	optTimeout
	optAnswered
	optInto
	optPolicy
	optOwnerOnly
	optPriority
	optID
	optOnBehalf
)

// CallOption is a property of one call. It is a plain value, so that options
// cost no allocation.
type CallOption struct {
	kind     optionKind
	dest     Dest
	key, val string
	timeout  time.Duration
	n        int
	peer     *string
	into     *[]byte
	caller   *Identity
}

// Key sends the call to the node that owns k, which may be any bytes, at most
// MaxKey of them.
func Key(k string) CallOption { return CallOption{dest: Dest{Kind: ToKey, Key: k}} }

// Peer sends the call to the node of that name.
func Peer(name string) CallOption { return CallOption{dest: Dest{Kind: ToPeer, Peer: name}} }

// Any sends the call to any node that serves the method, picked by policy.
func Any(policy Policy) CallOption { return CallOption{dest: Dest{Kind: ToAny, Policy: policy}} }

// All sends the call to every node; for Gather.
func All() CallOption { return CallOption{dest: Dest{Kind: ToAll}} }

// Owners sends the call to the first n owners of k; for Gather.
func Owners(k string, n int) CallOption {
	return CallOption{dest: Dest{Kind: ToOwners, Key: k, N: n}}
}

// WithMetadata sends a pair of metadata along.
func WithMetadata(key, value string) CallOption {
	return CallOption{kind: optMetadata, key: key, val: value}
}

// Timeout bounds the call, on top of its context's deadline.
func Timeout(d time.Duration) CallOption { return CallOption{kind: optTimeout, timeout: d} }

// Answered stores the name of the node that answered into *name, whether it
// answered with a reply or an error. It is left alone if none did.
func Answered(name *string) CallOption { return CallOption{kind: optAnswered, peer: name} }

// ID names a durable call: the same id is the same call, however often it is
// enqueued. 1 to MaxID bytes. Without it the queue makes one.
func ID(id string) CallOption { return CallOption{kind: optID, val: id} }

// Into gives memory for the reply of a method whose Reply is []byte: *buf is
// overwritten and grown if need be, and is the reply. It saves an allocation for
// each call. buf must not be used meanwhile, nor by two calls at once; a call
// that fails leaves anything in it.
func Into(buf *[]byte) CallOption { return CallOption{kind: optInto, into: buf} }

// apply puts the options into the call.
func (c *Call) apply(opts []CallOption) error {
	var policy Policy // of the destination, whichever option comes first
	for i := range opts {
		o := &opts[i]
		switch o.kind {
		case optDest:
			c.Dest = o.dest
		case optMetadata:
			c.SetMetadata(o.key, o.val)
		case optTimeout:
			if o.timeout <= 0 {
				return refuse(InvalidArgument, "%s: a timeout of %v; want a positive one", c.Spec.name, o.timeout)
			}
			c.Timeout = o.timeout
		case optAnswered:
			c.peerOut = o.peer
		case optInto:
			c.Into = o.into
		case optPolicy:
			policy = o.dest.Policy
		case optOwnerOnly:
			c.OwnerOnly = true
		case optID:
			if o.val == "" || len(o.val) > MaxID {
				return refuse(InvalidArgument, "%s: an id of %d bytes; want 1 to %d", c.Spec.name, len(o.val), MaxID)
			}
			c.ID = o.val
		case optOnBehalf:
			c.For = o.caller
		case optPriority:
			c.Priority, c.Prioritised = Priority(o.n), true
		}
	}
	if policy != "" {
		c.Dest.Policy = policy
	}
	return nil
}

// SetMetadata adds a pair of metadata.
func (c *Call) SetMetadata(key, value string) {
	if c.Metadata == nil {
		c.Metadata = make(Metadata)
	}
	c.Metadata[key] = value
}

// AnsweredBy records who answered. Callers (packages that carry calls) call it.
func (c *Call) AnsweredBy(peer string) {
	c.Peer = peer
	if c.peerOut != nil {
		*c.peerOut = peer
	}
}

// MarkReached records that the call, or an attempt at it, may have been executed. Callers
// (packages that carry calls) call it.
func (c *Call) MarkReached() {
	c.reached = true
	if c.copies != nil {
		c.copies.Store(true)
	}
}

// Reached reports whether the call, an attempt at it or a copy that TrackCopies covers, may have
// been executed. A client interceptor that calls next more than once finds here whether that is
// safe.
func (c *Call) Reached() bool { return c.reached || c.copies != nil && c.copies.Load() }

// TrackCopies makes Reached cover the copies that client interceptors make of the call. Callers
// (packages that carry calls) call it before the interceptors run.
func (c *Call) TrackCopies() { c.copies = new(atomic.Bool) }

// scatter makes one call for each peer, all at once, and waits for all. done is called once for
// each, from several goroutines, also for one whose c panics or ends its goroutine.
func scatter(ctx context.Context, c Caller, call *Call, peers []string, done func(i int, one *Call, err error)) {
	var wg sync.WaitGroup
	for i, peer := range peers {
		wg.Go(func() {
			one := Call{
				Spec: call.Spec, Req: call.Req, Timeout: call.Timeout,
				Dest:     Dest{Kind: ToPeer, Peer: peer},
				Priority: call.Priority, Prioritised: call.Prioritised, For: call.For,
			}
			for k, v := range call.Metadata {
				one.SetMetadata(k, v)
			}
			GuardTo(func() (any, error) { return nil, c.Invoke(ctx, &one) },
				func(_ any, err error) { done(i, &one, err) })
		})
	}
	wg.Wait()
}
