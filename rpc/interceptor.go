package rpc

import (
	"context"
	"strings"
	"unsafe"
)

// Invoker makes a call: the next client interceptor, or the call itself.
type Invoker func(ctx context.Context, call *Call) error

// ClientInterceptor sees each call that this node makes, before it is routed.
// It may change the metadata and the context, call next or not, and change
// what comes back.
type ClientInterceptor func(ctx context.Context, call *Call, next Invoker) error

// ServerHandler serves a call: the next server interceptor, or the handler.
type ServerHandler func(ctx context.Context, req any) (reply any, err error)

// ServerInterceptor sees each call that this node serves, also those from
// itself, after the node has decided that it is for it. info is the same as
// InfoFrom(ctx).
type ServerInterceptor func(ctx context.Context, info *Info, req any, next ServerHandler) (reply any, err error)

// ChainClient gives last behind all interceptors, the first outermost.
func ChainClient(all []ClientInterceptor, last Invoker) Invoker {
	for i := len(all) - 1; i >= 0; i-- {
		one, next := all[i], last
		last = func(ctx context.Context, call *Call) error { return one(ctx, call, next) }
	}
	return last
}

// ChainServer runs h behind all interceptors, the first outermost.
func ChainServer(ctx context.Context, all []ServerInterceptor, info *Info, h *Handler, req any) (any, error) {
	if len(all) == 0 {
		return h.Serve(ctx, req)
	}
	return all[0](ctx, info, req, func(ctx context.Context, req any) (any, error) {
		return ChainServer(ctx, all[1:], info, h, req)
	})
}

// Info is what a handler can know of the call that it serves.
type Info struct {
	Method string
	// Caller is who calls, also where others have carried the call: it is for deciding who may
	// do what. A call that a handler makes is its node's own.
	Caller Identity
	// Peer is the name of the node that has sent the call to this one: the caller itself, or
	// the member that carried the call for it. It is empty for a client. It says who is at the
	// other end of the connection, not who calls.
	Peer     string
	Metadata Metadata // read only; nil when none was sent
	Keyed    bool     // the call was sent to the owner of a key
	// Partition of the key, if Keyed.
	Partition uint32
	key       string // see Key
	// Attempt is how often the call was sent before to where it may have been
	// executed: 0 for the first time. Calls that serve a later attempt are not
	// sent again themselves, lest retries multiply along a chain.
	Attempt  int
	Priority Priority
	// Failover tells that this node does not own the key: it serves the call
	// because it and the caller found those gone who come before it.
	Failover bool
	// Spilled tells that this node does not own the key: it serves the call
	// because the owner has more than its share, which the method allows.
	Spilled bool

	keyBorrowed bool // key lies in memory that is used again after the call
}

// Key returns the key that the call was sent with, if Keyed, and else "". It is the very key
// whose partition Partition is, whoever sent the call. It may copy the key, so whoever needs
// it often keeps the result.
func (i *Info) Key() string {
	if i.keyBorrowed {
		return strings.Clone(i.key)
	}
	return i.key
}

// SetKey sets what Key returns. It is for packages that serve calls, and for tests.
func (i *Info) SetKey(key string) { i.key, i.keyBorrowed = key, false }

// BorrowKey is SetKey for a key that nobody changes before the handler has returned, while
// later its memory may be used again. It costs no allocation unless somebody asks for the key.
func (i *Info) BorrowKey(key []byte) {
	i.key, i.keyBorrowed = unsafe.String(unsafe.SliceData(key), len(key)), true
}

type infoKey struct{}

// ServerContext is the context of a handler: its parent, and Info. It is a type
// of its own, not context.WithValue, so that packages that serve calls can have
// it in one allocation with the parent, and that it keeps the parent's AfterFunc.
type ServerContext struct {
	context.Context
	Info Info
}

// Value implements context.Context.
func (c *ServerContext) Value(key any) any {
	if key == (infoKey{}) {
		return &c.Info
	}
	return c.Context.Value(key)
}

// AfterFunc lets derived contexts end with this one without a goroutine;
// package context looks for it.
func (c *ServerContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.Context, f)
}

// WithInfo gives a context that carries info, and a pointer to its copy.
func WithInfo(ctx context.Context, info Info) (context.Context, *Info) {
	c := &ServerContext{Context: ctx, Info: info}
	return c, &c.Info
}

// InfoFrom gives what is known of the call that ctx belongs to. It is false
// outside of handlers.
func InfoFrom(ctx context.Context) (*Info, bool) {
	info, ok := ctx.Value(infoKey{}).(*Info)
	return info, ok
}
