package transport

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A write long after the last one that had a deadline goes out: that deadline
// has passed, and means nothing any more.
func TestOldWriteDeadline(t *testing.T) {
	l := &lab{t, System()}
	h := l.host(Config{Name: "b", Handler: echo{}, Limits: Limits{WriteTimeout: time.Millisecond}})
	c := l.dial(l.endpoint(Config{Name: "a", Limits: Limits{WriteTimeout: time.Millisecond}}), h)
	far := h.far(t)
	for range 5 {
		for _, side := range []*Conn{c, far} { // as the flusher does
			side.out.mu.Lock()
			if !side.out.busy {
				side.out.setDeadlineLocked()
			}
			side.out.mu.Unlock()
		}
		passed := time.After(10 * time.Millisecond)
		receive(t, "end of the timeout", passed)
		same(t, "echo", string(call(t, c, "echo", []byte("x"))), "x")
	}
}

// silentPeer is a peer of a client's connection, on virtual time. It answers
// pings if told to.
func silentPeer(t *testing.T, cfg Config, answers bool) (c *Conn, pings *atomic.Int32) {
	l := &lab{t, newMemNet(10 << 10)}
	c, r := l.rawPair(cfg)
	_ = r.nc.SetDeadline(time.Time{})
	pings = new(atomic.Int32)
	go func() {
		for {
			b, err := r.frames.next()
			if err != nil {
				return
			}
			if b[1] == 8 {
				pings.Add(1)
				if answers {
					_, _ = r.nc.Write([]byte("\x00\x00\x00\x03\x92\x09\x00"))
				}
			}
		}
	}()
	return c, pings
}

// A peer that does not answer a ping is given up; its calls are ambiguous.
func TestKeepaliveEndsASilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, pings := silentPeer(t, Config{}, false)
		start := time.Now()
		ended := goCall(context.Background(), c, &Request{Method: "m"})
		is(t, "call", (<-ended).err, ErrKeepalive, false)
		same(t, "cause", c.Err(), ErrKeepalive)
		took, most := time.Since(start), DefaultKeepalive+DefaultKeepaliveTimeout+2*DefaultKeepalive/ticksPerKeepalive
		if took < DefaultKeepalive+DefaultKeepaliveTimeout || took > most {
			t.Errorf("given up after %v, want between %v and %v", took, DefaultKeepalive+DefaultKeepaliveTimeout, most)
		}
		same(t, "pings", pings.Load(), 1)
		counts(t, c.ep, KeepaliveTimeouts, 1)
		c.ep.Close()
	})
}

// One that answers stays, whatever the two times are.
func TestKeepaliveKeepsAPeerThatAnswers(t *testing.T) {
	for _, limits := range []Limits{
		{IdleTimeout: -1},
		{IdleTimeout: -1, Keepalive: time.Second, KeepaliveTimeout: time.Hour},
		{IdleTimeout: -1, Keepalive: time.Second, KeepaliveTimeout: time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, pings := silentPeer(t, Config{Limits: limits}, true)
			time.Sleep(time.Hour)
			same(t, "end", c.Err(), nil)
			every := max(c.ep.cfg.Keepalive, time.Second)
			if most, least := int32(time.Hour/every), int32(time.Hour/every)*2/3; pings.Load() > most || pings.Load() < least {
				t.Errorf("%d pings in an hour, want %d to %d", pings.Load(), least, most)
			}
			same(t, "connections given up", c.ep.stats.Get(KeepaliveTimeouts), 0)
			c.ep.Close()
		})
	}
}

// An idle connection between two endpoints lives as long as IdleTimeout says.
// The next call dials anew.
func TestIdleConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t, newMemNet(10 << 10)}
		h := l.host(Config{Name: "b", Handler: echo{}})
		a := l.endpoint(Config{Name: "a"})
		p := a.Peer("b", h.addr)
		c, err := p.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		call(t, c, "echo", nil)
		start := time.Now()
		<-c.Closed()
		took := time.Since(start)
		if least, most := DefaultIdleTimeout-DefaultKeepalive, DefaultIdleTimeout+DefaultKeepalive; took < least || took > most {
			t.Errorf("ended after %v, want %v to %v", took, least, most)
		}
		is(t, "cause", c.Err(), ErrIdle, false)
		if n := h.stats.Get(ConnsIdled) + a.stats.Get(ConnsIdled); n != 1 && n != 2 {
			t.Errorf("%d connections were found idle", n)
		}
		same(t, "given up", h.stats.Get(KeepaliveTimeouts)+a.stats.Get(KeepaliveTimeouts), 0)
		_, err = c.Call(t.Context(), &Request{Method: "echo"})
		same(t, "unsent on the old connection", IsUnsent(err), true)
		again, err := p.Conn(t.Context())
		if err != nil || again == c {
			t.Fatalf("no new connection: %v", err)
		}
		call(t, again, "echo", nil)
		same(t, "protocol errors", h.stats.Get(ProtocolErrors)+a.stats.Get(ProtocolErrors), 0)
		l.closeAll(h, a)
	})
}

