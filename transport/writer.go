package transport

import (
	"context"
	"errors"
	"net"
	"os"
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
	// caller to write by itself on a stream that cannot be tried: its buffer
	// surely has room for these.
	inlineWindow = 32 << 10
	// readerBatch is how many bytes the reader gathers before the flusher
	// starts on them while it goes on.
	readerBatch = 128 << 10
	// keepBuffer is the largest write buffer that a busy connection keeps for
	// itself; larger ones are shared by all. An idle one keeps none.
	keepBuffer = 128 << 10
	// flushYields is how often the flusher lets others go first while the
	// reader is at work.
	flushYields = 4
	// directBody is the smallest body that is written from where it is, if
	// nobody else writes, rather than copied behind the others.
	directBody = 8 << 10
)

// release says who writes what was appended.
type release uint8

const (
	// byFlusher: the flusher does, after others had a chance to append.
	byFlusher release = iota
	// byCaller: the caller itself, because nothing else is in flight.
	byCaller
	// byReader: the reader, which appended, does so before it blocks.
	byReader
)

// writer gathers frames and writes what has gathered in one go. Two buffers
// swap: one takes frames while the other is written.
//
// Invariant: frames leave in the order in which they were appended, whole, and
// at most one goroutine is in Write (busy). Whoever finds busy set leaves its
// frame in buf; whoever clears busy wakes the flusher if buf is not empty.
type writer struct {
	nc      net.Conn
	pool    *buffers
	timeout time.Duration
	limit   int                            // most bytes in buf
	try     func(a, b []byte) (int, error) // writes without waiting; nil: nc cannot

	mu       sync.Mutex
	room     *sync.Cond // broadcast when buf shrinks, busy clears, or err is set
	buf      []byte
	spare    []byte
	queued   uint64 // bytes appended since the start
	handed   uint64 // bytes of these that may have reached the operating system
	busy     bool
	poked    bool // the flusher runs, or is about to
	waiters  int  // in room.Wait
	turns    turns
	ending   bool // end the connection once everything is written
	err      error
	deadline time.Time // the write deadline now set on nc

	reading    *atomic.Bool    // the reader hands out frames; whom it wakes may append soon
	flushers   *sync.WaitGroup // of the connection; it ends after err is set
	failed     func(error)     // told of the flusher's own failures and of the end
	unanswered atomic.Int64    // bytes written since the peer was last heard
	crowded    atomic.Bool     // so much is queued that the reader had better not add to it
}

func (w *writer) init(nc net.Conn, pool *buffers, timeout time.Duration, limit int, flushers *sync.WaitGroup, failed func(error)) {
	w.nc, w.pool, w.timeout, w.limit, w.flushers, w.failed = nc, pool, timeout, limit, flushers, failed
	w.try = tryWriter(nc)
	w.room = sync.NewCond(&w.mu)
}

// releaseLocked ends an append: the caller holds mu, has put a whole frame into
// buf and gives mu up. from is where the frame began. The error is that of a
// write of its own; the frame's fate is then told by handed.
func (w *writer) releaseLocked(from int, who release) error {
	size := len(w.buf) - from
	w.queued += uint64(size)
	if len(w.buf) >= min(w.limit/2, 2*gather) {
		w.crowded.Store(true)
	}
	if len(w.buf) < gather && w.turns.any() {
		w.turns.letGo()
	}
	switch {
	case w.busy:
	case who == byCaller && size <= smallFlush && (w.try != nil || w.unanswered.Load() < inlineWindow):
		err := w.promptLocked()
		w.mu.Unlock()
		return err
	case who == byReader && len(w.buf) < readerBatch:
	case who == byReader && w.try != nil && !w.poked:
		err := w.tryLocked(nil)
		w.mu.Unlock()
		return err
	default:
		w.pokeLocked()
	}
	w.mu.Unlock()
	return nil
}

// pokeLocked makes sure that a flusher runs. It is a goroutine that ends when
// there is nothing left to write, so that an idle connection has none.
func (w *writer) pokeLocked() {
	if w.poked || w.err != nil {
		return
	}
	w.poked = true
	w.flushers.Add(1)
	go w.flush()
}

// flushByReader writes what the reader left in buf, before it blocks, as far
// as that takes no waiting. The rest is for the flusher: two readers that wait
// for each other to read would wait forever.
func (w *writer) flushByReader() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(w.buf) == 0 || w.busy || w.poked:
	case w.try == nil:
		w.pokeLocked()
	default:
		return w.tryLocked(nil)
	}
	return nil
}

// promptLocked writes buf at once, without waiting where that can be.
func (w *writer) promptLocked() error {
	if w.try != nil {
		return w.tryLocked(nil)
	}
	return w.writeLocked()
}

