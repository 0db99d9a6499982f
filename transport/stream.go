package transport

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Stream is a call with many messages each way. One goroutine may send while
// another receives; neither half is safe for several at once.
//
// Invariant: out and in end separately. ended is set once, when the status is
// known: on the caller's side by the reply, a cancel, the deadline or the
// connection's end; on the server's by Incoming.Reply or the caller's cancel.
type Stream struct {
	conn *Conn
	out  *sender
	in   recvQueue

	receiving atomic.Int32    // recvIdle and so on
	ctx       context.Context // of sends; ends with the stream
	cancel    context.CancelCauseFunc
	watching  watching

	// Of the caller's side.
	reply    *Reply
	accepted chan struct{} // capacity 1

	// Of the server's side.
	call *Incoming
}

func newStream(c *Conn, id uint64) *Stream {
	s := &Stream{conn: c, out: c.newStreamSender(id)}
	s.in.init(c, s.out)
	return s
}

func newServerStream(c *Conn, in *Incoming) *Stream {
	s := newStream(c, in.id)
	s.call = in
	return s
}

// Open opens a stream and waits until the peer has accepted it, refused it
// (with a Reply whose Code is not 0, and no stream), or ended. ctx and
// req.Deadline bound the stream's whole life; on their end the peer is told.
// Errors are those of Call.
func (c *Conn) Open(ctx context.Context, req *Request) (*Stream, *Reply, error) {
	r := c.ep.getReply(c)
	s := newStream(c, 0)
	s.reply, r.stream, s.accepted = r, s, make(chan struct{}, 1)
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	if err := c.startStream(ctx, r, s, req); err != nil {
		s.fail(err)
		c.ep.putReply(r)
		return nil, nil, err
	}
	s.watching.start(ctx, func() { s.abort(ctx.Err()) })
	var late <-chan time.Time
	if req.Accept > 0 {
		timer := time.NewTimer(req.Accept)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-s.accepted:
		return s, nil, nil
	case <-late:
		s.abort(context.DeadlineExceeded)
		<-r.done
	case <-r.done:
	}
	select { // both may have come
	case <-s.accepted:
		r.done <- struct{}{}
		return s, nil, nil
	default:
	}
	s.Close()
	if r.err != nil {
		return nil, nil, r.err
	}
	if err := r.parse(); err != nil {
		return nil, nil, err
	}
	if r.Code == CodeOK {
		r.Code, r.Meta = CodeInternal, message("the peer ended the stream without accepting it")
	}
	return nil, r, nil
}

// startStream queues the open frame.
func (c *Conn) startStream(ctx context.Context, r *Reply, s *Stream, req *Request) error {
	if err := c.checkSize(req); err != nil {
		return err
	}
	if len(req.Body) > wire.MaxInline {
		return unsent(ErrBodyTooLarge) // what is long goes by messages
	}
	r.sending = s.out
	err := c.queueCall(ctx, r, req, asOpen)
	if err == nil {
		c.ep.stats.add(StreamsOpened, 1)
	}
	return err
}

// Accept tells the caller that the stream is served here. Nothing can be sent
// or received before. It is called once, on the server's side.
func (s *Stream) Accept() {
	c := s.conn
	s.ctx = s.call.Context()
	s.watching.start(s.ctx, func() { s.fail(s.ctx.Err()) })
	credit := s.in.widen()
	c.out.mu.Lock()
	if c.out.err != nil {
		c.out.mu.Unlock()
		return
	}
	c.controlLocked(byFlusher, func(buf []byte) []byte { return wire.AppendWindow(buf, s.out.id, uint64(credit)) })
}

// Send sends a message and waits while the peer's window is full. msg is not
// used after it has returned. Errors: ErrStreamEnded when the other side has
// ended the stream (Recv then says how), ErrBodyTooLarge, ErrStalled,
// ErrClosed, and that of the context. After an error in the middle of a
// message nothing more can be sent.
func (s *Stream) Send(msg []byte) error {
	c := s.conn
	if len(msg) > c.maxBody {
		c.ep.stats.add(BodiesTooLarge, 1)
		return ErrBodyTooLarge
	}
	rest, err := c.sendBody(s.ctx, s.out, msg)
	if err != nil && len(rest) < len(msg) {
		c.stopSender(s.out, err) // the next message would be taken for the rest
	}
	return s.sendError(err)
}

// MaxMessage is how many bytes a message to the peer may have.
func (s *Stream) MaxMessage() int { return s.conn.maxBody }

func (s *Stream) sendError(err error) error {
	if err != nil && errors.Is(err, context.Canceled) && s.cancel != nil {
		return context.Cause(s.ctx)
	}
	return err
}

