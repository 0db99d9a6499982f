package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"
)

// kept returns the bytes and objects that one run of f leaves on the heap, by the
// difference that n of them make.
func kept(f func(), n int) (size, objects float64) {
	heap := func() (m runtime.MemStats) {
		for range 3 { // pools are emptied by the second
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m
	}
	for range n { // what grows once has grown
		f()
	}
	before := heap()
	for range n {
		f()
	}
	after := heap()
	per := func(after, before uint64) float64 { return float64(int64(after)-int64(before)) / float64(n) }
	return per(after.HeapAlloc, before.HeapAlloc), per(after.HeapObjects, before.HeapObjects)
}

// leftovers are the ways in which calls and streams end, with what their callers
// do then. ctx lives on.
var leftovers = map[string]func(l *lab, ctx context.Context, c *Conn){
	"ended by the server, nothing received": func(l *lab, ctx context.Context, c *Conn) {
		ended(l, leftOpen(l, ctx, c, "list", 0, time.Time{}))
	},
	"ended by the server, messages not received": func(l *lab, ctx context.Context, c *Conn) {
		ended(l, leftOpen(l, ctx, c, "list", 20, time.Time{}))
	},
	"received to the end": func(l *lab, ctx context.Context, c *Conn) {
		s := leftOpen(l, ctx, c, "list", 2, time.Time{})
		for {
			if _, err := s.Recv(); err != nil {
				same(l, "end", err, io.EOF)
				return
			}
		}
	},
	"deadline passed": func(l *lab, ctx context.Context, c *Conn) {
		ended(l, leftOpen(l, ctx, c, "wait", 0, time.Now().Add(2*time.Millisecond)))
	},
	"context of its own ended": func(l *lab, ctx context.Context, c *Conn) {
		own, cancel := context.WithCancel(ctx)
		s := leftOpen(l, own, c, "wait", 0, time.Time{})
		cancel()
		ended(l, s)
	},
	"half-closed, then ended by the server": func(l *lab, ctx context.Context, c *Conn) {
		s := leftOpen(l, ctx, c, "count", 0, time.Time{})
		_ = s.Send(make([]byte, 2000))
		_ = s.CloseSend()
		ended(l, s)
	},
	"closed": func(l *lab, ctx context.Context, c *Conn) {
		leftOpen(l, ctx, c, "wait", 0, time.Time{}).Close()
	},
	"refused": func(l *lab, ctx context.Context, c *Conn) {
		_, r, err := c.Open(ctx, &Request{Method: "unknown"})
		if err != nil || r == nil {
			l.Fatal(r, err)
		}
		r.Release()
	},
	"not accepted in time": func(l *lab, ctx context.Context, c *Conn) {
		_, _, err := c.Open(ctx, &Request{Method: "deaf", Accept: time.Millisecond})
		same(l, "open", err, context.DeadlineExceeded)
	},
	"call": func(l *lab, ctx context.Context, c *Conn) {
		leftCall(l, ctx, c, &Request{Method: "unary", Body: make([]byte, 100)})
	},
	"long call": func(l *lab, ctx context.Context, c *Conn) {
		leftCall(l, ctx, c, &Request{Method: "unary", Body: make([]byte, 70_000), Deadline: time.Now().Add(patience)})
	},
	"call whose deadline passed": func(l *lab, ctx context.Context, c *Conn) {
		if r, err := c.Call(ctx, &Request{Method: "deaf", Deadline: time.Now().Add(time.Millisecond)}); err == nil {
			r.Release() // the server was the first to see it
		}
	},
}

func leftOpen(l *lab, ctx context.Context, c *Conn, method string, n uint32, due time.Time) *Stream {
	l.Helper()
	body := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, n), 1000)
	s, r, err := c.Open(ctx, &Request{Method: method, Body: body, Deadline: due})
	if errors.Is(err, context.DeadlineExceeded) { // on a busy machine
		return nil
	}
	if s == nil {
		l.Fatal(r, err)
	}
	return s
}

func leftCall(l *lab, ctx context.Context, c *Conn, req *Request) {
	r, err := c.Call(ctx, req)
	if err != nil {
		l.Fatal(err)
	}
	r.Release()
}

// ended waits until the caller's side of a stream has ended.
func ended(l *lab, s *Stream) {
	if s == nil {
		return
	}
	eventually(l, "end of the stream", func() bool {
		s.in.mu.Lock()
		defer s.in.mu.Unlock()
		return s.in.ended || s.in.err != nil
	})
}

// However a stream or a call ends, and whatever its caller does then, nothing of it
// is left while the caller's context lives.
func TestEndedStreamsKeepNothing(t *testing.T) {
	for name, run := range leftovers {
		t.Run(name, func(t *testing.T) {
			l := &lab{t, newMemNet(100 << 10)}
			kinds := streamKinds()
			kinds["wait"] = func(in *Incoming) {
				in.Stream().Accept()
				<-in.Context().Done()
				_ = in.Reply(CodeCanceled, nil, nil)
			}
			kinds["deaf"] = func(in *Incoming) {
				<-in.Context().Done()
				_ = in.Reply(CodeCanceled, nil, nil)
			}
			c, h := l.pair(kinds)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			for try := 1; ; try++ { // what is kept is there each time, noise is not
				size, objects := kept(func() {
					run(l, ctx, c)
					eventually(l, "end at the server", func() bool { return h.served.Load() == 0 })
				}, 60)
				if size <= 100 && objects <= 1 {
					break
				}
				if try == 5 {
					t.Fatalf("each keeps %.0f bytes in %.1f objects", size, objects)
				}
			}
			quietAfterStreams(l, c, h)
		})
	}
}

// The end of its connection ends a stream in the same way.
func TestEndedConnectionKeepsNothing(t *testing.T) {
	l := &lab{t, newMemNet(100 << 10)}
	kinds := streamKinds()
	h := l.host(Config{Name: "b", Handler: kinds})
	ep := l.endpoint(Config{Name: "a"})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	size, objects := kept(func() {
		c := l.dial(ep, h)
		s := leftOpen(l, ctx, c, "echo", 0, time.Time{})
		c.Close()
		ended(l, s)
		eventually(l, "end at the server", func() bool { return h.served.Load() == 0 && h.Conns() == 0 })
	}, 50)
	if size > 400 || objects > 4 {
		t.Errorf("each keeps %.0f bytes in %.1f objects", size, objects)
	}
}
