package simnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	errRefused = syscall.ECONNREFUSED
	errNotHere = syscall.EADDRNOTAVAIL
)

// A dial that gets no answer is tried again after 1, 3, 7... seconds.
func TestDialRetries(t *testing.T) {
	for _, cutBack := range []bool{false, true} {
		inWorld(t, slowLink, func(w *world) {
			l := w.listen(w.b)
			heal := w.cut(w.a, w.b)
			if cutBack {
				heal()
				heal = w.cut(w.b, w.a)
			}
			time.AfterFunc(5*time.Second, heal)
			start := time.Now()
			c, err := w.a.Dial(w.Context(), l.Addr().String())
			if err != nil {
				w.Fatal(err)
			}
			w.took(start, 7*time.Second+2*oneWay)
			w.send(c, "x")
		})
	}
}

// Streams that are opened at once have fates of their own.
func TestDialsAreDifferent(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		addr := w.listen(w.b).Addr().String()
		var mu sync.Mutex
		var wg sync.WaitGroup
		fates := map[uint64]bool{}
		for range 5 {
			wg.Go(func() {
				c, err := w.a.Dial(w.Context(), addr)
				if err != nil {
					w.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				fates[c.(*conn).out.hash], fates[c.(*conn).in.hash] = true, true
			})
		}
		wg.Wait()
		if len(fates) != 10 {
			w.Errorf("%d fates of 10 pipes", len(fates))
		}
	})
}

func TestDialEnds(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		l := w.listen(w.b)
		w.cut(w.a, w.b)
		w.dials(w.within(5*time.Second), w.a, l.Addr().String(), context.DeadlineExceeded, 5*time.Second)
		w.dials(w.within(5*time.Second), w.a, l.Addr().String(), os.ErrDeadlineExceeded, 5*time.Second)
		_, err := w.a.Dial(w.within(time.Second), l.Addr().String())
		if !isTimeout(err) {
			w.Errorf("%v is no timeout", err)
		}
		ctx, cancel := context.WithCancel(w.Context())
		time.AfterFunc(1500*time.Millisecond, cancel)
		w.dials(ctx, w.a, l.Addr().String(), context.Canceled, 1500*time.Millisecond)
		w.dials(ctx, w.a, l.Addr().String(), context.Canceled, 0)
		w.dials(w.Context(), w.a, l.Addr().String(), syscall.ETIMEDOUT, 127*time.Second) // it does not go on for ever
		w.dials(w.within(time.Minute), w.a, "10.7.7.7:1", context.DeadlineExceeded, time.Minute)
		if c, err := w.a.Dial(w.Context(), "b:1"); c != nil || err == nil {
			w.Error("a name is no address")
		}
	})
}

// A machine that loses its power, or its address, during a dial does not refuse it.
func TestDialMeetsPowerOff(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		addr := w.listen(w.b).Addr().String()
		time.AfterFunc(oneWay, w.b.host.PowerOff)
		w.dials(w.within(time.Minute), w.a, addr, context.DeadlineExceeded, time.Minute)
		w.b.host.Boot()
		time.AfterFunc(oneWay, w.b.host.Kill)
		w.dials(w.within(time.Minute), w.a, addr, errRefused, 2*oneWay)
	})
}

func TestListen(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		l := w.listen(w.b)
		for addr, want := range map[string]error{
			l.Addr().String(): syscall.EADDRINUSE,
			"10.0.0.1:80":     errNotHere,
			"0.0.0.0:80":      nil,
			"10.0.0.2:81":     nil,
		} {
			other, err := w.b.Listen(w.Context(), addr)
			if !errors.Is(err, want) || (err == nil) != (other != nil) {
				w.Errorf("%s: %v; want %v", addr, err, want)
			}
		}
		if _, err := w.b.Listen(w.Context(), "b"); err == nil {
			w.Error("b is no address")
		}
		time.AfterFunc(time.Second, func() { _ = l.Close() })
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			w.Error(err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			w.Errorf("second close: %v", err)
		}
		w.dials(w.Context(), w.a, l.Addr().String(), errRefused, 2*oneWay)
	})
}

