package transport

import (
	"context"
	"sync"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Handler serves the calls that peers send.
type Handler interface {
	// ServeCall answers in by in.Reply, at most once; a one-way call gets no
	// answer. It runs on a goroutine of its own and may block. in and all
	// that it gave are invalid once ServeCall has returned.
	ServeCall(in *Incoming)
}

// Incoming is one call from a peer.
type Incoming struct {
	Method []byte    // the method's name
	Meta   *Meta     // what came with it
	Body   []byte    // the encoded request, as the peer sent it
	Due    time.Time // the caller's deadline; zero: none

	conn    *Conn
	ctx     *callCtx
	oneWay  bool
	replied bool
	frame   []byte
	head    wire.Header
}

// Context ends with the caller's deadline, its cancel, the connection, Reply,
// or the return of ServeCall.
func (in *Incoming) Context() context.Context { return in.ctx }

// OneWay tells that nobody waits for a reply.
func (in *Incoming) OneWay() bool { return in.oneWay }

// Peer tells who calls.
func (in *Incoming) Peer() Identity { return in.conn.peer }

// Reply answers the call. meta may be nil. body is copied. An answer that
// exceeds the peer's limit becomes CodeResourceExhausted. The error says that
// the connection ended first.
func (in *Incoming) Reply(code uint64, meta *Meta, body []byte) error {
	if in.oneWay || in.replied {
		return nil
	}
	in.replied = true
	err := in.conn.reply(in.head.ID, code, meta, body)
	in.ctx.end(context.Canceled) // the connection's end no longer reaches it
	return err
}

func (ep *Endpoint) getIncoming(c *Conn) *Incoming {
	if in, ok := ep.calls.Get().(*Incoming); ok {
		in.conn = c
		return in
	}
	return &Incoming{conn: c}
}

func (ep *Endpoint) putIncoming(in *Incoming) {
	if cap(in.frame) > keepFrame {
		in.frame, in.head = nil, wire.Header{}
	}
	*in = Incoming{frame: in.frame, head: in.head}
	ep.calls.Put(in)
}

// reply queues a reply and takes the call off the list of those being served.
// It waits for room when the peer does not read. The call counts as being
// served until its reply is queued: else drain could end the connection first,
// and calls that wait for room would escape the limit.
func (c *Conn) reply(id, code uint64, meta *Meta, body []byte) error {
	if !c.fits(0, meta, len(body)) {
		c.ep.stats.add(FramesTooLarge, 1)
		code, body = CodeResourceExhausted, nil
		meta = message("the reply exceeds the caller's frame limit")
	}
	c.out.mu.Lock()
	err := c.out.waitRoomLocked()
	left := c.serving.done(id)
	if err != nil {
		c.out.mu.Unlock()
		return ErrClosed
	}
	from := len(c.out.buf)
	buf, at := wire.Begin(c.out.buf)
	buf = wire.AppendReply(buf, id, code, meta)
	c.out.buf = wire.End(append(buf, body...), at)
	c.sent(c.out.releaseLocked(from, left == 0 && !c.reading.Load()))
	if left == 0 {
		c.serving.settled()
		c.left()
	}
	return nil
}

func message(text string) *Meta {
	return &Meta{Partition: NoPartition, Message: []byte(text)}
}

// accept admits a call or a one-way call and gives it to a worker.
func (c *Conn) accept(frame []byte, owned bool) error {
	in := c.ep.getIncoming(c)
	if owned {
		in.frame = frame
	} else {
		in.frame = append(in.frame[:0], frame...)
	}
	body, err := wire.Parse(in.frame, &in.head)
	if err != nil {
		c.ep.putIncoming(in)
		return err
	}
	in.Method, in.Meta, in.Body = in.head.Method, &in.head.Meta, body
	in.oneWay = in.head.Kind == wire.KindNotify
	if in.Meta.Timeout > 0 {
		in.Due = time.Now().Add(in.Meta.Timeout)
	}
	in.ctx = &callCtx{due: in.Due}
	switch err := c.serving.admit(in, c.ep.cfg.MaxCalls); err {
	case nil:
		c.ep.stats.add(CallsReceived, 1)
		c.ep.workers.run(in)
		return nil
	case ErrTooManyCalls:
		c.ep.stats.add(CallsOverLimit, 1)
		if !in.oneWay {
			c.refuse(in.head.ID, CodeResourceExhausted, "too many calls in flight on this connection")
		}
	case ErrShutdown:
		// Above the last id of our goaway: the peer knows that it never ran.
	default:
		c.ep.putIncoming(in)
		return err
	}
	c.ep.putIncoming(in)
	return nil
}

// refuse answers a call that was not admitted. It runs on the reader, so it
// does not wait for room: a peer that floods and does not read gets no answer.
func (c *Conn) refuse(id, code uint64, text string) {
	c.control(func(buf []byte) []byte {
		return wire.AppendReply(buf, id, code, message(text))
	})
}

// serve runs one admitted call on a worker.
func (c *Conn) serve(in *Incoming) {
	defer c.ep.putIncoming(in)
	if !in.Due.IsZero() && !time.Now().Before(in.Due) {
		c.ep.stats.add(CallsExpired, 1)
		_ = in.Reply(CodeDeadlineExceeded, message("the deadline passed before the call could start"), nil)
	} else {
		c.ep.cfg.Handler.ServeCall(in)
		_ = in.Reply(CodeInternal, message("the handler gave no reply"), nil)
	}
	in.ctx.end(context.Canceled)
	if in.oneWay && c.serving.doneOneWay(in.ctx) == 0 {
		c.serving.settled()
		c.left()
	}
}

// serving are the calls of one connection that are being served.
//
// Invariant: ids of admitted calls only grow, so lastID in a goaway divides
// those that run from those that never will.
type serving struct {
	mu       sync.Mutex
	calls    map[uint64]*callCtx
	oneWay   map[*callCtx]struct{}
	lastID   uint64
	stopped  bool
	idleness chan struct{} // closed when stopped and empty
}

func (s *serving) init() {
	s.calls = make(map[uint64]*callCtx)
	s.oneWay = make(map[*callCtx]struct{})
	s.idleness = make(chan struct{})
}

// admit registers a call. Errors: ErrTooManyCalls, ErrShutdown, ErrDuplicateID.
func (s *serving) admit(in *Incoming, limit int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !in.oneWay && in.head.ID <= s.lastID {
		return ErrDuplicateID
	}
	if s.stopped {
		return ErrShutdown
	}
	if !in.oneWay {
		s.lastID = in.head.ID
	}
	if s.countLocked() >= limit {
		return ErrTooManyCalls
	}
	if in.oneWay {
		s.oneWay[in.ctx] = struct{}{}
	} else {
		s.calls[in.head.ID] = in.ctx
	}
	return nil
}

// done takes a call off and gives how many are left.
func (s *serving) done(id uint64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, id)
	return s.countLocked()
}

