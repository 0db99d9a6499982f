package mprpc

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/rpc"
)

// Defaults of Config.
const (
	DefaultMaxMessage     = 4 << 20 // bytes
	DefaultMaxCalls       = 4096    // in flight on one stream
	DefaultMaxAllCalls    = 16384   // in flight on all
	DefaultMaxConns       = 1024
	DefaultMaxHeld        = 256 << 20 // bytes
	DefaultMessageTimeout = 30 * time.Second
	DefaultWriteTimeout   = 10 * time.Second
)

// Config says where calls go and what clients may cost. Zero limits mean their
// defaults.
type Config struct {
	// Invoke carries a call into the mesh; its errors are as rpc.Caller's.
	Invoke func(ctx context.Context, call *rpc.Call) error
	// Served gives the spec of a method that this node serves itself, or nil.
	Served func(method string) *rpc.Spec
	// Self is this node's name: calls without a destination go to it if it
	// serves their method.
	Self   string
	Logger zerolog.Logger
	Limits Limits
}

// Limits bound what all clients together, and each of them, may cost.
type Limits struct {
	MaxMessage  int // bytes of one message
	MaxCalls    int // in flight on one stream
	MaxAllCalls int // in flight on all streams
	MaxConns    int
	// MaxHeld bounds the bytes of messages half read, requests under way and
	// answers not yet written, of all clients; a quarter for one of them. At
	// least 16 times MaxMessage.
	MaxHeld int
	// MessageTimeout is how long a message that has begun may take to arrive,
	// for each 256 KiB of it.
	MessageTimeout time.Duration
	// WriteTimeout is how long a client may take for 256 KiB of answers.
	WriteTimeout time.Duration
}

func (l *Limits) setDefaults() {
	for _, n := range []struct {
		field *int
		value int
	}{
		{&l.MaxMessage, DefaultMaxMessage},
		{&l.MaxCalls, DefaultMaxCalls},
		{&l.MaxAllCalls, DefaultMaxAllCalls},
		{&l.MaxConns, DefaultMaxConns},
		{&l.MaxHeld, DefaultMaxHeld},
	} {
		if *n.field <= 0 {
			*n.field = n.value
		}
	}
	l.MaxHeld = max(l.MaxHeld, 16*l.MaxMessage)
	if l.MessageTimeout <= 0 {
		l.MessageTimeout = DefaultMessageTimeout
	}
	if l.WriteTimeout <= 0 {
		l.WriteTimeout = DefaultWriteTimeout
	}
}

// Gateway serves MessagePack-RPC clients. Its life is serving, draining,
// closed.
//
// Invariant: once stopping is set no stream is added; conns are the streams
// whose ServeConn runs, and every call is under way within one of these.
type Gateway struct {
	cfg   Config
	log   zerolog.Logger // bursts are cut: strangers cause what it says
	stats stats

	ctx    context.Context // of notifications, which outlive their client
	cancel context.CancelFunc

	held     atomic.Int64 // bytes, as Limits.MaxHeld
	inFlight atomic.Int64 // calls

	mu       sync.Mutex
	changed  *sync.Cond // broadcast when conns shrinks
	conns    map[*conn]struct{}
	stopping bool
}

// New gives a gateway that is ready for streams.
func New(cfg Config) *Gateway {
	cfg.Limits.setDefaults()
	if cfg.Served == nil {
		cfg.Served = func(string) *rpc.Spec { return nil }
	}
	g := &Gateway{
		cfg:   cfg,
		log:   cfg.Logger.Sample(&zerolog.BurstSampler{Burst: 20, Period: 10 * time.Second}),
		conns: make(map[*conn]struct{}),
	}
	g.changed = sync.NewCond(&g.mu)
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// ServeConn serves the client behind nc, which it owns, until the stream has
// ended and its requests with it. Its calls are made on behalf of who.
func (g *Gateway) ServeConn(nc net.Conn, who rpc.Identity) {
	c, err := g.admit(nc, who)
	if err != nil {
		_ = nc.Close()
		g.stats.add(connsRefused)
		if err == errTooManyConns {
			g.stats.add(overLimit)
			g.log.Warn().Err(err).Stringer("remote", nc.RemoteAddr()).Msg("MessagePack-RPC client refused")
		}
		return
	}
	g.stats.add(conns)
	defer g.forget(c)
	c.run()
}

func (g *Gateway) admit(nc net.Conn, who rpc.Identity) (*conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopping:
		return nil, errStopping
	case len(g.conns) >= g.cfg.Limits.MaxConns:
		return nil, errTooManyConns
	}
	c := newConn(g, nc, who)
	g.conns[c] = struct{}{}
	return c, nil
}

func (g *Gateway) forget(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
	g.changed.Broadcast()
}

// Drain takes no new streams and requests, lets those under way be answered,
// and ends the streams. When ctx ends first it returns, and the rest is left
// to Close.
func (g *Gateway) Drain(ctx context.Context) {
	defer context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.changed.Broadcast()
	})()
	for _, c := range g.stop() {
		c.drain()
	}
	g.wait(ctx)
}

// Close ends all streams and calls at once and waits for every goroutine.
// Closing again does nothing.
func (g *Gateway) Close() {
	g.cancel()
	for _, c := range g.stop() {
		c.fail(errStopping)
	}
	g.wait(context.Background())
}

// stop shuts the gateway to new streams and gives those that are open.
func (g *Gateway) stop() []*conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopping = true
	open := make([]*conn, 0, len(g.conns))
	for c := range g.conns {
		open = append(open, c)
	}
	return open
}

func (g *Gateway) wait(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.conns) > 0 && ctx.Err() == nil {
		g.changed.Wait()
	}
}
