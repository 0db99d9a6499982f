package transport

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// The stream breaks under a call that the peer has: its outcome is unknown. One
// that comes afterwards cannot have been sent.
func TestCutUnderACall(t *testing.T) {
	overAll(t, func(l *lab) {
		for name, cut := range map[string]func(c, far *Conn){
			"by the peer":      func(_, far *Conn) { far.Close() },
			"by this side":     func(c, _ *Conn) { c.Close() },
			"of the stream":    func(_, far *Conn) { _ = far.nc.Close() },
			"of our own end":   func(c, _ *Conn) { _ = c.nc.Close() },
			"of its endpoint":  func(_, far *Conn) { far.ep.Close() },
			"of this endpoint": func(c, _ *Conn) { c.ep.Close() },
		} {
			e := newEnds()
			close(e.release)
			c, h := l.pair(e)
			far := h.far(l)
			ended := goCall(context.Background(), c, &Request{Method: "m"})
			receive(l, "call", e.started)
			cut(c, far)
			is(l, "cut "+name, receive(l, "end of the call", ended).err, ErrClosed, false)
			same(l, "handler's context, cut "+name, receive(l, "end", e.ended), context.Canceled)
			receive(l, "end", c.Closed())
			if c.Err() == nil {
				l.Errorf("cut %s: no cause", name)
			}
			_, err := c.Call(context.Background(), &Request{Method: "m"})
			is(l, "after the cut "+name, err, ErrClosed, true)
			is(l, "one-way, after the cut "+name, c.Notify(&Request{Method: "m"}), ErrClosed, true)
			counts(l, c.ep, ConnsClosed, 1)
			eventually(l, "no connection", func() bool { return c.ep.Conns() == 0 })
		}
	})
}

// stalled gives a connection whose peer reads nothing. Three calls wait: the
// first has left wholly, the second in part, the third not at all.
func stalled(l *lab, cfg Config) (c *Conn, r *raw, calls [3]<-chan answer) {
	const room = 4096
	l.net = newMemNet(room)
	c, r = l.rawPair(cfg)
	pipe := r.nc.(*memConn).in
	calls[0] = goCall(context.Background(), c, &Request{Method: "whole"})
	eventually(l, "first frame on the wire", func() bool { return pipe.buffered() > 0 && !c.out.isBusy() })
	calls[1] = goCall(context.Background(), c, &Request{Method: "part", Body: make([]byte, 10*room)})
	eventually(l, "write that blocks", func() bool { return pipe.buffered() == room && c.out.isBusy() })
	calls[2] = goCall(context.Background(), c, &Request{Method: "queued"})
	eventually(l, "frame in the queue", func() bool { return c.out.waiting() > 0 })
	return c, r, calls
}

func (w *writer) isBusy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy
}

func (w *writer) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.buf)
}

// A write that fails tells how far it came: only calls that left wholly are
// ambiguous.
func TestUnsentAfterFailedWrite(t *testing.T) {
	for name, fail := range map[string]func(*raw){
		"timeout":      func(*raw) {},
		"reset":        func(r *raw) { r.nc.(*memConn).in.reset() },
		"peer's close": func(r *raw) { _ = r.nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{TB: t}
			cfg := Config{Limits: Limits{WriteTimeout: time.Hour}}
			if name == "timeout" {
				cfg.WriteTimeout = 50 * time.Millisecond
			}
			_, r, calls := stalled(l, cfg)
			fail(r)
			// Whose end is seen first, the reader's or the writer's, decides
			// about the second: when the writer's is not known, it is ambiguous.
			is(t, "whole", receive(t, "first", calls[0]).err, ErrClosed, false)
			if err := receive(t, "second", calls[1]).err; name == "timeout" {
				is(t, "part", err, ErrClosed, true)
			}
			is(t, "queued", receive(t, "third", calls[2]).err, ErrClosed, true)
		})
	}
}

// Close during a write: what is being written is ambiguous, what is queued
// behind it cannot have left.
func TestUnsentAfterClose(t *testing.T) {
	l := &lab{TB: t}
	c, _, calls := stalled(l, Config{})
	c.Close()
	is(t, "whole", receive(t, "first", calls[0]).err, ErrClosed, false)
	is(t, "part", receive(t, "second", calls[1]).err, ErrClosed, false)
	is(t, "queued", receive(t, "third", calls[2]).err, ErrClosed, true)
}

