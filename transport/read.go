package transport

import (
	"context"
	"io"

	"github.com/meshnode/meshnode/internal/wire"
)

const (
	minReadBuffer = 4 << 10
	maxReadBuffer = 64 << 10
)

// frameReader cuts a stream into frames. The buffer grows to maxReadBuffer as
// the stream fills it; a longer frame gets memory of its own that grows as its
// bytes arrive, so that a declared length alone costs nothing.
type frameReader struct {
	r     io.Reader
	limit int // largest frame, without its length
	buf   []byte
	pos   int // start of what is unread
	end   int // end of what has been read
}

// ready tells whether a whole frame is buffered, so that next won't block.
func (f *frameReader) ready() bool {
	have := f.end - f.pos
	return have >= wire.Prefix && have-wire.Prefix >= wire.Length(f.buf[f.pos:])
}

// next gives the next frame without its length. If owned, the slice is the
// caller's; else it is valid until the following call. Errors: ErrFrameTooLarge,
// io.EOF between frames, io.ErrUnexpectedEOF inside one, and the stream's own.
func (f *frameReader) next() (frame []byte, owned bool, err error) {
	if err := f.fill(wire.Prefix); err != nil {
		return nil, false, err
	}
	n := wire.Length(f.buf[f.pos:])
	if n > f.limit {
		return nil, false, ErrFrameTooLarge
	}
	if n > maxReadBuffer-wire.Prefix {
		f.pos += wire.Prefix
		frame, err := f.large(n)
		return frame, true, err
	}
	if err := f.fill(wire.Prefix + n); err != nil {
		return nil, false, noEOF(err)
	}
	start := f.pos + wire.Prefix
	f.pos = start + n
	return f.buf[start:f.pos], false, nil
}

// fill reads until n bytes are buffered.
func (f *frameReader) fill(n int) error {
	if f.end-f.pos >= n {
		return nil
	}
	f.makeRoom(n)
	for f.end-f.pos < n {
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

// makeRoom moves what is unread to the front of a buffer of at least n bytes.
func (f *frameReader) makeRoom(n int) {
	size := max(len(f.buf), minReadBuffer)
	if f.end == len(f.buf) {
		// The last read filled the buffer: the stream is fast.
		size = min(2*size, maxReadBuffer)
	}
	for size < n {
		size *= 2
	}
	if size > len(f.buf) {
		bigger := make([]byte, size)
		f.end = copy(bigger, f.buf[f.pos:f.end])
		f.buf, f.pos = bigger, 0
		return
	}
	if f.pos > 0 {
		f.end = copy(f.buf, f.buf[f.pos:f.end])
		f.pos = 0
	}
}

// large reads a frame of n bytes into memory of its own.
func (f *frameReader) large(n int) ([]byte, error) {
	frame := make([]byte, 0, min(n, maxReadBuffer))
	have := min(n, f.end-f.pos)
	frame = append(frame, f.buf[f.pos:f.pos+have]...)
	f.pos += have
	for len(frame) < n {
		if len(frame) == cap(frame) {
			bigger := make([]byte, len(frame), min(n, 2*cap(frame)))
			copy(bigger, frame)
			frame = bigger
		}
		got, err := f.r.Read(frame[len(frame):cap(frame)])
		frame = frame[:len(frame)+got]
		if err != nil && len(frame) < n {
			return nil, noEOF(err)
		}
	}
	return frame, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readLoop hands out frames until the stream or the protocol ends.
func (c *Conn) readLoop() error {
	f := frameReader{r: c.nc, limit: c.ep.cfg.MaxFrame}
	for {
		if !f.ready() {
			c.reading.Store(false)
		}
		frame, owned, err := f.next()
		if err == nil {
			c.reading.Store(true)
			c.out.unanswered.Store(0)
			err = c.dispatch(frame, owned)
		} else if err != ErrFrameTooLarge {
			return err
		}
		if err != nil {
			c.protocolError(err)
			return err
		}
	}
}

// dispatch acts on one frame.
func (c *Conn) dispatch(frame []byte, owned bool) error {
	kind, err := wire.PeekKind(frame)
	if err != nil {
		return err
	}
	switch kind {
	case wire.KindCall, wire.KindNotify:
		return c.accept(frame, owned)
	case wire.KindReply:
		return c.deliver(frame, owned)
	}
	var h wire.Header
	body, err := wire.Parse(frame, &h)
	if err != nil {
		return err
	}
	switch kind {
	case wire.KindCancel:
		c.serving.cancel(h.ID, causeOf(h.Code))
	case wire.KindPing:
		c.control(func(buf []byte) []byte { return wire.AppendPong(buf, h.Code) })
	case wire.KindPong:
		c.pings.pong(h.Code)
	case wire.KindGoAway:
		c.gone(h.ID, reason(h.Code).err(printable(body)))
	default:
		return ErrUnexpectedFrame
	}
	return nil
}

// causeOf gives the error of a context that a cancel frame ends.
func causeOf(code uint64) error {
	if code == CodeDeadlineExceeded {
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// deliver gives a reply to its caller, who parses it.
func (c *Conn) deliver(frame []byte, owned bool) error {
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
	if owned {
		r.frame = frame
	} else {
		r.frame = append(r.frame[:0], frame...)
	}
	r.finish(nil)
	if c.goaway.Load() {
		c.left()
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
