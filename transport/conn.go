package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

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
	CodeUnavailable       = 14
)

// Identity is who a peer said it is in its hello and, with TLS, who its certificate says it is.
//
// Invariant: a peer that is Verified holds the key of a certificate that bears Name if it has
// one, and else Subject; the certificate was valid when the two shook hands.
type Identity struct {
	Name     string // empty: a client, not a member
	Cluster  string
	Boot     uint64 // tells two lives of one name apart
	Subject  string // Name or, of a client, the name in its certificate; empty: it has none
	Verified bool   // by TLS
}

// Conn is one connection to one peer, for calls and streams both ways.
//
// Invariant: fail runs once; after it nothing is written, and each call that
// waited has been finished exactly once.
type Conn struct {
	ep   *Endpoint
	nc   net.Conn
	peer Identity
	peerLimits
	value atomic.Value // the Handler's; see Incoming.ConnValue

	out  writer
	flow outflow // under out.mu
	in   inflow
	pool windowPool // of the streams' receiving windows
	pend pending

	serving serving
	pings   pings
	reader  readerState

	incomplete atomic.Int64 // bytes declared by the peer's requests whose bodies are arriving

	busy   atomic.Bool  // the reader has frames left to hand out
	goaway atomic.Bool  // no new calls go out: the peer or we said goaway
	life   connActivity // for tend

	parting atomic.Pointer[RefusedError] // the peer's goaway; nil: it said none

	failOnce sync.Once
	cause    error         // why it ended; set before closed is closed
	closed   chan struct{} // closed by fail
	loops    sync.WaitGroup
}

// peerLimits are what the two sides agreed on by their hellos.
type peerLimits struct {
	maxBody   int   // largest body that the peer takes, in bytes
	maxCalls  int   // most calls in flight that the peer takes
	window    int64 // what may be sent on a stream to begin with
	ownWindow int64 // what the peer may
	part      int   // largest body of a data frame that the windows let through
}

// readerState is what only the reader uses.
type readerState struct {
	inBatch bool      // frames of one read are being handed out
	inline  bool      // some of them were calls that were served inline
	used    bool      // some of them were for calls or streams
	now     time.Time // when that read returned
	heard   int64     // the latest life.heardAt
	head    wire.Header
	next    *Incoming // of the next call, if the last one was served inline
}

// newConn makes a connection that has greeted. dialled tells which side we are.
func newConn(ep *Endpoint, nc net.Conn, h *wire.Hello, dialled bool) *Conn {
	cfg := &ep.cfg
	c := &Conn{
		ep: ep, nc: nc,
		peer:       identityOf(nc, h),
		peerLimits: limitsOf(h, cfg),
		closed:     make(chan struct{}),
	}
	c.life.dialled = dialled
	c.out.reading = &c.busy
	c.out.init(nc, &ep.buffers, cfg.WriteTimeout, cfg.MaxQueued, &c.loops, c.lost)
	c.flow.credit = credit(h.ConnWindow)
	c.in = inflow{window: int64(cfg.ConnWindow), left: int64(cfg.ConnWindow)}
	c.pool.init(int64(cfg.MaxUnread), int64(cfg.Window))
	c.pend.sweepf, c.pend.start = c.sweepCalls, ep.start
	c.pend.quiet = quiet{after: int64(cfg.Silence.After), heard: &c.life.heardAt}
	if dialled {
		c.pend.odd = 1
	} else {
		c.serving.odd = 1
	}
	c.serving.init()
	return c
}

// limitsOf gives the limits that hold for a connection with the sender of h.
func limitsOf(h *wire.Hello, cfg *Config) peerLimits {
	l := peerLimits{
		maxBody: cfg.MaxBody, maxCalls: cfg.MaxCalls,
		window: credit(h.Window), ownWindow: int64(cfg.Window),
	}
	if h.MaxBody > 0 && h.MaxBody < uint64(l.maxBody) {
		l.maxBody = int(h.MaxBody)
	}
	if h.MaxCalls > 0 && h.MaxCalls < uint64(l.maxCalls) {
		l.maxCalls = int(h.MaxCalls)
	}
	l.part = largestPart(l.window, credit(h.ConnWindow))
	return l
}

// credit reads a window of a hello. Who names none has that of the protocol.
func credit(n uint64) int64 {
	if n == 0 {
		n = wire.DefaultWindow
	}
	return int64(min(n, maxCredit))
}

// run starts the connection's reader. Its flusher runs when there is something
// to write.
func (c *Conn) run() {
	c.loops.Add(1)
	c.out.mu.Lock()
	if len(c.out.buf) > 0 {
		c.out.pokeLocked()
	}
	c.out.mu.Unlock()
	go c.read(&frameReader{r: c.nc, limit: wire.MaxFrame})
}

// read runs the connection's reader until the connection ends. An inline handler may end the
// reader's goroutine (runtime.Goexit): then another one goes on behind the frame of its call.
func (c *Conn) read(f *frameReader) {
	ended := false
	defer func() {
		if !ended {
			go c.read(f)
			return
		}
		c.loops.Done()
	}()
	c.lost(c.readLoop(f))
	ended = true
}

// Peer tells who is at the other end.
func (c *Conn) Peer() Identity { return c.peer }

// MaxBody is the length of the longest request that goes over the connection, and of the longest
// message of a stream, in bytes.
func (c *Conn) MaxBody() int { return c.maxBody }

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
		return !c.goaway.Load() && !c.silent()
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
		for _, in := range c.serving.closeAll(c.reason()) {
			c.abandon(in)
		}
		c.ep.forget(c)
	})
}

// lost ends the connection after its stream broke or ended. What the peer gave
// as its reason says more than how the stream ended.
func (c *Conn) lost(err error) {
	if said := c.parting.Load(); said != nil {
		err = said
	} else if c.life.idled.Load() {
		err = ErrIdle
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
	switch err {
	case ErrFrameTooLarge:
		c.ep.stats.add(FramesTooLarge, 1)
	case ErrWindowOverflow:
		c.ep.stats.add(WindowOverflows, 1)
	case ErrPingFlood:
	default:
		if !errors.Is(err, ErrProtocol) {
			err = errors.Join(ErrProtocol, err)
		}
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
	c.controlLocked(byFlusher, func(buf []byte) []byte {
		buf = wire.AppendGoAway(buf, last, uint64(reasonOf(reason)))
		return append(buf, reason.Error()...)
	})
}

// drain ends the connection gracefully: no new calls either way, those under
// way finish, what is queued is written. When ctx ends first, the rest is cut.
func (c *Conn) drain(ctx context.Context) {
	c.sendGoAway(ErrShutdown)
	stop := context.AfterFunc(ctx, c.cut)
	defer stop()
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

// lastFlush is how long a connection that is cut may take to write what is queued.
const lastFlush = 50 * time.Millisecond

// cut ends a connection whose calls and streams do not end. The goaway before tells the peer why.
func (c *Conn) cut() {
	timer := time.AfterFunc(lastFlush, func() { c.fail(ErrStopped) })
	defer timer.Stop()
	c.out.drain()
	c.fail(ErrStopped)
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