// CloseSend says that no more messages come from this side, the caller's. On
// the server's it does nothing: its side ends with the reply.
func (s *Stream) CloseSend() error {
	if s.call != nil {
		return nil
	}
	c := s.conn
	c.out.mu.Lock()
	if c.out.err != nil || s.out.err != nil {
		c.out.mu.Unlock()
		return nil
	}
	s.out.err = ErrSendClosed
	delete(c.flow.senders, s.out.id)
	c.controlLocked(byFlusher, func(buf []byte) []byte { return wire.AppendHalfClose(buf, s.out.id) })
	return nil
}

// Recv gives the next message, valid until the following call. io.EOF: the
// other side has sent its last one; on the caller's side Status then says how
// the stream ended. io.ErrUnexpectedEOF, on the server's side: the caller has
// stopped in the middle of a message. Other errors say why nothing more comes.
func (s *Stream) Recv() ([]byte, error) {
	if !s.receiving.CompareAndSwap(recvIdle, recvBusy) {
		return nil, ErrStreamEnded // closed
	}
	defer func() {
		if !s.receiving.CompareAndSwap(recvBusy, recvIdle) {
			s.in.discard() // Close left it to us
		}
	}()
	for {
		msg, state, err := s.in.next(s.conn.ep.cfg.MaxBody)
		switch state {
		case recvReady:
			return msg, nil
		case recvEnded:
			if s.in.midway && s.call != nil {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, io.EOF
		case recvFailed:
			if err == ErrBodyTooLarge {
				s.conn.ep.stats.add(BodiesTooLarge, 1)
				s.abort(err)
			}
			return nil, err
		}
		<-s.in.wake
	}
}

// Status is the reply that ended the stream, on the caller's side, after Recv
// has given io.EOF. It is valid until Close.
func (s *Stream) Status() (*Reply, error) {
	if s.reply.err != nil {
		return nil, s.reply.err
	}
	return s.reply, s.reply.parse()
}

// Close lets go of the stream, on the caller's side. One that has not ended is
// cancelled; a Send or Recv under way returns, and later ones fail. It must be
// called, and may be more than once.
func (s *Stream) Close() {
	s.abort(context.Canceled)
	s.discard()
}

// The states of receiving.
const (
	recvIdle   = iota
	recvBusy   // somebody is in Recv
	recvClosed // nobody is any more, or the one who is will discard what is left
)

// discard drops what was not received.
func (s *Stream) discard() {
	s.conn.stopSender(s.out, ErrStreamEnded)
	if s.receiving.Swap(recvClosed) == recvIdle {
		s.in.discard()
	}
}

// abort ends a stream from here, if it has not ended: on the caller's side the
// peer is told.
func (s *Stream) abort(why error) {
	if s.call != nil {
		s.fail(why)
		return
	}
	c := s.conn
	r, _ := c.pend.take(s.out.id)
	if r == nil {
		return
	}
	c.cancel(r.id, why)
	r.finish(why)
	c.left()
}

// fail ends both halves for the given reason.
func (s *Stream) fail(why error) {
	s.watching.stop()
	s.conn.stopSender(s.out, why)
	if s.cancel != nil {
		s.cancel(why)
	}
	s.in.fail(why)
}

// replied ends the server's side, before its reply is queued: nothing of the
// stream may come behind that.
func (s *Stream) replied() {
	s.fail(ErrStreamEnded)
}

// finished handles the end of the caller's side: by a reply, or by err.
func (s *Stream) finished(err error) {
	if err != nil {
		s.fail(err)
		return
	}
	s.watching.stop()
	s.conn.stopSender(s.out, ErrStreamEnded)
	s.cancel(ErrStreamEnded)
	s.in.end(true)
}

// halfClosed handles a half-close frame.
func (c *Conn) halfClosed(id uint64) error {
	s, _, known := c.serving.receiver(id)
	if !known || id&1 != c.serving.odd {
		return ErrUnexpectedFrame
	}
	if s != nil {
		s.in.end(false)
	}
	return nil
}

// windowFrame handles a window frame: credit or, on a stream that was opened
// here, by no credit at all, that the peer accepts it.
func (c *Conn) windowFrame(id, credit uint64) error {
	var s *Stream
	known := true
	switch {
	case id == 0:
	case id&1 == c.serving.odd:
		_, _, known = c.serving.receiver(id)
	default:
		s, known = c.pend.stream(id)
	}
	if !known {
		return ErrUnexpectedFrame
	}
	if credit > 0 {
		if err := c.granted(id, credit); err != nil {
			return err
		}
	}
	if s != nil {
		select {
		case s.accepted <- struct{}{}:
		default:
		}
	}
	return nil
}

// streams appends the streams that were opened here.
func (t *pending) streams(to []*Stream) []*Stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.slots {
		if r != nil && r.stream != nil {
			to = append(to, r.stream)
		}
	}
	return to
}

// streams appends the streams that the peer has opened.
func (s *serving) streams(to []*Stream) []*Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eachLocked(func(in *Incoming) {
		if in.stream != nil {
			to = append(to, in.stream)
		}
	})
	return to
}
