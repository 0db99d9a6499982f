package simnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestStreamCarries(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		start := time.Now()
		near, far := w.connect(w.a, w.b)
		w.took(start, 2*oneWay)
		w.send(near, "hello")
		w.gets(far, "hel", oneWay)
		w.gets(far, "lo", 0)
		w.send(far, "well")
		w.gets(near, "well", oneWay)
		if near.LocalAddr().String() != far.RemoteAddr().String() || near.RemoteAddr().String() != far.LocalAddr().String() {
			w.Errorf("addresses: %v-%v, %v-%v", near.LocalAddr(), near.RemoteAddr(), far.LocalAddr(), far.RemoteAddr())
		}
		if n, err := far.Read(nil); n != 0 || err != nil {
			w.Errorf("an empty read: %d, %v", n, err)
		}
		if n, err := near.Write(nil); n != 0 || err != nil {
			w.Errorf("an empty write: %d, %v", n, err)
		}
	})
}

// Who closes has the other end read all that was written, and then the end.
func TestCloseAfterAll(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		w.send(near, "bye")
		if err := near.Close(); err != nil {
			w.Error(err)
		}
		w.gets(far, "bye", oneWay)
		w.fails(far, io.EOF, 0)
		w.fails(far, io.EOF, 0)
		w.refuses(far, reset) // there is nobody who would read it
		if err := far.Close(); err != nil {
			w.Error(err)
		}
		pass(time.Second)
		w.idle(near, far)
	})
}

func TestClosed(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, _ := w.connect(w.a, w.b)
		if err := near.Close(); err != nil {
			w.Error(err)
		}
		w.fails(near, net.ErrClosed, 0)
		w.refuses(near, net.ErrClosed)
		_, empty := near.Write(nil)
		half := near.(interface{ CloseWrite() error }).CloseWrite()
		for what, err := range map[string]error{
			"empty write": empty, "half close": half, "second close": near.Close(),
			"deadline": near.SetDeadline(time.Now()),
		} {
			if !errors.Is(err, net.ErrClosed) {
				w.Errorf("%s: %v", what, err)
			}
		}
	})
}

// What had arrived and was not read makes a close a reset; what the other end has
// not read is lost with it.
func TestCloseWithUnreadResets(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		w.send(near, "unread")
		w.send(far, "lost")
		pass(2 * oneWay)
		_ = far.Close()
		pass(oneWay)
		w.fails(near, reset, 0)
		w.refuses(near, reset)
	})
}

// What was under way when the reader closed is answered when it gets there.
func TestCloseBeforeArrivalResets(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		w.send(near, "late")
		pass(oneWay / 2)
		_ = far.Close()
		w.fails(near, io.EOF, oneWay)
		pass(oneWay)
		w.fails(near, reset, 0)
	})
}

func TestHalfClose(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		w.send(near, "question")
		if err := near.(*conn).CloseWrite(); err != nil {
			w.Error(err)
		}
		w.gets(far, "question", oneWay)
		w.fails(far, io.EOF, 0)
		w.send(far, "answer")
		w.gets(near, "answer", oneWay)
		w.refuses(near, net.ErrClosed)
		_ = far.Close()
		w.fails(near, io.EOF, oneWay)
	})
}

// The end of a stream that meets a closed socket is no reason for a reset.
func TestBothClose(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		w.send(far, "last words")
		_ = far.Close()
		pass(2 * oneWay)
		_ = near.(*conn).CloseWrite()
		pass(10 * oneWay)
		w.gets(near, "last words", 0)
		w.fails(near, io.EOF, 0)
		_ = near.Close()
		w.idle(near, far)
	})
}

// A reader that does not read stops the writer when pipeRoom bytes are under way.
func TestFullPipe(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		_ = near.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := near.Write(make([]byte, pipeRoom+1000))
		if n != pipeRoom || !isTimeout(err) {
			w.Fatalf("wrote %d, %v; want %d and a timeout", n, err, pipeRoom)
		}
		_ = near.SetWriteDeadline(time.Time{})
		var wg sync.WaitGroup
		wg.Go(func() { w.send(near, strings.Repeat("y", 2*pipeRoom)) })
		pass(time.Second)
		got := make([]byte, 3*pipeRoom)
		if _, err := io.ReadFull(far, got); err != nil || bytes.Count(got, []byte("y")) != 2*pipeRoom {
			w.Errorf("%v; %d of %d", err, bytes.Count(got, []byte("y")), 2*pipeRoom)
		}
		wg.Wait()
	})
}

// Bytes of one Write stay together, however many write at once.
func TestWritesDoNotMix(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		const size = pipeRoom + 12345
		var wg sync.WaitGroup
		for _, letter := range "abc" {
			wg.Go(func() { w.send(near, strings.Repeat(string(letter), size)) })
		}
		got := make([]byte, 3*size)
		if _, err := io.ReadFull(far, got); err != nil {
			w.Fatal(err)
		}
		wg.Wait()
		for i := range 3 {
			if part := got[i*size : (i+1)*size]; bytes.Count(part, part[:1]) != size {
				w.Errorf("write %d is mixed with another", i)
			}
		}
	})
}

func TestDeadlines(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		w.silent(near, 3*time.Second)
		_ = near.SetDeadline(time.Now().Add(-1))
		_, rerr := near.Read(make([]byte, 1))
		_, werr := near.Write([]byte("x"))
		if !isTimeout(rerr) || !isTimeout(werr) {
			w.Errorf("past deadlines: %v, %v", rerr, werr)
		}
		_ = near.SetDeadline(time.Time{})
		w.send(near, "on")
		w.gets(far, "on", oneWay)
		// A deadline that is moved while somebody waits counts from then on, both ways.
		for _, end := range []time.Duration{time.Second, 3 * time.Second} {
			_ = far.SetReadDeadline(time.Now().Add(2 * time.Second))
			time.AfterFunc(100*time.Millisecond, func() {
				_ = far.SetReadDeadline(time.Now().Add(end - 100*time.Millisecond))
			})
			start := time.Now()
			if _, err := far.Read(make([]byte, 1)); !isTimeout(err) {
				w.Error(err)
			}
			w.took(start, end)
		}
		w.idle(near, far)
	})
}

// Whoever waits is woken by a Close, and by nothing less.
func TestCloseWakes(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { w.fails(near, net.ErrClosed, time.Second) })
			wg.Go(func() {
				if _, err := near.Write(make([]byte, 2*pipeRoom)); !errors.Is(err, net.ErrClosed) {
					w.Errorf("write: %v", err)
				}
			})
		}
		closed := make(chan error, 5)
		pass(time.Second)
		for range cap(closed) {
			wg.Go(func() { closed <- near.Close() })
		}
		wg.Wait()
		first := 0
		for range cap(closed) {
			if err := <-closed; err == nil {
				first++
			}
		}
		if first != 1 {
			w.Errorf("%d closes closed", first)
		}
		_ = far.Close()
		pass(time.Second)
		w.idle(near, far)
	})
}