// closeAll ends what must end inside a synctest bubble.
func (l *lab) closeAll(h *host, eps ...*Endpoint) {
	for _, ep := range eps {
		ep.Close()
	}
	h.Close()
	_ = h.port.Close()
}

// A connection with a call now and then, one that lasts, an open stream, or
// one-way calls is not idle.
func TestUsedConnectionStays(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, c *Conn){
		"calls now and then": func(t *testing.T, c *Conn) {
			for range 20 {
				pass(DefaultIdleTimeout / 3)
				if r, err := c.Call(t.Context(), &Request{Method: "unary"}); err == nil {
					r.Release()
				}
			}
		},
		"one-way calls now and then": func(_ *testing.T, c *Conn) {
			for range 20 {
				pass(DefaultIdleTimeout / 3)
				_ = c.Notify(&Request{Method: "unary"})
			}
		},
		"a stream that says nothing": func(t *testing.T, c *Conn) {
			s := (&lab{TB: t}).stream(c, "echo", nil)
			pass(5 * DefaultIdleTimeout)
			s.Close()
			pass(DefaultIdleTimeout / 2) // the time counts from its end
		},
		"calls of the other side": func(t *testing.T, c *Conn) {
			for range 20 {
				pass(DefaultIdleTimeout / 3)
				for _, far := range c.ep.cfg.Handler.(*hostOf).open() {
					if r, err := far.Call(t.Context(), &Request{Method: "unary"}); err == nil {
						r.Release()
					}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lab{t, newMemNet(10 << 10)}
				h := l.host(Config{Name: "b", Handler: streamKinds()})
				c := l.dial(l.endpoint(Config{Name: "a", Handler: &hostOf{echo{}, h}}), h)
				use(t, c)
				same(t, "end", c.Err(), nil)
				l.closeAll(h, c.ep)
			})
		})
	}
}

// hostOf is a handler that knows the other side.
type hostOf struct {
	echo
	*host
}

func (h *hostOf) ServeCall(in *Incoming) { h.echo.ServeCall(in) }

// A call that crosses the goaway of an idle connection is unsent, and one that
// was made just before is served: an idle connection loses nothing.
func TestCallMeetsIdleEnd(t *testing.T) {
	l := &lab{t, newMemNet(10 << 10)}
	for range 200 {
		h := l.host(Config{Name: "b", Handler: echo{}})
		c := l.dial(l.endpoint(Config{Name: "a", Handler: echo{}}), h)
		far := h.far(t)
		call(t, c, "echo", nil)
		calls := []<-chan answer{
			goCall(context.Background(), c, &Request{Method: "echo"}),
			goCall(context.Background(), far, &Request{Method: "echo"}),
		}
		now := far.ep.tick.Load() + int64(DefaultIdleTimeout/DefaultKeepalive+1)*ticksPerKeepalive
		far.tend(now)
		for _, ch := range calls {
			if err := receive(t, "answer", ch).err; err != nil && !IsUnsent(err) {
				t.Fatalf("call across the end: %v", err)
			}
		}
		c.Close()
		h.Close()
	}
}

// Idle connections keep no buffers: neither side's of a long call, and TLS or
// not, the connection works on.
func TestBuffersOfIdleConnections(t *testing.T) {
	overAll(t, func(l *lab) {
		limits := Limits{Keepalive: 40 * time.Millisecond, KeepaliveTimeout: patience, IdleTimeout: -1}
		h := l.host(Config{Name: "b", Handler: echo{}, Limits: limits})
		c := l.dial(l.endpoint(Config{Name: "a", Limits: limits}), h)
		far := h.far(l)
		for range 3 {
			call(l, c, "echo", make([]byte, 200_000))
			for _, side := range []*Conn{c, far} {
				eventually(l, "small buffers", func() bool {
					side.out.mu.Lock()
					defer side.out.mu.Unlock()
					return side.life.readBuffer.Load() <= minReadBuffer && cap(side.out.buf)+cap(side.out.spare) <= minReadBuffer
				})
			}
		}
		same(l, "end", c.Err(), nil)
	})
}

// pass lets virtual time pass. It is called inside synctest.Test only.
func pass(d time.Duration) { <-time.After(d) }
