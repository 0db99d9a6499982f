package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// reply queues a reply and takes the call off the list of those being served.
// It waits for room when the peer does not read. The call counts as being
// served until its reply is queued: else drain could end the connection first,
// and calls that wait for room would escape the limit.
func (c *Conn) reply(in *Incoming, code uint64, meta *Meta, body []byte) error {
	// Data frames of a stream are its messages, so its status has no parts.
	if !c.fits(0, meta, len(body)) || in.stream != nil && len(body) > wire.MaxInline {
		c.ep.stats.add(BodiesTooLarge, 1)
		limit := c.maxBody
		if in.stream != nil {
			limit = min(limit, MaxStreamDetail)
		}
		code, meta, body = CodeResourceExhausted, hopeless(ReplyTooLong(len(body), limit)), nil
	}
	if len(body) > wire.MaxInline {
		if in.inline {
			return c.replyLongInline(in, code, meta, body)
		}
		code, meta, body = c.replyInParts(in, code, meta, body)
	}
	if in.inline {
		return c.replyInline(in, code, meta, body)
	}
	c.out.mu.Lock()
	_ = c.awaitTurnLocked(context.Background(), time.Time{}, body)
	err := c.out.waitRoomLocked(context.Background())
	left := c.serving.done(in)
	c.ep.served.Add(-1)
	if err != nil {
		c.out.mu.Unlock()
		return ErrClosed
	}
	if c.out.directLocked(body) {
		err = c.directReplyLocked(in, code, meta, body)
	} else {
		from := c.appendReplyLocked(in, code, meta, body)
		who := byFlusher
		if left == 0 && !c.busy.Load() {
			who = byCaller
		}
		err = c.sent(c.out.releaseLocked(from, who))
	}
	if left == 0 {
		c.serving.settled()
		c.left()
	}
	return err
}

// replyInline queues a reply that the reader will write with the others of its
// batch.
func (c *Conn) replyInline(in *Incoming, code uint64, meta *Meta, body []byte) error {
	c.out.mu.Lock()
	if c.out.err != nil {
		c.out.mu.Unlock()
		return ErrClosed
	}
	if c.out.directLocked(body) && !c.out.poked {
		return c.directReplyLocked(in, code, meta, body)
	}
	from := c.appendReplyLocked(in, code, meta, body)
	return c.sent(c.out.releaseLocked(from, byReader))
}

// directReplyLocked writes a reply whose body is worth no copy.
func (c *Conn) directReplyLocked(in *Incoming, code uint64, meta *Meta, body []byte) error {
	buf, at := wire.Begin(make([]byte, 0, headerBound(0, meta)))
	buf = wire.EndSplit(wire.AppendReply(buf, in.id, code, meta), at, len(body))
	return c.sent(c.out.writeDirectLocked(buf, body))
}

func (c *Conn) appendReplyLocked(in *Incoming, code uint64, meta *Meta, body []byte) (from int) {
	c.out.makeRoomLocked(len(body) + headerBound(0, meta))
	from = len(c.out.buf)
	buf, at := wire.Begin(c.out.buf)
	buf = wire.AppendReply(buf, in.id, code, meta)
	c.out.buf = wire.End(append(buf, body...), at)
	return from
}

// replyInParts sends a long body ahead of its reply frame. It gives what the
// frame is to say: that the body came before, or what went wrong.
func (c *Conn) replyInParts(in *Incoming, code uint64, meta *Meta, body []byte) (uint64, *Meta, []byte) {
	s := c.newSender(in.id)
	c.addSender(s)
	_, err := c.sendBody(in.Context(), s, body)
	c.stopSender(s, ErrStreamEnded)
	if err != nil {
		return codeOf(err), message("the reply could not be sent: " + err.Error()), nil
	}
	var m Meta
	if meta == nil {
		m.Partition = NoPartition
	} else {
		m = *meta
	}
	m.Length = uint64(len(body))
	return code, &m, nil
}

// replyLongInline answers an inline call whose reply is too long for one frame.
// The reader cannot wait for credit, which it would have to read itself, so
// somebody else sends a copy.
func (c *Conn) replyLongInline(in *Incoming, code uint64, meta *Meta, body []byte) error {
	long := &Incoming{conn: c, id: in.id, started: true, Due: in.Due}
	c.serving.adopt(long)
	c.ep.served.Add(1)
	if meta != nil {
		copied := *meta
		meta = &copied
	}
	body = append([]byte(nil), body...)
	c.loops.Go(func() { _ = long.Reply(code, meta, body) })
	return nil
}

