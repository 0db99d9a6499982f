package transport

import (
	"bytes"
	"context"
	"testing"
	"time"
)

// unreadKinds are streams that nobody reads: the server's side of "unread", the
// caller's of "flood".
func unreadKinds(release <-chan struct{}) methods {
	kinds := streamKinds()
	kinds["unread"] = func(in *Incoming) {
		in.Stream().Accept()
		hold(release)
		_ = in.Reply(CodeOK, nil, nil)
	}
	kinds["flood"] = func(in *Incoming) {
		s := in.Stream()
		s.Accept()
		for s.Send(pattern(1000, 1)) == nil {
		}
		_ = in.Reply(CodeOK, nil, nil)
	}
	return kinds
}

// fillUp opens 2n streams from c to far, fills each at one of its sides with
// messages that nobody takes, and returns them.
func fillUp(l *lab, c, far *Conn, n int) (streams []*Stream) {
	l.Helper()
	for range n {
		s := l.stream(c, "unread", nil)
		go func() {
			for s.Send(pattern(1000, 1)) == nil {
			}
		}()
		streams = append(streams, s, l.stream(c, "flood", nil))
	}
	stuck := func(c *Conn) bool {
		c.out.mu.Lock()
		defer c.out.mu.Unlock()
		full := 0
		for _, s := range c.flow.senders {
			if s.credit < 1000+frameCost {
				full++
			}
		}
		return full >= n
	}
	eventually(l, "full windows", func() bool { return stuck(c) && stuck(far) })
	return streams
}

// unread returns the bytes that lie unread on the streams of a connection.
func (c *Conn) unread() (n int64) {
	count := func(s *Stream) {
		if s != nil {
			s.in.mu.Lock()
			n += s.in.window - s.in.left
			s.in.mu.Unlock()
		}
	}
	c.pend.mu.Lock()
	for _, r := range c.pend.slots {
		if r != nil {
			count(r.stream)
		}
	}
	c.pend.mu.Unlock()
	c.serving.mu.Lock()
	c.serving.eachLocked(func(in *Incoming) { count(in.stream) })
	c.serving.mu.Unlock()
	return n
}

// Streams whose messages nobody takes, in either direction and from either side,
// stop themselves alone: long requests, long replies and other streams go on. What
// lies unread is bounded all the same.
func TestUnreadStreamsStarveNobody(t *testing.T) {
	t.Parallel()
	overAll(t, func(l *lab) {
		const n, most = 24, 64 << 10
		limits := Limits{Window: 16 << 10, ConnWindow: 16 << 10, MaxUnread: most}
		release := make(chan struct{})
		kinds := unreadKinds(release)
		h := l.host(Config{Name: "b", Handler: kinds, Limits: limits})
		c := l.dial(l.endpoint(Config{Name: "a", Handler: kinds, Limits: limits}), h)
		far := h.far(l)
		for _, sides := range [][2]*Conn{{c, far}, {far, c}} {
			side := sides[0]
			streams := fillUp(l, side, sides[1], n)
			for _, at := range sides {
				if got := at.unread(); got > most+2*n*streamFloor || got < n*streamFloor/2 {
					l.Errorf("%d bytes lie unread, want %d to %d", got, n*streamFloor/2, most+2*n*streamFloor)
				}
			}
			body := pattern(300_000, 3)
			if got := call(l, side, "unary", body); !bytes.Equal(got, body) {
				l.Errorf("%d bytes came back as %d", len(body), len(got))
			}
			echoes(l, side, body[:60_000])
			for _, s := range streams {
				s.Close()
			}
		}
		close(release)
		quietAfterStreams(l, c, h)
	})
}

// echoes sends beginnings of body over a stream of their own, and gets them back.
func echoes(l *lab, c *Conn, body []byte) {
	l.Helper()
	s := l.stream(c, "echo", nil)
	defer s.Close()
	for n := 0; n < len(body); n += 3000 {
		if err := s.Send(body[:n]); err != nil {
			l.Fatal(err)
		}
		if got, err := s.Recv(); err != nil || !bytes.Equal(got, body[:n]) {
			l.Fatalf("%d bytes came back as %d, %v", n, len(got), err)
		}
	}
}

// With the windows that hold by default: 400 streams that nobody reads, and calls of
// a megabyte beside them.
func TestUnreadStreamsByDefault(t *testing.T) {
	l := &lab{t, System()}
	release := make(chan struct{})
	kinds := unreadKinds(release)
	h := l.host(Config{Name: "b", Handler: kinds})
	c := l.dial(l.endpoint(Config{Name: "a", Handler: kinds}), h)
	streams := fillUp(l, c, h.far(l), 400)
	for _, side := range []*Conn{c, h.far(l)} {
		body := pattern(1<<20, 3)
		if got := call(l, side, "unary", body); !bytes.Equal(got, body) {
			l.Errorf("%d bytes came back as %d", len(body), len(got))
		}
		if got, most := side.unread(), int64(DefaultMaxUnread+800*streamFloor); got > most {
			l.Errorf("%d bytes lie unread, more than %d", got, most)
		}
	}
	for _, s := range streams {
		s.Close()
	}
	close(release)
	quietAfterStreams(l, c, h)
}

// A stream that is read again after others took the pool gets a window as before.
func TestWindowsComeBack(t *testing.T) {
	overAll(t, func(l *lab) {
		const most = 128 << 10
		limits := Limits{Window: 12 << 10, MaxUnread: most}
		release := make(chan struct{})
		kinds := unreadKinds(release)
		h := l.host(Config{Name: "b", Handler: kinds, Limits: limits})
		c := l.dial(l.endpoint(Config{Name: "a", Handler: kinds, Limits: limits}), h)
		streams := fillUp(l, c, h.far(l), 24)
		s := l.stream(c, "flood", nil)
		if w := s.in.window; w > streamFloor+most/poolShare/2 {
			l.Errorf("a window of %d bytes while the pool is empty", w)
		}
		for _, s := range streams {
			s.Close()
		}
		eventually(l, "a full window", func() bool {
			if _, err := s.Recv(); err != nil {
				l.Fatal(err)
			}
			return s.in.window == int64(limits.Window)
		})
		s.Close()
		close(release)
		quietAfterStreams(l, c, h)
	})
}

// An idle stream keeps no large buffers, whatever has lain in them.
func TestIdleStreamsKeepNoBuffers(t *testing.T) {
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: streamKinds()})
		c := l.dial(l.endpoint(Config{Name: "a", Limits: Limits{Keepalive: 8 * time.Millisecond, KeepaliveTimeout: time.Minute}}), h)
		s := l.stream(c, "echo", nil)
		for _, n := range []int{200_000, 90_000, 1} {
			if err := s.Send(make([]byte, n)); err != nil {
				l.Fatal(err)
			}
			if _, err := s.Recv(); err != nil {
				l.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			_, _ = s.Recv()
			cancel()
		}()
		kept := func() int {
			s.in.mu.Lock()
			defer s.in.mu.Unlock()
			if !s.in.waits {
				return 1 << 30
			}
			return max(cap(s.in.fresh), cap(s.in.spare), cap(s.in.kept))
		}
		eventually(l, "small buffers", func() bool { return kept() <= keepStream })
		s.Close()
		<-ctx.Done()
		quietAfterStreams(l, c, h)
	})
}
