package transport

import (
	"context"
	"errors"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Request is a call to send. The caller keeps it; nothing of it is used after
// Call, Open or Notify has returned, which only read it.
type Request struct {
	Method   string
	Meta     Meta
	Body     []byte
	Deadline time.Time // zero: none. Sent to the peer as time left, and kept here
	// Left is the time until Deadline, if the caller happens to know: reading
	// the clock once more costs as much as the call's header.
	Left time.Duration
	// Into, if not nil, gives memory for the reply's body: what it points to is
	// overwritten, grown if need be, and then is the body. Reply.TakeBody gives
	// it, too.
	Into *[]byte
	// Accept bounds how long the peer may take to accept a stream; 0: as long
	// as the stream itself. For Open only.
	Accept time.Duration
	// Watch says whether the call is to notice that the peer is silent. For Call
	// only.
	Watch Watch
}

// What never goes in parts, in bytes.
const (
	MaxOneWay       = wire.MaxInline // the body of a one-way call
	MaxStreamDetail = wire.MaxInline // the body of the reply that ends a stream
)

// Call sends req and waits for the reply, for req.Deadline or for the end of
// ctx, whichever comes first; on the latter two the peer is told to cancel.
//
// A reply with a code other than 0 is a reply, not an error. Errors are *CallError, or
// context.DeadlineExceeded, or ctx's own; the latter two are in an unsent *CallError if the time was
// up before the call was sent.
func (c *Conn) Call(ctx context.Context, req *Request) (*Reply, error) {
	r := c.ep.getReply(c)
	r.into = req.Into
	err := c.start(ctx, r, req)
	if err == nil {
		err = c.wait(ctx, r)
	}
	if err == nil {
		err = r.parse()
	}
	if err != nil {
		c.ep.putReply(r)
		return nil, err
	}
	return r, nil
}

// start sends the call. On an error r is not in the table any more.
func (c *Conn) start(ctx context.Context, r *Reply, req *Request) error {
	if err := c.checkSize(req); err != nil {
		return err
	}
	if len(req.Body) > wire.MaxInline {
		return c.startInParts(ctx, r, req)
	}
	return c.queueCall(ctx, r, req, asCall)
}

// callShape is how a call begins.
type callShape uint8

const (
	asCall   callShape = iota // with its body
	asHeader                  // whose body follows in parts
	asOpen                    // a stream, with its first body
)

// append appends the call's first frame without its length.
func (s callShape) append(dst []byte, id uint64, req *Request, left time.Duration) []byte {
	switch s {
	case asHeader:
		return wire.AppendRequest(dst, wire.KindCall, id, req.Method, &req.Meta, left, uint64(len(req.Body)))
	case asOpen:
		return append(wire.AppendRequest(dst, wire.KindOpen, id, req.Method, &req.Meta, left, 0), req.Body...)
	}
	return append(wire.AppendRequest(dst, wire.KindCall, id, req.Method, &req.Meta, left, 0), req.Body...)
}

// queueCall registers a call and queues its first frame. On an error the call
// is provably unsent.
func (c *Conn) queueCall(ctx context.Context, r *Reply, req *Request, shape callShape) error {
	left, err := c.timeLeft(req)
	if err != nil {
		return err
	}
	r.due, r.end, r.watch = 0, never, Unwatched
	if c.pend.quiet.after > 0 && shape != asOpen {
		r.watch = req.Watch
	}
	if left > 0 && left < forever {
		r.due = int64(req.Deadline.Sub(c.pend.start))
	}
	c.out.mu.Lock()
	if shape == asCall {
		if err := c.awaitTurnLocked(ctx, req.Deadline, req.Body); err != nil {
			c.out.mu.Unlock()
			return unsent(err)
		}
	}
	err = c.writableLocked()
	var waiting int
	if err == nil {
		waiting, err = c.register(r, left)
	}
	if err != nil {
		c.out.turns.letGo() // if it was our turn, it is the next one's
		c.out.mu.Unlock()
		return unsent(err)
	}
	c.ep.stats.add(CallsSent, 1)
	// What a write by our own hand meets, the call learns by the connection's end.
	if shape == asCall && c.out.directLocked(req.Body) {
		_ = c.sent(c.directCallLocked(r, req, left))
		return nil
	}
	if shape == asCall {
		c.out.makeRoomLocked(len(req.Body) + headerBound(len(req.Method), &req.Meta))
	}
	from := len(c.out.buf)
	buf, at := wire.Begin(c.out.buf)
	c.out.buf = wire.End(shape.append(buf, r.id, req, left), at)
	if r.sending != nil {
		r.sending.id = r.id
		c.addSenderLocked(r.sending)
	}
	if shape != asHeader {
		r.end = c.out.queued + uint64(len(c.out.buf)-from)
	}
	if shape == asOpen {
		c.out.buf = r.stream.in.appendWindow(c.out.buf, r.id)
	}
	who := byFlusher
	if waiting == 1 && !c.busy.Load() {
		who = byCaller
	}
	_ = c.sent(c.out.releaseLocked(from, who))
	return nil
}

// directCallLocked writes a call whose body is worth no copy.
func (c *Conn) directCallLocked(r *Reply, req *Request, left time.Duration) error {
	buf, at := wire.Begin(make([]byte, 0, headerBound(len(req.Method), &req.Meta)))
	buf = wire.AppendRequest(buf, wire.KindCall, r.id, req.Method, &req.Meta, left, 0)
	buf = wire.EndSplit(buf, at, len(req.Body))
	r.end = c.out.queued + uint64(len(buf)+len(req.Body))
	return c.out.writeDirectLocked(buf, req.Body)
}

// startInParts sends a call whose body is too long for one frame: the call
// first, then its body under flow control. It is unsent until the last part is.
func (c *Conn) startInParts(ctx context.Context, r *Reply, req *Request) error {
	s := c.newSender(0)
	s.end, r.sending = &r.end, s
	if err := c.queueCall(ctx, r, req, asHeader); err != nil {
		return err
	}
	ctx, cancel := withDeadline(ctx, req.Deadline)
	defer cancel()
	_, err := c.sendBody(ctx, s, req.Body)
	c.stopSender(s, ErrStreamEnded)
	if err == nil || err == ErrStreamEnded || err == ErrClosed {
		return nil // or an early reply, or the end of the connection: wait tells
	}
	if mine, _ := c.pend.take(r.id); mine == nil {
		return nil
	}
	c.cancel(r.id, err)
	c.left()
	return unsent(err) // the peer starts it when its body is complete
}

func withDeadline(ctx context.Context, due time.Time) (context.Context, context.CancelFunc) {
	if due.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, due)
}