// A peer that does not read fills the queue, which then takes nothing more;
// when it reads again, all goes on.
func TestWriteQueueFull(t *testing.T) {
	l := &lab{TB: t, net: newMemNet(1024)}
	c, r := l.rawPair(Config{Limits: Limits{MaxQueued: 64 << 10, WriteTimeout: time.Hour}})
	big := &Request{Method: "m", Body: make([]byte, 60<<10)}
	if err := c.Notify(big); err != nil {
		t.Fatal(err)
	}
	eventually(t, "write that blocks", c.out.isBusy) // else it could take all that is queued later
	sent := uint64(1)
	for {
		err := c.Notify(big)
		if err != nil {
			is(t, "full", err, ErrWriteQueueFull, true)
			break
		}
		if sent++; sent > 20 {
			t.Fatal("the queue never fills")
		}
	}
	_, err := c.Call(context.Background(), &Request{Method: "m"})
	is(t, "call", err, ErrWriteQueueFull, true)
	counts(t, c.ep, WriteQueueFull, 2)
	if most := callsWait*(64<<10) + wire.Chunk; c.out.waiting() > most {
		t.Errorf("%d bytes are queued, more than %d", c.out.waiting(), most)
	}
	for range sent {
		if _, h, body := r.next(); h.Kind != wire.KindNotify || len(body) != len(big.Body) {
			t.Fatalf("a %v of %d bytes came out of the queue", h.Kind, len(body))
		}
	}
	if err := c.Notify(&Request{Method: "again"}); err != nil {
		t.Error(err)
	}
	_, h, _ := r.next()
	same(t, "after the jam", string(h.Method), "again")
}

// Replies wait for room, and what waits still counts against the limit: a peer
// that calls and never reads cannot pile up work here.
func TestRepliesWaitForRoom(t *testing.T) {
	l := &lab{TB: t, net: newMemNet(1024)}
	const limit, room = 30, 16 // room: more replies than the queue takes
	body := bytes.Repeat([]byte("r"), 4096)
	h := l.host(Config{Name: "b", Limits: Limits{MaxQueued: 32 << 10, MaxCalls: limit, WriteTimeout: time.Hour}, Handler: methods{
		"m": func(in *Incoming) { _ = in.Reply(CodeOK, nil, body) },
	}})
	r := l.greeted(h)
	const calls = 200
	for id := range uint64(calls) {
		r.sendCall(2*id+1, "m")
	}
	eventually(t, "all calls", func() bool {
		return h.stats.Get(CallsReceived)+h.stats.Get(CallsOverLimit) == calls
	})
	admitted := int(h.stats.Get(CallsReceived))
	if admitted < limit || admitted > limit+room {
		t.Errorf("%d calls of a peer that does not read were admitted, the limit is %d", admitted, limit)
	}
	// Now it reads: each admitted call is answered, once.
	answered := map[uint64]bool{}
	for len(answered) < admitted {
		_, head, got := r.next()
		if head.Code == CodeResourceExhausted {
			continue
		}
		if got != string(body) || answered[head.ID] {
			t.Fatalf("reply %d: code %d, %d bytes", head.ID, head.Code, len(got))
		}
		answered[head.ID] = true
	}
}

func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{unsent(ErrShutdown), "transport: shutting down (not sent)"},
		{&CallError{Err: ErrClosed}, "transport: closed (outcome unknown)"},
		{reason(2).err(""), "transport: protocol version mismatch (said by the peer)"},
		{reason(2).err("x"), "transport: protocol version mismatch (the peer says: x)"},
		{&RefusedError{Err: ErrVersion, Text: "x", By: "b"}, `transport: protocol version mismatch ("b" says: x)`},
		{&RefusedError{Err: ErrVersion, By: "b"}, `transport: protocol version mismatch (said by "b")`},
		{&RefusedError{Err: ErrVersion, Text: ErrVersion.Error() + ": y", By: "b"}, `transport: protocol version mismatch: y (said by "b")`},
	} {
		same(t, "text", c.err.Error(), c.want)
		if strings.Contains(c.err.Error(), "\n") {
			t.Errorf("%q has more than one line", c.err)
		}
	}
}
