package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// writerPair gives a writer and the far end. stop ends it and gives the error
// that its flusher told of.
func writerPair(buffer, limit int) (w *writer, far *memConn, stop func() error) {
	a, _ := newMemNet(0).bindLocked("127.0.0.1:1")
	near, far := newMemPair(buffer, a, a)
	w = &writer{reading: new(atomic.Bool)}
	told := make(chan error, 1)
	var flushers sync.WaitGroup
	w.init(near, new(buffers), time.Hour, limit, &flushers, func(err error) {
		select {
		case told <- err:
		default:
		}
	})
	return w, far, sync.OnceValue(func() error {
		w.close(ErrClosed)
		_ = near.Close()
		flushers.Wait()
		select {
		case err := <-told:
			return err
		default:
			return nil
		}
	})
}

// lone is a writer whose failures nobody hears of.
func lone(nc net.Conn, timeout time.Duration, limit int) *writer {
	w := &writer{reading: new(atomic.Bool)}
	w.init(nc, new(buffers), timeout, limit, new(sync.WaitGroup), func(error) {})
	return w
}

// put appends one frame as Conn does; it waits for room.
func (w *writer) put(body []byte, alone bool) error {
	w.mu.Lock()
	if err := w.waitRoomLocked(context.Background()); err != nil {
		w.mu.Unlock()
		return err
	}
	from := len(w.buf)
	buf, at := wire.Begin(w.buf)
	w.buf = wire.End(append(buf, body...), at)
	who := byFlusher
	if alone {
		who = byCaller
	}
	return w.releaseLocked(from, who)
}

// Frames of many goroutines, some written by their own hand, arrive whole, each
// goroutine's in its order, and the count of bytes handed over is exact.
func TestWriterKeepsFramesWhole(t *testing.T) {
	seed := seeded(t).Uint64()
	for _, buffer := range []int{1, 100, 64 << 10} {
		w, far, stop := writerPair(buffer, 5000)
		const authors, frames = 8, 100
		go func() {
			var wg sync.WaitGroup
			for author := range authors {
				wg.Go(func() {
					for n := range frames {
						body := fmt.Appendf(nil, "%d %d ", author, n)
						body = append(body, make([]byte, (seed>>author+uint64(n*n))%400)...)
						if err := w.put(body, n%3 == 0); err != nil {
							t.Error(err)
						}
						w.unanswered.Store(0)
					}
				})
			}
			wg.Wait()
			w.drain()
			w.endWhenWritten()
		}()
		var seen [authors]int
		total := uint64(0)
		f := frameReader{r: far, limit: wire.MaxFrame}
		for range authors * frames {
			body, err := f.next()
			if err != nil {
				t.Fatal(err)
			}
			total += uint64(len(body) + wire.Prefix)
			var author, n int
			if _, err := fmt.Sscan(string(body), &author, &n); err != nil || seen[author] != n {
				t.Fatalf("author %d: frame %d came as %.10q: %v", author, seen[author], body, err)
			}
			seen[author]++
		}
		if err := stop(); err != nil && err != ErrShutdown && err != ErrClosed {
			t.Errorf("flusher: %v", err)
		}
		same(t, "queued", w.queued, total)
		same(t, "handed", w.handed, total)
	}
}

// The flusher ends when told to, but not before all is written.
func TestEndWhenWritten(t *testing.T) {
	w, far, stop := writerPair(10, 1<<20)
	defer func() { _ = stop() }()
	for range 100 {
		if err := w.put(make([]byte, 100), false); err != nil {
			t.Fatal(err)
		}
	}
	w.endWhenWritten()
	n, err := io.CopyN(io.Discard, far, 100*104)
	if err != nil || n != 100*104 {
		t.Errorf("%d bytes came, %v", n, err)
	}
	w.drain()
	same(t, "flusher", stop(), ErrShutdown)
}

// The peer takes part of what is written, then the stream breaks: handed counts
// what it took, and nobody waits any more.
func TestWriterCountsWhatWasTaken(t *testing.T) {
	for _, taken := range []int{0, 1, 103, 104, 105, 1039} {
		w, far, stop := writerPair(taken, 1<<20)
		w.mu.Lock() // so that all goes out in one write
		for range 10 {
			buf, at := wire.Begin(w.buf)
			w.buf = wire.End(append(buf, make([]byte, 100)...), at)
		}
		_ = w.releaseLocked(0, byFlusher)
		eventually(t, "write that blocks", func() bool { return far.in.buffered() == taken && w.isBusy() })
		drained := make(chan struct{})
		go func() { w.drain(); close(drained) }()
		_ = far.SetReadDeadline(time.Time{})
		far.in.reset()
		receive(t, "end of drain", drained)
		same(t, "handed", w.close(ErrClosed), uint64(taken))
		if err := w.put([]byte("x"), true); err == nil {
			t.Error("a broken writer takes frames")
		}
		if err := stop(); err == nil {
			t.Error("the flusher does not tell of the break")
		}
	}
}