// forever is a timeout that nobody waits out; beyond it, the nanoseconds of a
// deadline would overflow.
const forever = 100 * 365 * 24 * time.Hour

// shortLeft is the time left below which the clock is read again.
const shortLeft = 10 * time.Millisecond

// timeLeft gives the time until the call's deadline; 0 without one.
func (c *Conn) timeLeft(req *Request) (time.Duration, error) {
	if req.Deadline.IsZero() {
		return 0, nil
	}
	left := req.Left
	if left < shortLeft { // it may have passed since
		left = time.Until(req.Deadline)
	}
	if left <= 0 {
		return 0, unsent(context.DeadlineExceeded)
	}
	return left, nil
}

// register puts r into the pending table and gives the number waiting with it.
// It is called under the writer's lock, so that ids grow in the order of the
// stream, which is what a goaway relies on. left is the time until r's deadline, if
// it has one.
func (c *Conn) register(r *Reply, left time.Duration) (waiting int, err error) {
	c.pend.mu.Lock()
	defer c.pend.mu.Unlock()
	switch {
	case c.pend.closed:
		return 0, ErrClosed
	case c.goaway.Load():
		return 0, ErrShutdown
	case c.pend.n >= c.maxCalls:
		return 0, ErrTooManyCalls
	}
	c.pend.addLocked(r, left)
	return c.pend.n, nil
}