// codeOf gives the status that a failure to send is told by.
func codeOf(err error) uint64 {
	switch err {
	case context.DeadlineExceeded:
		return CodeDeadlineExceeded
	case context.Canceled:
		return CodeCanceled
	}
	return CodeUnavailable
}

// ReplyTooLong is what the caller of a method is told instead of a reply, or of an error's detail,
// that is longer than it takes; both lengths are in bytes.
func ReplyTooLong(length, limit int) string {
	return fmt.Sprintf("the reply (%d bytes) exceeds the caller's limit of %d bytes", length, limit)
}

func message(text string) *Meta {
	return &Meta{Partition: NoPartition, Message: []byte(text)}
}

// hopeless is message for what would be refused again, however often it is tried.
func hopeless(text string) *Meta {
	m := message(text)
	m.Pushback = wire.NeverAgain
	return m
}

// refusal is the meta of a reply to a call that was not executed.
func refusal(text string) *Meta {
	return &Meta{Partition: NoPartition, Message: []byte(text), Refused: true}
}

// accept admits a call, a one-way call or a stream, and has it served: by a
// worker or, if the Handler says that it never blocks, here.
func (c *Conn) accept(frame []byte) error {
	c.reader.used = true
	in := c.reader.next
	if in == nil {
		in = c.ep.getIncoming(c)
	}
	c.reader.next = nil
	body, err := wire.Parse(frame, &in.head)
	if err != nil {
		c.ep.putIncoming(in)
		return err
	}
	in.id = in.head.ID
	in.oneWay = in.head.Kind == wire.KindNotify
	in.Method, in.Meta, in.Body = in.head.Method, &in.head.Meta, body
	if in.Meta.Timeout > 0 {
		in.Due = c.reader.now.Add(in.Meta.Timeout)
	}
	in.inline = c.runsInline(in)
	if !in.inline {
		in.keep(frame)
	}
	if err := c.admit(in); err != nil {
		id, kind := in.id, in.head.Kind
		c.ep.putIncoming(in)
		return c.notAdmitted(id, kind, err)
	}
	c.ep.stats.add(CallsReceived, 1)
	if in.stream != nil {
		c.ep.stats.add(StreamsOpened, 1)
		c.addSender(in.stream.out) // the caller may widen its window at once
	}
	switch {
	case in.inline:
		c.reader.inline = true
		c.serve(in)
		c.reader.next = in
	case in.parts == nil:
		c.ep.workers.run(in)
	}
	return nil
}

// runsInline tells whether a call can be served on the reader.
func (c *Conn) runsInline(in *Incoming) bool {
	return c.ep.inliner != nil && in.head.Kind != wire.KindOpen && in.Meta.Length == 0 &&
		c.ep.inliner.Inline(in) && !c.out.crowded.Load()
}

// keep copies the frame that a call came in, because the reader goes on.
func (in *Incoming) keep(frame []byte) {
	if len(frame) > keepFrame {
		in.frame = in.conn.ep.buffers.get(len(frame))
	}
	in.frame = append(in.frame[:0], frame...)
	in.Body, _ = wire.Parse(in.frame, &in.head)
	in.Method, in.Meta = in.head.Method, &in.head.Meta
}

// admit checks a call against the limits and registers it. On an error nothing
// of it is left but, where it is the peer's to have been refused, its id.
func (c *Conn) admit(in *Incoming) error {
	if err := c.admitBody(in); err != nil {
		return c.skipped(in, err)
	}
	if in.head.Kind == wire.KindOpen {
		in.stream = newServerStream(c, in)
	}
	in.started = in.parts == nil
	if in.inline { // it is over before anything else is read
		return c.serving.admit(in, c.ep.cfg.MaxCalls, true)
	}
	var err error
	if c.ep.served.Add(1) > int64(c.ep.cfg.MaxServed) {
		err = c.skipped(in, ErrTooManyServed)
	} else {
		err = c.serving.admit(in, c.ep.cfg.MaxCalls, false)
	}
	if err != nil {
		c.ep.served.Add(-1)
		c.unreserve(in.declared())
	}
	return err
}

// admitBody checks the length of a request, and makes room for a body that is
// to come in parts.
func (c *Conn) admitBody(in *Incoming) error {
	limits, n := &c.ep.cfg.Limits, in.Meta.Length
	switch {
	case n > 0 && (in.head.Kind != wire.KindCall || len(in.Body) > 0):
		return ErrBodyLength
	case n > uint64(limits.MaxBody) || len(in.Body) > limits.MaxBody:
		return ErrBodyTooLarge
	case n == 0:
		return nil
	case !c.reserve(int64(n)):
		return ErrTooManyBytes
	}
	in.parts = &inbound{total: int(n), left: c.ownWindow}
	in.parts.tick.Store(c.ep.tick.Load())
	return nil
}

