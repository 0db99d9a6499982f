package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/meshnode/meshnode/internal/wire"
)

// Status codes that the transport itself puts into replies. They are a subset
// of package rpc's, with the same numbers.
const (
	CodeOK                = 0
	CodeCanceled          = 1
	CodeDeadlineExceeded  = 4
	CodeResourceExhausted = 8
	CodeInternal          = 13
)

// Identity is who a peer said it is in its hello.
type Identity struct {
	Name    string // empty: a client, not a member
	Cluster string
	Boot    uint64 // tells two lives of one name apart
}

// Conn is one connection to one peer, for calls both ways.
//
// Invariant: fail runs once; after it nothing is written, and each call that
// waited has been finished exactly once.
type Conn struct {
	ep       *Endpoint
	nc       net.Conn
	peer     Identity
	maxFrame int // largest frame that the peer takes
	maxCalls int // most calls in flight that the peer takes

	out  writer
	pend pending

	serving serving
	pings   pings

	reading atomic.Bool // the reader has frames left to hand out
	goaway  atomic.Bool // no new calls go out: the peer or we said goaway

	parting atomic.Pointer[RefusedError] // the peer's goaway; nil: it said none

	failOnce sync.Once
	cause    error         // why it ended; set before closed is closed
	closed   chan struct{} // closed by fail
	loops    sync.WaitGroup
}

func newConn(ep *Endpoint, nc net.Conn, h *wire.Hello) *Conn {
	c := &Conn{
		ep: ep, nc: nc,
		peer:     Identity{Name: h.Name, Cluster: h.Cluster, Boot: h.Boot},
		maxFrame: ep.cfg.MaxFrame,
		maxCalls: ep.cfg.MaxCalls,
		closed:   make(chan struct{}),
	}
	if h.MaxFrame > 0 && h.MaxFrame < uint64(c.maxFrame) {
		c.maxFrame = int(h.MaxFrame)
	}
	if h.MaxCalls > 0 && h.MaxCalls < uint64(c.maxCalls) {
		c.maxCalls = int(h.MaxCalls)
	}
	c.out.init(nc, ep.cfg.WriteTimeout, 4*ep.cfg.MaxFrame)
	c.pend.sweepf = c.sweepCalls
	c.serving.init()
	return c
}

// run starts the connection's goroutines.
func (c *Conn) run() {
	c.loops.Add(2)
	go func() {
		defer c.loops.Done()
		c.lost(c.readLoop())
	}()
	go func() {
		defer c.loops.Done()
		if err := c.out.flushLoop(c.closed); err != nil {
			c.lost(err)
		}
	}()
}

// Peer tells who is at the other end.
func (c *Conn) Peer() Identity { return c.peer }

// RemoteAddr is the other end's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Closed is closed when the connection has ended; Err then says why.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// Err is why the connection ended, or nil while it lives.
func (c *Conn) Err() error {
	select {
	case <-c.closed:
		return c.cause
	default:
		return nil
	}
}

// usable tells whether new calls can go out.
func (c *Conn) usable() bool {
	select {
	case <-c.closed:
		return false
	default:
		return !c.goaway.Load()
	}
}

// Close ends the connection at once. Calls that wait fail as unsent or
// ambiguous, calls being served see their context end.
func (c *Conn) Close() { c.fail(ErrClosed) }

// fail ends the connection for the given reason. The first reason counts.
func (c *Conn) fail(err error) {
	c.failOnce.Do(func() {
		c.cause = err
		handed := c.out.close(ErrClosed)
		close(c.closed)
		_ = c.nc.Close()
		for _, r := range c.pend.closeAll() {
			r.finish(&CallError{Unsent: r.end > handed, Err: c.reason()})
		}
		c.serving.closeAll()
		c.ep.forget(c)
	})
}

// lost ends the connection after its stream broke or ended. What the peer gave
// as its reason says more than how the stream ended.
func (c *Conn) lost(err error) {
	if said := c.parting.Load(); said != nil {
		err = said
	}
	c.fail(err)
}

// reason is cause in the words of a caller.
func (c *Conn) reason() error {
	if c.cause == ErrClosed {
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrClosed, c.cause)
}

// protocolError ends the connection for a violation by the peer: it is counted,
// logged, and the peer is told which.
func (c *Conn) protocolError(err error) {
	if !errors.Is(err, ErrFrameTooLarge) && !errors.Is(err, ErrProtocol) {
		err = errors.Join(ErrProtocol, err)
	}
	if errors.Is(err, ErrFrameTooLarge) {
		c.ep.stats.add(FramesTooLarge, 1)
	}
	c.ep.stats.add(ProtocolErrors, 1)
	c.ep.log.Warn().Err(err).Str("peer", c.peer.Name).Stringer("remote", c.RemoteAddr()).
		Msg("connection ended: the peer broke the protocol")
	c.sendGoAway(err)
	c.out.drain()
	c.fail(err)
}

// sendGoAway tells the peer the last call accepted and why no more are. It goes
// out even when the queue is full, and no call of ours goes out behind it: the
// peer may close the connection as soon as it has nothing left to do. Stopping
// and queueing are one step: between them left could end the connection, and
// the peer would not learn which of its calls were dropped.
func (c *Conn) sendGoAway(reason error) {
	c.goaway.Store(true)
	c.out.mu.Lock()
	last := c.serving.stop()
	if c.out.err != nil {
		c.out.mu.Unlock()
		return
	}
	c.controlLocked(func(buf []byte) []byte {
		buf = wire.AppendGoAway(buf, last, uint64(reasonOf(reason)))
		return append(buf, reason.Error()...)
	})
}

// drain ends the connection gracefully: no new calls either way, those under
// way finish, what is queued is written. When ctx ends first, the rest is cut.
func (c *Conn) drain(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { c.fail(ErrShutdown) })
	defer stop()
	c.sendGoAway(ErrShutdown)
	select {
	case <-c.serving.idle():
		c.out.drain()
		c.finishSending()
		// The peer closes when it has what it waited for. Closing first could
		// reset the stream under replies that are still on their way.
		<-c.closed
	case <-c.closed:
	}
}

// finishSending half-closes the stream where it can be.
func (c *Conn) finishSending() {
	if c.pend.count() == 0 {
		closeWrite(c.nc)
	}
}

func closeWrite(nc net.Conn) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// gone handles a goaway: calls above last never ran, and with nothing left to
// wait for the connection ends.
func (c *Conn) gone(last uint64, err *RefusedError) {
	c.parting.Store(err)
	c.goaway.Store(true)
	c.ep.log.Debug().Err(err).Str("peer", c.peer.Name).Msg("peer wants no new calls")
	for _, r := range c.pend.takeIf(func(r *Reply) bool { return r.id > last }) {
		r.finish(unsent(err))
	}
	c.left()
}

// left closes a connection whose peer said goaway when its last call is done.
func (c *Conn) left() {
	if c.parting.Load() != nil && c.pend.count() == 0 && c.serving.empty() {
		c.out.endWhenWritten()
	}
}

// pings are the pings that wait for their pong.
type pings struct {
	mu    sync.Mutex
	last  uint64
	waits map[uint64]chan struct{}
}

func (p *pings) add() (n uint64, pong <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waits == nil {
		p.waits = make(map[uint64]chan struct{})
	}
	p.last++
	ch := make(chan struct{}, 1)
	p.waits[p.last] = ch
	return p.last, ch
}

func (p *pings) remove(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waits, n)
}

// pong wakes the ping of number n, if it still waits.
func (p *pings) pong(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ch := p.waits[n]; ch != nil {
		delete(p.waits, n)
		ch <- struct{}{}
	}
}