// sent ends the connection if a write by somebody's own hand failed.
func (c *Conn) sent(err error) error {
	if err != nil {
		c.lost(err)
	}
	return err
}

// callsWait is how many times as much may be queued before calls are refused
// as before replies wait: what our own callers queue is bounded by them, too.
const callsWait = 4

// writableLocked tells why nothing can be queued now, if so.
func (c *Conn) writableLocked() error {
	if c.out.err != nil {
		return ErrClosed
	}
	if len(c.out.buf) >= callsWait*c.out.limit {
		c.ep.stats.add(WriteQueueFull, 1)
		return ErrWriteQueueFull
	}
	return nil
}

// checkSize refuses a call that the peer would not take.
func (c *Conn) checkSize(req *Request) error {
	if !c.fits(len(req.Method), &req.Meta, len(req.Body)) {
		c.ep.stats.add(BodiesTooLarge, 1)
		return unsent(ErrBodyTooLarge)
	}
	return nil
}

// fits tells whether the peer takes a call or reply with these parts; m may be
// nil.
func (c *Conn) fits(method int, m *Meta, body int) bool {
	return headerBound(method, m) <= wire.MaxHeader && body <= c.maxBody && (m == nil || len(m.User) <= wire.MaxPairs)
}

// headerBound is the most bytes that a header with these parts can take; m may
// be nil.
func headerBound(method int, m *Meta) int {
	const fixed, perString = 128, 5
	if m == nil {
		return fixed + method
	}
	n := fixed + method + len(m.Owner) + len(m.Message) + len(m.Key) + len(m.CallerName)
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
	c.controlLocked(byFlusher, build)
}

// controlLocked queues a small frame and gives the writer's lock up.
func (c *Conn) controlLocked(who release, build func([]byte) []byte) {
	from := len(c.out.buf)
	buf, at := wire.Begin(c.out.buf)
	c.out.buf = wire.End(build(buf), at)
	_ = c.sent(c.out.releaseLocked(from, who))
}

// sweepCalls ends the calls whose deadline has passed, and looks after a peer that
// leaves calls unanswered.
func (c *Conn) sweepCalls() {
	late, found := c.pend.expired()
	for _, r := range late {
		c.cancel(r.id, errDeadline)
		if c.cutShort(r) {
			r.finish(unsent(errDeadline))
		} else {
			r.finish(errDeadline)
		}
	}
	if found != nothing {
		c.heed(found)
	}
	c.left()
}

// cutShort reports whether the request of a call that has ended was in the middle of its body. No
// more of it is sent.
func (c *Conn) cutShort(r *Reply) bool {
	if r.sending == nil || r.stream != nil {
		return false
	}
	c.stopSender(r.sending, ErrStreamEnded)
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return r.end == never
}

// Notify sends a one-way call: no reply, no word whether it arrived. An error
// says that it was not sent. Its body is at most one chunk (wire.MaxInline).
func (c *Conn) Notify(req *Request) error {
	if err := c.checkSize(req); err != nil {
		return err
	}
	if len(req.Body) > wire.MaxInline {
		c.ep.stats.add(BodiesTooLarge, 1)
		return unsent(ErrBodyTooLarge)
	}
	left, err := c.timeLeft(req)
	if err != nil {
		return err
	}
	c.out.mu.Lock()
	err = c.writableLocked()
	if err == nil && c.goaway.Load() {
		err = ErrShutdown
	}
	if err != nil {
		c.out.mu.Unlock()
		return unsent(err)
	}
	c.life.active.Store(c.ep.tick.Load())
	from := len(c.out.buf)
	buf, at := wire.Begin(c.out.buf)
	buf = wire.AppendRequest(buf, wire.KindNotify, 0, req.Method, &req.Meta, left, 0)
	c.out.buf = wire.End(append(buf, req.Body...), at)
	_ = c.sent(c.out.releaseLocked(from, byFlusher))
	return nil
}