// tryLocked writes buf and then body without waiting. What is not taken stays in
// buf, for the flusher.
func (w *writer) tryLocked(body []byte) error {
	if w.err != nil {
		return w.err
	}
	out, start := w.beginLocked(len(body))
	size := len(out)
	w.mu.Unlock()
	n, err := w.try(out, body)
	if errors.Is(err, os.ErrDeadlineExceeded) { // one of the flusher's, long ago
		_ = w.nc.SetWriteDeadline(time.Time{})
		w.mu.Lock()
		w.deadline = time.Time{}
		w.mu.Unlock()
		n, err = w.try(out, body)
	}
	w.unanswered.Add(int64(n))
	w.mu.Lock()
	w.busy = false
	if err != nil && w.err == nil {
		w.err = err
	}
	if n < size+len(body) {
		w.handed = start + uint64(n)
		late := w.buf
		w.buf, out = out[:copy(out, out[min(n, size):])], late
		rest := body[max(0, n-size):]
		w.makeRoomLocked(len(rest) + len(late))
		w.buf = append(append(w.buf, rest...), late...)
	}
	w.writtenLocked(out)
	return err
}

// beginLocked takes buf for a write of it and more bytes, which begins at start
// of the outgoing stream.
func (w *writer) beginLocked(more int) (out []byte, start uint64) {
	out, start = w.buf, w.handed
	w.buf, w.spare = w.spare[:0], nil
	w.busy = true
	w.handed += uint64(len(out) + more)
	if w.waiters > 0 && len(out) >= w.limit {
		w.room.Broadcast()
	}
	w.turns.letGo()
	return out, start
}

// makeRoomLocked makes sure that n more bytes fit into buf. What is large comes
// from the pool: to grow step by step costs as many copies.
func (w *writer) makeRoomLocked(n int) {
	if need := len(w.buf) + n; n >= directBody && need > cap(w.buf) {
		bigger := append(w.pool.get(max(need, 2*cap(w.buf))), w.buf...)
		w.pool.put(w.buf)
		w.buf = bigger
	}
}

// writtenLocked ends a write: out may be used again.
func (w *writer) writtenLocked(out []byte) {
	switch {
	case cap(out) > keepBuffer:
		w.pool.put(out)
	case cap(out) > cap(w.spare):
		w.spare = out[:0]
	}
	if w.err == nil && (len(w.buf) > 0 || w.ending) {
		w.pokeLocked()
	}
	if len(w.buf) < min(w.limit/2, 2*gather) && w.crowded.Load() {
		w.crowded.Store(false)
	}
	if w.waiters > 0 {
		w.room.Broadcast()
	}
}

// endWhenWritten ends the connection with ErrShutdown once nothing is left to
// write.
func (w *writer) endWhenWritten() {
	w.mu.Lock()
	w.ending = true
	w.pokeLocked()
	w.mu.Unlock()
}

// flush is the flusher: it writes what gathers until nothing is left.
func (w *writer) flush() {
	defer w.flushers.Done()
	runtime.Gosched()
	w.mu.Lock()
	for i := 0; i < flushYields && w.reading.Load() && len(w.buf) < readerBatch; i++ {
		w.mu.Unlock()
		runtime.Gosched()
		w.mu.Lock()
	}
	for len(w.buf) > 0 && !w.busy && w.err == nil {
		if err := w.writeLocked(); err != nil {
			break
		}
	}
	w.poked = false
	err := w.err
	if err == nil && w.ending && len(w.buf) == 0 && !w.busy {
		err = ErrShutdown
	}
	w.mu.Unlock()
	if err != nil {
		w.failed(err)
	}
}

// directLocked tells whether a body is better written from where it is.
func (w *writer) directLocked(body []byte) bool {
	return len(body) >= directBody && w.try != nil && !w.busy
}

// writeDirectLocked appends a frame of head and body, and writes what is taken
// at once without copying body. The caller holds mu, has asked directLocked,
// and gives mu up.
func (w *writer) writeDirectLocked(head, body []byte) error {
	w.buf = append(w.buf, head...)
	w.queued += uint64(len(head) + len(body))
	w.turns.letGo()
	err := w.tryLocked(body)
	w.mu.Unlock()
	return err
}

// writeLocked writes all of buf. It gives mu up during the write; busy keeps
// others out.
func (w *writer) writeLocked() error {
	if w.err != nil {
		return w.err
	}
	out, start := w.beginLocked(0)
	w.setDeadlineLocked()
	w.mu.Unlock()
	n, err := w.nc.Write(out)
	w.unanswered.Add(int64(n))
	w.mu.Lock()
	w.busy = false
	if err != nil {
		w.handed = start + uint64(n)
		if w.err == nil {
			w.err = err
		}
	}
	w.writtenLocked(out)
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

// waitLocked waits for a change that room tells of.
func (w *writer) waitLocked() {
	w.waiters++
	w.room.Wait()
	w.waiters--
}

// waitRoomLocked waits until buf is below the limit, or ctx ends. It gives mu up
// meanwhile.
func (w *writer) waitRoomLocked(ctx context.Context) error {
	if len(w.buf) < w.limit || w.err != nil {
		return w.err
	}
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.room.Broadcast()
	})
	defer stop()
	for len(w.buf) >= w.limit && w.err == nil && ctx.Err() == nil {
		w.waitLocked()
	}
	if w.err != nil {
		return w.err
	}
	return ctx.Err()
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
		w.waitLocked()
	}
}

// rest lets go of the buffers of a writer that has nothing to do.
func (w *writer) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf) == 0 && !w.busy {
		w.buf, w.spare = nil, nil
	}
}
