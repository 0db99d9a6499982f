package transport

import (
	"errors"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

const (
	// minReadBuffer is what an idle connection keeps to be woken by.
	minReadBuffer = 1 << 10
	// maxReadBuffer holds the largest frame.
	maxReadBuffer = wire.Prefix + wire.MaxFrame
)

// frameReader cuts a stream into frames. The buffer grows as the stream fills
// it, so that a declared length alone costs nothing.
type frameReader struct {
	r     io.Reader
	limit int // largest frame, without its length; at most wire.MaxFrame
	buf   []byte
	pos   int // start of what is unread
	end   int // end of what has been read
}

// ready tells whether a whole frame is buffered, so that next won't block.
func (f *frameReader) ready() bool {
	have := f.end - f.pos
	return have >= wire.Prefix && have-wire.Prefix >= wire.Length(f.buf[f.pos:])
}

// next gives the next frame without its length, valid until the following call.
// Errors: ErrFrameTooLarge, io.EOF between frames, io.ErrUnexpectedEOF inside
// one, and the stream's own, after which the same call may be made again if
// the stream goes on.
func (f *frameReader) next() (frame []byte, err error) {
	if err := f.fill(wire.Prefix); err != nil {
		return nil, err
	}
	n := wire.Length(f.buf[f.pos:])
	if n > f.limit {
		return nil, ErrFrameTooLarge
	}
	if err := f.fill(wire.Prefix + n); err != nil {
		return nil, noEOF(err)
	}
	start := f.pos + wire.Prefix
	f.pos = start + n
	return f.buf[start:f.pos], nil
}

// fill reads until n bytes are buffered.
func (f *frameReader) fill(n int) error {
	for f.end-f.pos < n {
		f.makeRoom()
		got, err := f.r.Read(f.buf[f.end:])
		f.end += got
		if err != nil && f.end-f.pos < n {
			if f.end > f.pos {
				return noEOF(err)
			}
			return err
		}
	}
	return nil
}

// makeRoom makes room behind what is unread: the buffer doubles once it has
// been full, which tells that the stream is fast or the frame long.
func (f *frameReader) makeRoom() {
	if f.end == len(f.buf) && len(f.buf) < maxReadBuffer {
		bigger := make([]byte, min(max(2*len(f.buf), minReadBuffer), maxReadBuffer))
		f.end = copy(bigger, f.buf[f.pos:f.end])
		f.buf, f.pos = bigger, 0
		return
	}
	if f.pos > 0 {
		f.end = copy(f.buf, f.buf[f.pos:f.end])
		f.pos = 0
	}
}

// rest lets go of a large buffer that holds nothing.
func (f *frameReader) rest() {
	if f.pos == f.end && len(f.buf) > minReadBuffer {
		f.buf, f.pos, f.end = make([]byte, minReadBuffer), 0, 0
	}
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readLoop hands out frames until the stream or the protocol ends.
func (c *Conn) readLoop(f *frameReader) error {
	for {
		if !f.ready() {
			if err := c.beforeRead(); err != nil {
				return err
			}
		}
		frame, err := f.next()
		if errors.Is(err, os.ErrDeadlineExceeded) { // tend woke us
			f.rest()
			_ = c.nc.SetReadDeadline(time.Time{})
			c.life.readBuffer.Store(int64(len(f.buf)))
			continue
		}
		if err == nil {
			c.afterRead(f)
			err = c.dispatch(frame)
		} else if err != ErrFrameTooLarge {
			return err
		}
		if err != nil {
			c.protocolError(err)
			return err
		}
	}
}

// beforeRead is what the reader does before it may block.
func (c *Conn) beforeRead() error {
	c.reader.inBatch = false
	c.busy.Store(false)
	if c.reader.used {
		c.reader.used = false
		c.life.active.Store(c.ep.tick.Load())
	}
	if c.reader.inline {
		c.reader.inline = false
		if c.serving.inlineDone() {
			c.left()
		}
	}
	err := c.out.flushByReader()
	// Whom we woke goes first, and does not wait for us to find that there is
	// nothing to read. With one call at a time it also keeps both ends on one
	// thread, where they would wake each other's: a quarter of the round trip.
	runtime.Gosched()
	return err
}

// afterRead notes that a batch of frames has come.
func (c *Conn) afterRead(f *frameReader) {
	if c.reader.inBatch {
		return
	}
	c.reader.inBatch = true
	c.busy.Store(f.ready())
	c.reader.now = time.Now()
	c.life.heard.Store(c.ep.tick.Load())
	// Of two reads at one tick of a coarse clock, the second must be seen, too.
	c.reader.heard = max(int64(c.reader.now.Sub(c.ep.start)), c.reader.heard+1)
	c.life.heardAt.Store(c.reader.heard)
	c.out.unanswered.Store(0)
	c.life.readBuffer.Store(int64(len(f.buf)))
}

// dispatch acts on one frame.
func (c *Conn) dispatch(frame []byte) error {
	kind, err := wire.PeekKind(frame)
	if err != nil {
		return err
	}
	switch kind {
	case wire.KindReply:
		return c.deliver(frame)
	case wire.KindCall, wire.KindNotify, wire.KindOpen:
		return c.accept(frame)
	}
	h := &c.reader.head
	body, err := wire.Parse(frame, h)
	if err != nil {
		return err
	}
	switch kind {
	case wire.KindData:
		return c.data(h, body)
	case wire.KindHalfClose:
		return c.halfClosed(h.ID)
	case wire.KindWindow:
		return c.windowFrame(h.ID, h.Code)
	case wire.KindCancel:
		c.cancelled(h.ID, h.Code)
	case wire.KindPing:
		return c.pinged(h.Code)
	case wire.KindPong:
		c.pings.pong(h.Code)
	case wire.KindGoAway:
		said := reason(h.Code).err(printable(body))
		said.By = c.peer.Name
		c.gone(h.ID, said)
	default:
		return ErrUnexpectedFrame
	}
	return nil
}

// deliver gives a reply to its caller, who parses it.
func (c *Conn) deliver(frame []byte) error {
	id, err := wire.PeekID(frame)
	if err != nil {
		return err
	}
	r, known := c.pend.take(id)
	if r == nil {
		if !known {
			return ErrUnexpectedFrame
		}
		c.ep.stats.add(RepliesUnexpected, 1)
		return nil
	}
	c.reader.used = true
	if err := r.keep(frame, &c.reader.head); err != nil {
		r.finish(&CallError{Err: errors.Join(ErrProtocol, err)})
		return err
	}
	r.finish(nil)
	if c.goaway.Load() {
		c.left()
	}
	return nil
}

// keep copies a reply's frame. A longer body gets memory of its own, so that it
// can be given away.
func (r *Reply) keep(frame []byte, h *wire.Header) error {
	if len(frame) <= keepFrame {
		r.frame = append(r.frame[:0], frame...)
		return nil
	}
	body, err := wire.Parse(frame, h)
	if err != nil {
		return err
	}
	r.frame = append(r.frame[:0], frame[:len(frame)-len(body)]...)
	if r.into != nil {
		r.body = append((*r.into)[:0], body...)
	} else {
		r.body = append([]byte(nil), body...)
	}
	return nil
}

// maxReasonText bounds the peer's words that we repeat, in bytes.
const maxReasonText = 200

// printable keeps the printable ASCII of a peer's text, cut to a length that
// a log line bears.
func printable(b []byte) string {
	clean := make([]byte, 0, min(len(b), maxReasonText))
	for _, ch := range b {
		if len(clean) == maxReasonText {
			break
		}
		if ch >= ' ' && ch <= '~' {
			clean = append(clean, ch)
		}
	}
	return string(clean)
}