// incompleteShare is the part of MaxIncomplete that one connection may take, so
// that one which brings nothing does not shut the others out.
const incompleteShare = 4

// reserve makes room for n bytes of a request that is to come in parts.
func (c *Conn) reserve(n int64) bool {
	most := int64(c.ep.cfg.MaxIncomplete)
	mine := c.incomplete.Add(n) <= max(most/incompleteShare, int64(c.ep.cfg.MaxBody))
	if all := c.ep.incomplete.Add(n) <= most; mine && all {
		return true
	}
	c.unreserve(int(n))
	return false
}

// unreserve gives back what reserve gave.
func (c *Conn) unreserve(n int) {
	c.incomplete.Add(-int64(n))
	c.ep.incomplete.Add(-int64(n))
}

// declared is the length of a body in parts.
func (in *Incoming) declared() int {
	if in.parts == nil {
		return 0
	}
	return in.parts.total
}

// skipped uses up the id of a call that is refused for the given reason.
func (c *Conn) skipped(in *Incoming, why error) error {
	if err := c.serving.skip(in); err != nil {
		return err
	}
	return why
}

// notAdmitted answers a call that was not admitted, if an answer is due. The
// error it gives is one that ends the connection. It runs on the reader, so it
// does not wait for room: a peer that floods and does not read gets no answer.
func (c *Conn) notAdmitted(id uint64, kind wire.Kind, err error) error {
	switch err {
	case ErrTooManyCalls, ErrTooManyServed, ErrTooManyBytes:
		c.ep.stats.add(CallsOverLimit, 1)
	case ErrBodyTooLarge:
		c.ep.stats.add(BodiesTooLarge, 1)
	case ErrShutdown:
		return nil // above the last id of our goaway: the peer knows that it never ran
	default:
		return err
	}
	if kind != wire.KindNotify {
		meta := refusal(err.Error())
		if err == ErrBodyTooLarge {
			meta.Pushback = wire.NeverAgain
		}
		c.control(func(buf []byte) []byte {
			return wire.AppendReply(buf, id, CodeResourceExhausted, meta)
		})
	}
	return nil
}

// serve runs one admitted call. It does not return if the Handler ends its goroutine
// (runtime.Goexit), but the call is over all the same.
func (c *Conn) serve(in *Incoming) {
	defer c.served(in)
	if in.parts != nil {
		in.Body = in.parts.join()
	}
	if !in.inline && !in.Due.IsZero() && !time.Now().Before(in.Due) {
		c.ep.stats.add(CallsExpired, 1)
		_ = in.Reply(CodeDeadlineExceeded, refusal("the deadline passed before the call could start"), nil)
		return
	}
	c.ep.cfg.Handler.ServeCall(in)
}

// served ends a call that serve has run.
func (c *Conn) served(in *Incoming) {
	if !in.replied {
		_ = in.Reply(CodeInternal, message("the handler gave no reply"), nil)
	}
	if in.stream != nil {
		in.stream.discard()
	}
	if in.parts != nil {
		c.unreserve(in.declared())
	}
	if in.inline {
		if in.own {
			in.ctx.end(context.Canceled)
		}
		in.reset() // the reader uses it again
		return
	}
	if in.oneWay {
		if in.ctx != nil {
			in.ctx.end(context.Canceled)
		}
		c.ep.served.Add(-1)
		if c.serving.done(in) == 0 {
			c.serving.settled()
			c.left()
		}
	}
	c.ep.putIncoming(in)
}

// abandon ends a call that was admitted and never started, because its body
// will not be complete.
func (c *Conn) abandon(in *Incoming) {
	c.ep.served.Add(-1)
	c.unreserve(in.declared())
	c.serving.settled()
}

// cancelled handles a cancel frame: the caller of a call that is served here
// gives up. One that is not served any more is none of our business.
func (c *Conn) cancelled(id, code uint64) {
	if in := c.serving.cancel(id, causeOf(code)); in != nil {
		c.abandon(in)
		c.left()
	}
}

// causeOf gives the error of a context that a cancel frame ends.
func causeOf(code uint64) error {
	if code == CodeDeadlineExceeded {
		return context.DeadlineExceeded
	}
	return context.Canceled
}
