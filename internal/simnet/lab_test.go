package simnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// oneWay is the latency of the links of most tests, so that times are known.
const oneWay = 10 * time.Millisecond

var slowLink = Config{Seed: 1, Link: Link{Latency: Constant(oneWay)}}

// world is three hosts that run.
type world struct {
	*testing.T
	net     *Net
	a, b, c *Stack
}

// inWorld runs a test in virtual time. That ends only when all goroutines have.
func inWorld(t *testing.T, cfg Config, f func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := New(cfg)
		boot := func(name, addr string) *Stack { return n.Host(name, netip.MustParseAddr(addr)).Boot() }
		w := &world{t, n, boot("a", "10.0.0.1"), boot("b", "10.0.0.2"), boot("c", "10.0.0.3")}
		f(w)
		for _, h := range n.Hosts() {
			h.Kill()
		}
	})
}

// within gives a context that ends after d.
func (w *world) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(w.Context(), d)
	w.Cleanup(cancel)
	return ctx
}

func (w *world) listen(s *Stack) net.Listener {
	w.Helper()
	l, err := s.Listen(w.Context(), netip.AddrPortFrom(s.Host().Addr(), 0).String())
	if err != nil {
		w.Fatal(err)
	}
	return l
}

func (w *world) packets(s *Stack) net.PacketConn {
	w.Helper()
	p, err := s.ListenPacket(w.Context(), netip.AddrPortFrom(s.Host().Addr(), 0).String())
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// connect opens a stream and gives both ends.
func (w *world) connect(from, to *Stack) (near, far net.Conn) {
	w.Helper()
	l := w.listen(to)
	defer l.Close()
	near, err := from.Dial(w.Context(), l.Addr().String())
	if err != nil {
		w.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		w.Fatal(err)
	}
	return near, far
}

// cut cuts one direction, until heal.
func (w *world) cut(from, to *Stack) (heal func()) {
	id := w.net.AddRule(Rule{
		Match: func(x, y *Host) bool { return x == from.host && y == to.host },
		Apply: func(l *Link) { l.Cut = true },
	})
	return func() { w.net.RemoveRule(id) }
}

// send writes all of a text.
func (w *world) send(c net.Conn, text string) {
	w.Helper()
	if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
		w.Fatalf("write of %q: %d, %v", text, n, err)
	}
}

// gets reads a text, which must come after a time.
func (w *world) gets(c net.Conn, text string, after time.Duration) {
	w.Helper()
	start, b := time.Now(), make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != text {
		w.Fatalf("read %q, %v; want %q", b, err, text)
	}
	w.took(start, after)
}

// fails reads an error, which must come after a time.
func (w *world) fails(c net.Conn, want error, after time.Duration) {
	w.Helper()
	start := time.Now()
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, want) {
		w.Fatalf("read: %d, %v; want %v", n, err, want)
	}
	w.took(start, after)
}

// refuses writes until it fails, which must be soon.
func (w *world) refuses(c net.Conn, want error) {
	w.Helper()
	for range 10 {
		if _, err := c.Write([]byte("x")); err != nil {
			if !errors.Is(err, want) {
				w.Fatalf("write: %v; want %v", err, want)
			}
			return
		}
		pass(10 * oneWay)
	}
	w.Fatalf("writes go on; want %v", want)
}

// silent checks that a read gets nothing for a while.
func (w *world) silent(c net.Conn, d time.Duration) {
	w.Helper()
	_ = c.SetReadDeadline(time.Now().Add(d))
	w.fails(c, os.ErrDeadlineExceeded, d)
	_ = c.SetReadDeadline(time.Time{})
}

func (w *world) took(start time.Time, want time.Duration) {
	w.Helper()
	if took := time.Since(start); took != want {
		w.Fatalf("took %v, want %v", took, want)
	}
}

// dials opens a stream that must fail.
func (w *world) dials(ctx context.Context, from *Stack, addr string, want error, after time.Duration) {
	w.Helper()
	start := time.Now()
	c, err := from.Dial(ctx, addr)
	if c != nil || !errors.Is(err, want) {
		w.Fatalf("dial: %v, %v; want %v", c, err, want)
	}
	w.took(start, after)
}

// idle checks that a stream's ends hold nothing and have no timer.
func (w *world) idle(ends ...net.Conn) {
	w.Helper()
	for _, end := range ends {
		for _, p := range []*pipe{end.(*conn).in, end.(*conn).out} {
			p.mu.Lock()
			if !p.at.IsZero() || len(p.queue) > 0 || len(p.held) > 0 {
				w.Errorf("%s to %s: timer for %v, %d segments queued, %d held", p.from.host.name, p.to.host.name, p.at, len(p.queue), len(p.held))
			}
			p.mu.Unlock()
		}
	}
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	if len(w.net.stalled) > 0 {
		w.Errorf("%d pipes are stalled", len(w.net.stalled))
	}
}

// isTimeout tells whether an error is one of net.Error that says so.
func isTimeout(err error) bool {
	var of net.Error
	return errors.As(err, &of) && of.Timeout()
}

const reset = syscall.ECONNRESET

// pass lets virtual time pass. It is called in worlds only.
func pass(d time.Duration) { <-time.After(d) }
