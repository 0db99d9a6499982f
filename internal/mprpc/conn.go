package mprpc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
	"github.com/meshnode/meshnode/rpc"
)

const (
	// pauseAt is how many bytes of answers may wait to be written to a client
	// before no more is read from it. The answers to what it has asked already
	// come on top, up to Limits.MaxHeld.
	pauseAt = 1 << 20
	// mark is how many bytes of one message buy it another MessageTimeout.
	mark = 256 << 10
	// lingering is how long a stream that we end stays open for reading, so
	// that what the client sent last doesn't reset it under its answers.
	lingering = time.Second
)

// conn is one client.
//
// Invariant: calls counts the tasks that serve requests and notifications, each
// of which queues its answer before it ends; whoever sets err closes the
// stream, and nothing is queued from then on. held is what this client has of
// the gateway's bytes.
type conn struct {
	g      *Gateway
	nc     net.Conn
	who    rpc.Identity
	in     *inbox // of the reader alone
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup // the writer and the calls

	mu       sync.Mutex
	changed  *sync.Cond // broadcast when anything below changes
	calls    int
	held     int // bytes
	out      outbox
	draining bool
	err      error
}

func newConn(g *Gateway, nc net.Conn, who rpc.Identity) *conn {
	c := &conn{g: g, nc: nc, who: who}
	c.ctx, c.cancel = context.WithCancel(g.ctx)
	c.changed = sync.NewCond(&c.mu)
	c.in = newInbox(nc, g.cfg.Limits.MaxMessage, c.hold)
	return c
}

// run serves until the stream has ended and nothing of it is left.
func (c *conn) run() {
	c.tasks.Go(c.writeLoop)
	err := c.readLoop()
	switch {
	case errors.Is(err, io.EOF) && !c.in.begun():
		c.cancel()
		c.flush()
		err = errGone
	case err == errStopping:
		c.flush()
		c.linger()
	}
	c.fail(err)
	c.tasks.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseLocked(c.held)
	c.report()
}

// readLoop takes requests until the stream ends, breaks the protocol or drains.
func (c *conn) readLoop() error {
	var due time.Time // of the message that is arriving; zero: none
	seen := 0         // bytes of it at the last mark
	for {
		msg, err := c.in.next()
		if err != nil {
			return violation(err)
		}
		if msg != nil {
			due = time.Time{}
			if err := c.take(msg); err != nil {
				return err
			}
			continue
		}
		switch here := c.in.to - c.in.from; {
		case here == 0:
			due = time.Time{}
		case due.IsZero() || here-seen >= mark:
			due, seen = time.Now().Add(c.g.cfg.Limits.MessageTimeout), here
		}
		if err := c.read(due); err != nil {
			return err
		}
	}
}

// read waits for more bytes until due.
func (c *conn) read(due time.Time) error {
	c.mu.Lock()
	switch {
	case c.err != nil:
		c.mu.Unlock()
		return c.err
	case c.draining:
		c.mu.Unlock()
		return errStopping
	}
	_ = c.nc.SetReadDeadline(due) // under mu: drain sets another one
	c.mu.Unlock()
	n, err := c.in.fill()
	switch {
	case n > 0: // an error comes again
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.draining {
			return errStopping
		}
		return errSlowMessage
	}
	return err
}

// take begins to serve one message. The error is a violation of the protocol,
// or says that the stream is ending.
func (c *conn) take(msg []byte) error {
	var m wire.RPCMessage
	if err := wire.ParseRPC(msg, &m); err != nil {
		return violation(err)
	}
	r := &request{c: c, notify: m.Notify, id: m.ID, size: len(msg)}
	refused, err := c.begin(r)
	if err != nil {
		return err
	}
	if refused != nil {
		c.g.stats.add(overLimit)
		c.g.stats.add(failures)
		if !r.notify {
			c.answer(r.id, reply{err: refused.MarkNotExecuted(true)})
		}
		return nil
	}
	c.g.stats.add(calls)
	own := make([]byte, 0, len(m.Method)+len(m.Params)) // the inbox reuses its own
	own = append(append(own, m.Method...), m.Params...)
	r.method, r.params = own[:len(m.Method)], own[len(m.Method):]
	c.tasks.Go(r.serve)
	return nil
}

// flush waits until all requests are answered and the answers written, or the
// stream fails.
func (c *conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && (c.calls > 0 || !c.out.empty()) {
		c.changed.Wait()
	}
}

// linger half-closes the stream and passes over what still comes, for a while.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingering))
	_, _ = io.Copy(io.Discard, c.nc)
}

// drain lets the reader stop, so that run finishes.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.draining {
		c.draining = true
		_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes it
		c.changed.Broadcast()
	}
}

// fail ends the stream; the first reason stays.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	c.cancel()
	_ = c.nc.Close()
	c.changed.Broadcast()
}

// report counts and logs why the stream ended.
func (c *conn) report() {
	for _, known := range []struct {
		err error
		as  counter
	}{
		{errProtocol, malformed},
		{errTooLarge, tooLarge},
		{errSlowMessage, timeouts},
		{errSlowReader, timeouts},
		{errOverloaded, overLimit},
	} {
		if errors.Is(c.err, known.err) {
			c.g.stats.add(known.as)
			c.g.log.Warn().Err(c.err).Stringer("remote", c.nc.RemoteAddr()).Msg("MessagePack-RPC connection ended")
			return
		}
	}
	c.g.log.Debug().Err(c.err).Stringer("remote", c.nc.RemoteAddr()).Msg("MessagePack-RPC client left")
}
