package transport

import (
	"context"
	"errors"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Request is a call to send. The caller keeps it; nothing of it is used after
// Call or Notify has returned.
type Request struct {
	Method   string
	Meta     Meta
	Body     []byte
	Deadline time.Time // zero: none. Sent to the peer as time left, and kept here
}

// Call sends req and waits for the reply, for req.Deadline or for the end of
// ctx, whichever comes first; on the latter two the peer is told to cancel.
//
// A reply with a code other than 0 is a reply, not an error. Errors are
// *CallError, or context.DeadlineExceeded, or ctx's own.
func (c *Conn) Call(ctx context.Context, req *Request) (*Reply, error) {
	r := c.ep.getReply(c)
	if err := c.start(r, req); err != nil {
		c.ep.putReply(r)
		return nil, err
	}
	if err := c.wait(ctx, r); err != nil {
		c.ep.putReply(r)
		return nil, err
	}
	body, err := wire.Parse(r.frame, &r.head)
	if err != nil {
		c.ep.putReply(r)
		err = errors.Join(ErrProtocol, err)
		c.protocolError(err)
		return nil, &CallError{Err: err}
	}
	r.Code, r.Meta, r.Body = r.head.Code, &r.head.Meta, body
	return r, nil
}

// start queues the call's frame. On an error the call is provably unsent.
func (c *Conn) start(r *Reply, req *Request) error {
	if err := c.checkSize(req); err != nil {
		return err
	}
	meta := req.Meta
	if err := setTimeout(&meta, req.Deadline); err != nil {
		return err
	}
	r.due = 0
	if !req.Deadline.IsZero() && meta.Timeout < forever {
		r.due = req.Deadline.UnixNano()
	}
	c.out.mu.Lock()
	if err := c.writableLocked(); err != nil {
		c.out.mu.Unlock()
		return unsent(err)
	}
	id, n, err := c.register(r)
	if err != nil {
		c.out.mu.Unlock()
		return unsent(err)
	}
	from := len(c.out.buf)
	buf, at := wire.Begin(c.out.buf)
	buf = wire.AppendCall(buf, id, req.Method, &meta)
	c.out.buf = wire.End(append(buf, req.Body...), at)
	r.end = c.out.queued + uint64(len(c.out.buf)-from)
	c.ep.stats.add(CallsSent, 1)
	c.sent(c.out.releaseLocked(from, n == 1 && !c.reading.Load()))
	return nil
}

// forever is a timeout that nobody waits out; beyond it, the nanoseconds of a
// deadline would overflow.
const forever = 100 * 365 * 24 * time.Hour

// setTimeout puts the time left until deadline into m.
func setTimeout(m *Meta, deadline time.Time) error {
	if deadline.IsZero() {
		return nil
	}
	if m.Timeout = time.Until(deadline); m.Timeout <= 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// register puts r into the pending table; n is the number waiting with it. It
// is called under the writer's lock, so that ids grow in the order of the
// stream, which is what a goaway relies on.
func (c *Conn) register(r *Reply) (id uint64, n int, err error) {
	c.pend.mu.Lock()
	defer c.pend.mu.Unlock()
	switch {
	case c.pend.closed:
		return 0, 0, ErrClosed
	case c.goaway.Load():
		return 0, 0, ErrShutdown
	case c.pend.n >= c.maxCalls:
		return 0, 0, ErrTooManyCalls
	}
	c.pend.addLocked(r)
	return r.id, c.pend.n, nil
}

// sent ends the connection if a write by a caller's own hand failed.
func (c *Conn) sent(err error) {
	if err != nil {
		c.lost(err)
	}
}

// writableLocked tells why nothing can be queued now, if so.
func (c *Conn) writableLocked() error {
	if c.out.err != nil {
		return ErrClosed
	}
	if len(c.out.buf) >= c.out.limit {
		c.ep.stats.add(WriteQueueFull, 1)
		return ErrWriteQueueFull
	}
	return nil
}

// checkSize refuses a call that the peer would not take.
func (c *Conn) checkSize(req *Request) error {
	if !c.fits(len(req.Method), &req.Meta, len(req.Body)) {
		c.ep.stats.add(FramesTooLarge, 1)
		return unsent(ErrFrameTooLarge)
	}
	return nil
}

// fits tells whether the peer takes a frame with these parts; m may be nil. One
// that it does not take would end the connection for everybody on it.
func (c *Conn) fits(method int, m *Meta, body int) bool {
	head := headerBound(method, m)
	return head <= wire.MaxHeader && head+body <= c.maxFrame && (m == nil || len(m.User) <= wire.MaxPairs)
}

// headerBound is the most bytes that a header with these parts can take; m may
// be nil.
func headerBound(method int, m *Meta) int {
	const fixed, perString = 96, 5
	if m == nil {
		return fixed + method
	}
	n := fixed + method + len(m.Owner) + len(m.Message)
	for _, p := range m.User {
		n += len(p.Key) + len(p.Value) + 2*perString
	}
	return n
}

func (c *Conn) wait(ctx context.Context, r *Reply) error {
	ended := ctx.Done()
	if ended == nil {
		<-r.done
		return r.err
	}
	select {
	case <-r.done:
		return r.err
	case <-ended:
	}
	if mine, _ := c.pend.take(r.id); mine == nil {
		<-r.done // somebody else has it and is about to finish it
		return r.err
	}
	c.cancel(r.id, ctx.Err())
	c.left()
	return ctx.Err()
}

// cancel tells the peer that nobody waits for id any more, and why.
func (c *Conn) cancel(id uint64, why error) {
	c.ep.stats.add(CallsCanceled, 1)
	code := uint64(CodeCanceled)
	if errors.Is(why, context.DeadlineExceeded) {
		code = CodeDeadlineExceeded
	}
	c.control(func(buf []byte) []byte { return wire.AppendCancel(buf, id, code) })
}

// control queues a small frame of the protocol's own, unless the queue is full.
func (c *Conn) control(build func([]byte) []byte) {
	c.out.mu.Lock()
	if c.writableLocked() != nil {
		c.out.mu.Unlock()
		return
	}
	c.controlLocked(build)
}

// controlLocked queues a small frame and gives the writer's lock up.
func (c *Conn) controlLocked(build func([]byte) []byte) {
	from := len(c.out.buf)
	buf, at := wire.Begin(c.out.buf)
	c.out.buf = wire.End(build(buf), at)
	c.sent(c.out.releaseLocked(from, false))
}

// sweepCalls ends the calls whose deadline has passed.
func (c *Conn) sweepCalls() {
	for _, r := range c.pend.expired() {
		c.cancel(r.id, errDeadline)
		r.finish(errDeadline)
	}
	c.left()
}

// Notify sends a one-way call: no reply, no word whether it arrived. An error
// says that it was not sent.
func (c *Conn) Notify(req *Request) error {
	if err := c.checkSize(req); err != nil {
		return err
	}
	meta := req.Meta
	if err := setTimeout(&meta, req.Deadline); err != nil {
		return err
	}
	c.out.mu.Lock()
	err := c.writableLocked()
	if err == nil && c.goaway.Load() {
		err = ErrShutdown
	}
	if err != nil {
		c.out.mu.Unlock()
		return unsent(err)
	}
	from := len(c.out.buf)
	buf, at := wire.Begin(c.out.buf)
	buf = wire.AppendNotify(buf, req.Method, &meta)
	c.out.buf = wire.End(append(buf, req.Body...), at)
	c.sent(c.out.releaseLocked(from, false))
	return nil
}

// Ping measures the round trip to the peer's reader.
func (c *Conn) Ping(ctx context.Context) (time.Duration, error) {
	n, pong := c.pings.add()
	defer c.pings.remove(n)
	start := time.Now()
	c.control(func(buf []byte) []byte { return wire.AppendPing(buf, n) })
	select {
	case <-pong:
		return time.Since(start), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-c.closed:
		return 0, unsent(ErrClosed)
	}
}
