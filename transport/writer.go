package transport

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// smallFlush is the flush that first yields, in bytes, so that callers
	// about to queue get into the same write.
	smallFlush = 16 << 10
	// inlineWindow is how many unanswered bytes may be on their way for a
	// caller to write by itself. The socket's buffer has room for these, so
	// the write does not block.
	inlineWindow = 32 << 10
	// keepBuffer is the largest write buffer kept for reuse.
	keepBuffer = 256 << 10
)

// writer gathers frames and writes what has gathered in one go. Two buffers
// swap: one takes frames while the other is written.
//
// Invariant: frames leave in the order in which they were appended, whole, and
// at most one goroutine is in Write (busy). Whoever finds busy set leaves its
// frame in buf; whoever clears busy wakes the flusher if buf is not empty.
type writer struct {
	nc      net.Conn
	timeout time.Duration
	limit   int // most bytes in buf

	mu       sync.Mutex
	room     *sync.Cond // broadcast when buf shrinks, busy clears, or err is set
	buf      []byte
	spare    []byte
	queued   uint64 // bytes appended since the start
	handed   uint64 // bytes of these that may have reached the operating system
	busy     bool
	ending   bool // end the connection once everything is written
	err      error
	deadline time.Time // the write deadline now set on nc

	wake       chan struct{} // capacity 1: buf has something for the flusher
	unanswered atomic.Int64  // bytes written since the peer was last heard
}

func (w *writer) init(nc net.Conn, timeout time.Duration, limit int) {
	w.nc, w.timeout, w.limit = nc, timeout, limit
	w.room = sync.NewCond(&w.mu)
	w.wake = make(chan struct{}, 1)
}

// releaseLocked ends an append: the caller holds mu, has put a whole frame into buf
// and gives mu up. from is where the frame began. With alone, nothing else is
// in flight, so waiting for company is pointless and the caller writes by
// itself. The error is that of its own write; the frame's fate is then told by
// handed.
func (w *writer) releaseLocked(from int, alone bool) error {
	size := len(w.buf) - from
	w.queued += uint64(size)
	if w.busy {
		w.mu.Unlock()
		return nil
	}
	if alone && size <= smallFlush && w.unanswered.Load() < inlineWindow {
		err := w.writeLocked()
		if (len(w.buf) > 0 || w.ending) && err == nil {
			w.poke()
		}
		w.mu.Unlock()
		return err
	}
	w.mu.Unlock()
	w.poke()
	return nil
}

func (w *writer) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// endWhenWritten lets flushLoop return with ErrShutdown once nothing is left
// to write.
func (w *writer) endWhenWritten() {
	w.mu.Lock()
	w.ending = true
	w.mu.Unlock()
	w.poke()
}

// flushLoop writes what gathers until closed is closed or a write fails.
func (w *writer) flushLoop(closed <-chan struct{}) error {
	for {
		select {
		case <-w.wake:
		case <-closed:
			return nil
		}
		runtime.Gosched()
		w.mu.Lock()
		for len(w.buf) > 0 && !w.busy && w.err == nil {
			if err := w.writeLocked(); err != nil {
				w.mu.Unlock()
				return err
			}
		}
		done := w.ending && len(w.buf) == 0 && !w.busy
		w.mu.Unlock()
		if done {
			return ErrShutdown
		}
	}
}

// writeLocked writes all of buf. It gives mu up during the write; busy keeps
// others out.
func (w *writer) writeLocked() error {
	if w.err != nil {
		return w.err
	}
	out := w.buf
	w.buf, w.spare = w.spare[:0], nil
	w.busy = true
	start := w.handed
	w.handed += uint64(len(out))
	if len(out) >= w.limit {
		w.room.Broadcast()
	}
	w.setDeadlineLocked()
	w.mu.Unlock()
	n, err := w.nc.Write(out)
	w.unanswered.Add(int64(n))
	w.mu.Lock()
	w.busy = false
	if cap(out) <= keepBuffer {
		w.spare = out[:0]
	}
	if err != nil {
		w.handed = start + uint64(n)
		if w.err == nil {
			w.err = err
		}
	}
	w.room.Broadcast()
	return err
}

// setDeadlineLocked keeps the write deadline between one and one and a quarter
// timeouts ahead: setting it for each write would cost more than the write's
// own bookkeeping.
func (w *writer) setDeadlineLocked() {
	now := time.Now()
	if w.deadline.Sub(now) < w.timeout {
		w.deadline = now.Add(w.timeout + w.timeout/4)
		_ = w.nc.SetWriteDeadline(w.deadline)
	}
}

// waitRoomLocked waits until buf is below the limit. It gives mu up meanwhile.
func (w *writer) waitRoomLocked() error {
	for len(w.buf) >= w.limit && w.err == nil {
		w.room.Wait()
	}
	return w.err
}

// close lets nobody write any more; err is what they get. It returns how many
// bytes may have reached the peer.
func (w *writer) close(err error) (handed uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.room.Broadcast()
	return w.handed
}

// drain waits until all that was appended is written, or the writer is closed.
func (w *writer) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for (len(w.buf) > 0 || w.busy) && w.err == nil {
		w.room.Wait()
	}
}