// Who waits for room gets it as soon as the queue is taken for writing, or the
// error when the writer closes.
func TestWaitRoom(t *testing.T) {
	w, far, stop := writerPair(10, 500)
	if err := w.put(make([]byte, 600), false); err != nil { // being written
		t.Fatal(err)
	}
	eventually(t, "write that blocks", w.isBusy)
	if err := w.put(make([]byte, 600), false); err != nil { // in the queue, which is full now
		t.Fatal(err)
	}
	third := make(chan error, 1)
	go func() { third <- w.put([]byte("third"), false) }()
	if _, err := io.CopyN(io.Discard, far, 604); err != nil { // the second is taken, not written
		t.Fatal(err)
	}
	same(t, "with room", receive(t, "end of waiting", third), nil)
	if err := w.put(make([]byte, 600), false); err != nil {
		t.Fatal(err)
	}
	fourth := make(chan error, 1)
	go func() { fourth <- w.put([]byte("fourth"), false) }()
	eventually(t, "full queue", func() bool { return w.waiting() >= 500 })
	_ = stop()
	same(t, "after close", receive(t, "end of waiting", fourth), ErrClosed)
}

// deadlines records the write deadlines that are set.
type deadlines struct {
	net.Conn
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

func (d *deadlines) Write(b []byte) (int, error) {
	if ahead := time.Until(d.set[len(d.set)-1]); ahead < time.Second || ahead > 1250*time.Millisecond {
		return 0, fmt.Errorf("the write deadline is %v ahead", ahead)
	}
	return len(b), nil
}

// Each write has a deadline at least one timeout ahead, which is not set anew
// each time. Time is virtual.
func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlines{}
		w := lone(d, time.Second, 1<<20)
		for range 1000 {
			if err := w.put([]byte("x"), true); err != nil {
				t.Fatal(err)
			}
			w.unanswered.Store(0)
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(d.set); n < 10_000/250-2 || n > 10_000/250+2 {
			t.Errorf("the deadline was set %d times in 10 s", n)
		}
	})
}

// A caller writes by its own hand only what the socket's buffer surely takes.
func TestInlineWrites(t *testing.T) {
	var out bytes.Buffer
	w := lone(&sink{Writer: &out}, time.Hour, 1<<20)
	w.poked = true // so that no flusher comes: only writes by one's own hand are looked at
	for _, c := range []struct {
		size       int
		unanswered int64
		alone      bool
		written    bool
	}{
		{100, 0, true, true},
		{100, 0, false, false},
		{smallFlush + 1, 0, true, false},
		{100, inlineWindow, true, false},
		{100, inlineWindow - 1, true, true},
	} {
		out.Reset()
		w.buf = nil
		w.unanswered.Store(c.unanswered)
		if err := w.put(make([]byte, c.size), c.alone); err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("%+v", c), out.Len() > 0, c.written)
	}
}

type sink struct {
	net.Conn
	io.Writer
}

func (s *sink) Write(b []byte) (int, error)      { return s.Writer.Write(b) }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// A write that fails by a caller's own hand ends the connection as well.
func TestInlineWriteFails(t *testing.T) {
	broken := errors.New("broken")
	w := lone(&sink{Writer: &failingWriter{3, broken}}, time.Hour, 1<<20)
	same(t, "its own write", w.put([]byte("0123456789"), true), broken)
	same(t, "handed", w.handed, 3)
	same(t, "the next", w.put([]byte("x"), true), broken)
}

type failingWriter struct {
	n   int
	err error
}

func (f *failingWriter) Write([]byte) (int, error) { return f.n, f.err }

// Who waits for room waits no longer than the context lasts.
func TestWaitForRoomHeedsContext(t *testing.T) {
	w, _, stop := writerPair(10, 500)
	defer func() { _ = stop() }()
	if err := w.put(make([]byte, 600), false); err != nil { // being written
		t.Fatal(err)
	}
	eventually(t, "write that blocks", w.isBusy)
	if err := w.put(make([]byte, 600), false); err != nil { // in the queue, which is full now
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		ended <- w.waitRoomLocked(ctx)
	}()
	eventually(t, "somebody who waits", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.waiters > 0
	})
	cancel()
	same(t, "the wait", receive(t, "end of waiting", ended), context.Canceled)
}
