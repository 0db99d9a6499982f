package transport

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/meshnode/meshnode/internal/wire"
)

// goAway writes a goaway frame's header and text.
func goAway(last uint64, code reason, text string) func([]byte) []byte {
	return func(b []byte) []byte { return append(wire.AppendGoAway(b, last, uint64(code)), text...) }
}

func reply(id uint64, body string) func([]byte) []byte {
	return func(b []byte) []byte { return append(wire.AppendReply(b, id, 0, nil), body...) }
}

// A goaway divides the calls: those above its id were never executed, the
// others finish. Then the connection ends by the reason that the peer gave.
func TestGoAwayDividesCalls(t *testing.T) {
	overAll(t, func(l *lab) {
		c, r := l.rawPair(Config{})
		var calls [3]<-chan answer
		for i := range calls {
			calls[i] = goCall(context.Background(), c, &Request{Method: "m"})
			if _, h, _ := r.next(); h.Kind != wire.KindCall || h.ID != uint64(2*i+1) {
				l.Fatalf("%v %d arrived as call %d", h.Kind, h.ID, i+1)
			}
		}
		r.send(goAway(3, 0, "going"))
		is(l, "above the last id", receive(l, "end of the third", calls[2]).err, ErrShutdown, true)
		_, err := c.Call(context.Background(), &Request{Method: "m"})
		is(l, "new call", err, ErrShutdown, true)
		is(l, "new one-way call", c.Notify(&Request{Method: "m"}), ErrShutdown, true)
		same(l, "still open", c.Err(), nil)
		r.send(reply(3, "two"))
		r.send(reply(1, "one"))
		for _, ch := range calls[:2] {
			if a := receive(l, "accepted call", ch); a.err != nil {
				l.Errorf("accepted call: %v", a.err)
			}
		}
		r.ended()
		receive(l, "end", c.Closed())
		is(l, "cause", c.Err(), ErrShutdown, false)
		var said *RefusedError
		if !errors.As(c.Err(), &said) || said.Text != "going" {
			l.Errorf("the peer's words are lost: %v", c.Err())
		}
	})
}

// The stream breaks between a goaway and the replies it promised.
func TestGoAwayThenBroken(t *testing.T) {
	overAll(t, func(l *lab) {
		c, r := l.rawPair(Config{})
		first := goCall(context.Background(), c, &Request{Method: "m"})
		r.next()
		second := goCall(context.Background(), c, &Request{Method: "m"})
		r.next()
		r.send(goAway(1, 1, "you broke it"))
		is(l, "second", receive(l, "end", second).err, ErrProtocol, true)
		_ = r.nc.Close()
		err := receive(l, "end", first).err
		is(l, "first", err, ErrClosed, false)
		is(l, "its cause", err, ErrProtocol, false)
	})
}

// Every reason arrives as the error that it stands for, its text cleaned.
func TestGoAwayReasons(t *testing.T) {
	l := &lab{t, newMemNet(4096)}
	for code := range reason(len(reasons) + 1) {
		want := ErrProtocol // what a later version adds is a violation to us
		if int(code) < len(reasons) {
			want = reasons[code]
			same(t, "code of "+want.Error(), reasonOf(fmt.Errorf("wrapped: %w", want)), code)
		}
		c, r := l.rawPair(Config{})
		r.send(goAway(0, code, "line\none\x1b[31m"))
		receive(t, "end", c.Closed())
		for i, known := range reasons {
			if known != want && errors.Is(c.Err(), known) {
				t.Errorf("code %d arrived as code %d, too", code, i)
			}
		}
		var said *RefusedError
		if !errors.As(c.Err(), &said) || said.Err != want || said.Text != "lineone[31m" {
			t.Errorf("code %d arrived as %v", code, c.Err())
		}
	}
	same(t, "code of an unknown error", reasonOf(errors.New("other")), 1)
	same(t, "code of a frame over the limit", reasonOf(fmt.Errorf("%w: %w", ErrProtocol, errors.New("x"))), 1)
}

func TestPrintable(t *testing.T) {
	long := make([]byte, 10*maxReasonText)
	for i := range long {
		long[i] = 'x'
	}
	same(t, "long", len(printable(long)), maxReasonText)
	same(t, "bytes", printable([]byte("a\x00b\xffc\td~")), "abcd~")
}