func (s *serving) doneOneWay(ctx *callCtx) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.oneWay, ctx)
	return s.countLocked()
}

func (s *serving) countLocked() int { return len(s.calls) + len(s.oneWay) }

// settled tells drain that the last reply is queued.
func (s *serving) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settledLocked()
}

func (s *serving) settledLocked() {
	if !s.stopped || s.countLocked() > 0 {
		return
	}
	select {
	case <-s.idleness:
	default:
		close(s.idleness)
	}
}

// stop admits no more calls and gives the last id that was admitted.
func (s *serving) stop() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.settledLocked()
	return s.lastID
}

// idle is closed once stop was called and no call is left.
func (s *serving) idle() <-chan struct{} { return s.idleness }

func (s *serving) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.countLocked() == 0
}

// cancel ends the context of one call, if it is still being served.
func (s *serving) cancel(id uint64, err error) {
	s.mu.Lock()
	ctx := s.calls[id]
	s.mu.Unlock()
	if ctx != nil {
		ctx.end(err)
	}
}

// closeAll ends the contexts of all calls.
func (s *serving) closeAll() {
	s.mu.Lock()
	s.stopped = true
	all := make([]*callCtx, 0, s.countLocked())
	for _, ctx := range s.calls {
		all = append(all, ctx)
	}
	for ctx := range s.oneWay {
		all = append(all, ctx)
	}
	s.mu.Unlock()
	for _, ctx := range all {
		ctx.end(context.Canceled)
	}
}
