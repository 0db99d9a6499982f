package redo

import (
	"errors"
	"io"
	"slices"

	"github.com/meshnode/meshnode/internal/disk"
)

// windowChunk is how much is read at once, in bytes.
const windowChunk = 1 << 20

// window reads a file from front to back. Invariant: buf is what lies in the file
// from at on, and reaches back to where keep said.
type window struct {
	f     disk.File
	size  int64 // nothing beyond is read, even if the file grows
	buf   []byte
	at    int64
	since int64
}

// keep says that nothing before the offset will be asked for any more.
func (w *window) keep(offset int64) { w.since = offset }

// bytes gives n bytes at an offset, valid until the next call; nil if the file ends
// before.
func (w *window) bytes(offset int64, n int64) ([]byte, error) {
	if n < 0 || offset < w.since || n > w.size-offset {
		return nil, nil
	}
	if offset+n > w.at+int64(len(w.buf)) {
		if err := w.fill(offset + n); err != nil {
			return nil, err
		}
	}
	return w.buf[offset-w.at : offset-w.at+n], nil
}

// fill reads up to at least the offset end, and forgets what need not be kept.
func (w *window) fill(end int64) error {
	if drop := min(w.since-w.at, int64(len(w.buf))); drop > 0 {
		w.buf = w.buf[:copy(w.buf, w.buf[drop:])]
		w.at += drop
		if len(w.buf) == 0 {
			w.at = w.since
		}
	}
	have := len(w.buf)
	more := int(min(max(end-w.at-int64(have), windowChunk), w.size-w.at-int64(have)))
	w.buf = slices.Grow(w.buf, more)[:have+more]
	n, err := w.f.ReadAt(w.buf[have:], w.at+int64(have))
	if n == more || err == nil {
		return nil
	}
	w.buf = w.buf[:have]
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF // somebody else has cut it just now
	}
	return err
}