// Who closes a listener resets what it has not accepted.
func TestListenerCloses(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		l := w.listen(w.b)
		c, err := w.a.Dial(w.Context(), l.Addr().String())
		if err != nil {
			w.Fatal(err)
		}
		_ = l.Close()
		w.fails(c, reset, oneWay)
	})
}

func TestBacklog(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		l := w.listen(w.b)
		for range backlog {
			if _, err := w.a.Dial(w.Context(), l.Addr().String()); err != nil {
				w.Fatal(err)
			}
		}
		time.AfterFunc(2*time.Second, func() { _, _ = l.Accept() })
		start := time.Now()
		if _, err := w.a.Dial(w.Context(), l.Addr().String()); err != nil {
			w.Fatal(err)
		}
		w.took(start, 3*time.Second+6*oneWay) // two answers were lost
	})
}

func TestResolve(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		addrs := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
		w.net.SetName("good", time.Second, nil, addrs...)
		w.net.SetName("bad", 0, errors.New("server misbehaving"))
		start := time.Now()
		got, err := w.a.Resolve(w.Context(), "good")
		if err != nil || len(got) != 2 || got[0] != addrs[0] {
			w.Errorf("%v, %v", got, err)
		}
		w.took(start, time.Second)
		got[0] = netip.Addr{}
		if again, _ := w.a.Resolve(w.Context(), "good"); again[0] != addrs[0] {
			w.Error("the answer is shared")
		}
		if got, err = w.a.Resolve(w.Context(), "10.9.9.9"); err != nil || got[0].String() != "10.9.9.9" {
			w.Errorf("%v, %v", got, err)
		}
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		for _, c := range []struct {
			name  string
			ctx   context.Context
			check func(*net.DNSError) bool
		}{
			{"bad", w.Context(), func(e *net.DNSError) bool { return e.IsTemporary }},
			{"unknown", w.Context(), func(e *net.DNSError) bool { return e.IsNotFound }},
			{"good", w.within(time.Millisecond), func(e *net.DNSError) bool { return e.Timeout() && errors.Is(e, context.DeadlineExceeded) }},
			{"good", ctx, func(e *net.DNSError) bool { return !e.Timeout() && errors.Is(e, context.Canceled) }},
		} {
			var dns *net.DNSError
			if _, err := w.a.Resolve(c.ctx, c.name); !errors.As(err, &dns) || !c.check(dns) {
				w.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

// A process that is gone has no network any more.
func TestDeadStack(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		p, l := w.packets(w.a), w.listen(w.a)
		w.net.SetName("name", 0, nil)
		w.a.host.Boot()
		_, listen := w.a.Listen(w.Context(), "10.0.0.1:80")
		_, packets := w.a.ListenPacket(w.Context(), "10.0.0.1:80")
		_, dial := w.a.Dial(w.Context(), "10.0.0.2:80")
		_, resolve := w.a.Resolve(w.Context(), "name")
		_, write := p.WriteTo([]byte("x"), p.LocalAddr())
		_, accept := l.Accept()
		for what, err := range map[string]error{
			"listen": listen, "listen packet": packets, "dial": dial, "resolve": resolve, "write": write, "accept": accept,
			"close": l.Close(),
		} {
			if !errors.Is(err, net.ErrClosed) {
				w.Errorf("%s: %v", what, err)
			}
		}
	})
}

func TestHostsAreUnique(t *testing.T) {
	n := New(Config{})
	addr := netip.MustParseAddr("10.0.0.1")
	h := n.Host("a", addr)
	other := n.Host("b", netip.MustParseAddr("10.0.0.2"))
	for what, f := range map[string]func(){
		"address": func() { n.Host("c", addr) },
		"name":    func() { n.Host("a", netip.MustParseAddr("10.0.0.3")) },
		"move":    func() { other.Move(addr) },
		"running": func() { h.Boot(); h.Move(netip.MustParseAddr("10.0.0.4")) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			f()
		}()
	}
	if hosts := n.Hosts(); len(hosts) != 2 || hosts[0].Name() != "a" {
		t.Errorf("%v", hosts)
	}
}