// Who gets a goaway while it serves calls of the other side finishes them.
func TestGoAwayWhileServing(t *testing.T) {
	overAll(t, func(l *lab) {
		release, started := make(chan struct{}), make(chan struct{})
		c, r := l.rawPair(Config{Handler: methods{"m": func(in *Incoming) {
			close(started)
			hold(release)
			_ = in.Reply(CodeOK, nil, []byte("done"))
		}}})
		r.sendCall(2, "m")
		receive(l, "call", started)
		r.send(goAway(0, 0, ""))
		eventually(l, "goaway", func() bool { return c.parting.Load() != nil })
		same(l, "open while it serves", c.Err(), nil)
		close(release)
		_, h, body := r.next()
		same(l, "reply", fmt.Sprintf("%v %d %s", h.Kind, h.ID, body), "reply 2 done")
		r.ended()
	})
}

// A stopping side answers no call above its goaway's id, and ends the stream
// only when the peer has.
func TestDrainByFrames(t *testing.T) {
	overAll(t, func(l *lab) {
		release := make(chan struct{})
		h := l.host(Config{Name: "b", Handler: methods{"m": func(in *Incoming) {
			hold(release)
			_ = in.Reply(CodeOK, nil, []byte("last"))
		}}})
		r := l.greeted(h)
		r.sendCall(5, "m")
		r.send(func(b []byte) []byte { return wire.AppendNotify(b, "m", nil) })
		eventually(l, "calls", func() bool { return h.stats.Get(CallsReceived) == 2 })
		drained := make(chan struct{})
		go func() { h.Drain(context.Background()); close(drained) }()
		_, head, _ := r.next()
		same(l, "announced", fmt.Sprintf("%v %d %d", head.Kind, head.ID, head.Code), "goaway 5 0")
		r.sendCall(7, "m")
		r.sendCall(9, "m")
		far := h.far(l)
		_, err := far.Call(context.Background(), &Request{Method: "m"})
		is(l, "call by the stopping side", err, ErrShutdown, true)
		close(release)
		_, head, body := r.next()
		same(l, "reply", fmt.Sprintf("%v %d %s", head.Kind, head.ID, body), "reply 5 last")
		r.ended()
		same(l, "still draining", len(drained), 0)
		same(l, "not executed", h.stats.Get(CallsReceived), 2)
		_ = r.nc.Close()
		receive(l, "end of Drain", drained)
		same(l, "protocol errors", h.stats.Get(ProtocolErrors), 0)
	})
}

// Drain gives up at the end of its context, whatever the peer does.
func TestDrainIsBounded(t *testing.T) {
	for name, prepare := range map[string]func(*lab, *host, *raw){
		"handler that waits": func(l *lab, h *host, r *raw) {
			r.sendCall(1, "wait")
			eventually(l, "call", func() bool { return h.stats.Get(CallsReceived) == 1 })
		},
		"peer that does not close": func(*lab, *host, *raw) {},
		"peer that does not read": func(l *lab, h *host, r *raw) {
			for id := range uint64(5) {
				r.sendCall(2*id+1, "big")
			}
			eventually(l, "replies", func() bool {
				return h.stats.Get(CallsReceived) == 5 && h.far(l).serving.empty()
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t, newMemNet(1024)}
			h := l.host(Config{Name: "b", Limits: Limits{MaxBody: 16 << 10}, Handler: methods{
				"wait": func(in *Incoming) { <-in.Context().Done() },
				"big":  func(in *Incoming) { _ = in.Reply(CodeOK, nil, make([]byte, 8<<10)) },
			}})
			r := l.greeted(h)
			prepare(l, h, r)
			far := h.far(t)
			ctx, cancel := context.WithCancel(context.Background())
			drained := make(chan struct{})
			go func() { h.Drain(ctx); close(drained) }()
			eventually(t, "goaway", func() bool { return far.goaway.Load() })
			same(t, "drains before the end of its context", len(drained), 0)
			cancel()
			receive(t, "end of Drain", drained)
			is(t, "cause", far.Err(), ErrStopped, false)
		})
	}
}

// After Drain nobody gets in, and nobody gets out.
func TestDrainedTakesNobody(t *testing.T) {
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: echo{}})
		late := l.raw(h) // has come, but not greeted yet
		late.write([]byte(wire.Preface))
		eventually(l, "greeting", func() bool { return h.greetings() == 1 })
		h.Drain(context.Background())
		late.write(helloFrame(nil, &wire.Hello{Version: wire.Version}))
		late.ended() // and no hello: it must not think that it is served
		if _, err := l.endpoint(Config{}).Dial(context.Background(), h.addr, ""); err == nil {
			l.Error("a drained endpoint was reached")
		}
		_, err := h.Dial(context.Background(), h.addr, "")
		is(l, "dial by a drained endpoint", err, ErrClosed, false)
	})
}

func (ep *Endpoint) greetings() int {
	return ep.greeting.Len()
}
