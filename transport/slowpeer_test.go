package transport

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// trickle writes b one byte a second, until it fails or b ends.
func (r *raw) trickle(b []byte) error {
	for i := range b {
		if _, err := r.nc.Write(b[i : i+1]); err != nil {
			return err
		}
		pass(time.Second)
	}
	return nil
}

// patientRaw is greeted without a deadline of its own.
func (l *lab) patientRaw(h *host) *raw {
	r := l.greeted(h)
	_ = r.nc.SetDeadline(time.Time{})
	return r
}

// Who greets byte by byte is cut when a greeting has taken too long in all.
func TestHelloByteByByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t, newMemNet(1000)}
		h := l.host(Config{Name: "b"})
		r := l.raw(h)
		_ = r.nc.SetDeadline(time.Time{})
		start := time.Now()
		said := make(chan error, 1)
		go func() { said <- r.refusal() }()
		err := r.trickle(helloFrame([]byte(wire.Preface), &wire.Hello{Version: wire.Version, Cluster: "lab"}))
		if took := time.Since(start); err == nil || took > DefaultHandshakeTimeout+firstByteTimeout+refusalTimeout+2*time.Second {
			t.Errorf("cut after %v: %v", took, err)
		}
		is(t, "said", <-said, ErrHandshakeTimeout, false)
		counts(t, h.Endpoint, ConnsRefused, 1)
		l.closeAll(h)
	})
}

// Who sends a frame byte by byte answers no ping meanwhile, and is given up.
func TestFrameByteByByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t, newMemNet(1000)}
		h := l.host(Config{Name: "b"})
		r := l.patientRaw(h)
		far := h.far(t)
		start := time.Now()
		_ = r.trickle(frame(func(b []byte) []byte { return wire.AppendCall(b, 1, string(make([]byte, 1000)), nil) }))
		if took := time.Since(start); took > 2*(DefaultKeepalive+DefaultKeepaliveTimeout) {
			t.Errorf("cut after %v", took)
		}
		same(t, "cause", far.Err(), ErrKeepalive)
		counts(t, h.Endpoint, KeepaliveTimeouts, 1)
		l.closeAll(h)
	})
}

// A body in parts that does not go on is dropped, answered and counted; what it
// had declared is free again. One that goes on slowly may take its time.
func TestBodyThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t, newMemNet(100_000)}
		const most = 1 << 20
		h := l.host(Config{Name: "b", Handler: echo{}, Limits: Limits{MaxBody: most, MaxIncomplete: most}})
		r := l.patientRaw(h)
		go func() { // pongs, which keep the connection
			pong := frame(func(b []byte) []byte { return wire.AppendPong(b, 0) })
			for err := error(nil); err == nil; _, err = r.nc.Write(pong) {
				time.Sleep(DefaultKeepalive / 2)
			}
		}()
		start := time.Now()
		r.write(partsCall(1, most))
		r.write(dataFrame(1, 1000))
		r.write(partsCall(3, 1)) // there is no room for one byte more
		head := r.skipTo(wire.KindReply)
		same(t, "refusal", fmt.Sprint(head.ID, " ", head.Code), fmt.Sprint("3 ", CodeResourceExhausted))
		counts(t, h.Endpoint, CallsOverLimit, 1)
		r.write(dataFrame(3, 1)) // already on its way

		head = r.skipTo(wire.KindReply)
		same(t, "reply", fmt.Sprint(head.ID, " ", head.Code), fmt.Sprint("1 ", CodeDeadlineExceeded))
		if took := time.Since(start); took < DefaultStallTimeout || took > DefaultStallTimeout+DefaultKeepalive {
			t.Errorf("dropped after %v", took)
		}
		counts(t, h.Endpoint, StreamsStalled, 1)
		same(t, "bytes under way", h.incomplete.Load(), 0)
		same(t, "calls served", h.served.Load(), 0)
		r.write(dataFrame(1, 1000)) // late

		r.write(partsCall(5, 3))
		for range 3 {
			time.Sleep(DefaultStallTimeout - 2*DefaultKeepalive)
			r.write(dataFrame(5, 1))
		}
		head = r.skipTo(wire.KindReply)
		same(t, "slow one", fmt.Sprint(head.ID, " ", head.Code), "5 0")
		same(t, "protocol errors", h.stats.Get(ProtocolErrors), 0)
		_ = r.nc.Close()
		time.Sleep(DefaultKeepalive) // until the pongs have ended
		l.closeAll(h)
	})
}

// A declared length costs nothing: memory is taken as bytes arrive.
func TestDeclaredBodyCostsNothing(t *testing.T) {
	l := &lab{t, newMemNet(100_000)}
	h := l.host(Config{Name: "b", Limits: Limits{MaxBody: MaxMaxBody, MaxIncomplete: MaxMaxBody}})
	r := l.greeted(h)
	grown := allocated(func() {
		r.write(partsCall(1, MaxMaxBody))
		eventually(t, "call", func() bool { return h.stats.Get(CallsReceived) == 1 })
	})
	if grown > 64<<10 {
		t.Errorf("a declared GiB cost %d bytes", grown)
	}
	grown = allocated(func() {
		for range 100 {
			r.write(dataFrame(1, 10))
		}
		eventually(t, "parts", func() bool { return r.nc.(*memConn).out.buffered() == 0 })
	})
	if grown > 2*firstSegment+100<<10 {
		t.Errorf("a KiB of a declared GiB cost %d bytes", grown)
	}
	r.write(partsCall(3, MaxMaxBody+1))
	same(t, "more than the limit", r.skipTo(wire.KindReply).Code, CodeResourceExhausted)
	counts(t, h.Endpoint, BodiesTooLarge, 1)
	_ = r.nc.Close()
	eventually(t, "nothing under way", func() bool { return h.incomplete.Load() == 0 && h.served.Load() == 0 })
}

// Bytes of a body cost no more than themselves and a segment.
func TestInboundMemory(t *testing.T) {
	b := &inbound{left: 1 << 40}
	for range 5000 {
		if _, err := b.add(make([]byte, 777), 1<<40); err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, seg := range b.segments {
			total += cap(seg)
		}
		if most := b.have + maxSegment + firstSegment; total > most {
			t.Fatalf("%d bytes take %d, more than %d", b.have, total, most)
		}
	}
	same(t, "length", len(b.join()), 5000*777)
}

// Credit for a stream is bounded too.
func TestStreamCreditOverflow(t *testing.T) {
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: methods{"echo": streamEcho}})
		r := l.greeted(h)
		far := h.far(l)
		r.write(openFrame(1, "echo"))
		same(l, "acceptance", r.skipTo(wire.KindWindow).ID, 1)
		r.send(func(b []byte) []byte { return wire.AppendWindow(b, 1, maxCredit) })
		is(l, "said", r.refusal(), ErrWindowOverflow, false)
		receive(l, "end", far.Closed())
		is(l, "cause", far.Err(), ErrWindowOverflow, false)
		counts(l, h.Endpoint, WindowOverflows, 1)
		eventually(l, "end of the handler", func() bool { return h.served.Load() == 0 })
	})
}

// More data at once than the connection's window allows, though the body's would.
func TestConnectionWindowOverflow(t *testing.T) {
	overAll(t, func(l *lab) {
		release := make(chan struct{})
		limits := Limits{Window: 32 << 10, ConnWindow: 8 << 10}
		h := l.host(Config{Name: "b", Limits: limits, Handler: methods{"m": func(*Incoming) { hold(release) }}})
		r := l.greeted(h)
		far := h.far(l)
		go func() { _, _ = r.nc.Write(append(partsCall(1, 20_000), dataFrame(1, 9000)...)) }()
		is(l, "said", r.refusal(), ErrWindowOverflow, false)
		receive(l, "end", far.Closed())
		is(l, "cause", far.Err(), ErrWindowOverflow, false)
		counts(l, h.Endpoint, WindowOverflows, 1)
		close(release)
		eventually(l, "end of the handlers", func() bool { return h.served.Load() == 0 })
	})
}

// A peer that grants more than anybody can hold, and reads nothing, makes
// nobody queue it.
func TestLargeCreditWithoutReading(t *testing.T) {
	for _, method := range []string{"stream", "reply"} {
		t.Run(method, func(t *testing.T) {
			const queue = 256 << 10
			l := &lab{t, newMemNet(1000)}
			h := l.host(Config{Name: "b", Limits: Limits{MaxQueued: queue, WriteTimeout: time.Hour}, Handler: methods{
				"stream": func(in *Incoming) {
					in.Stream().Accept()
					for in.Stream().Send(make([]byte, wire.Chunk)) == nil {
					}
				},
				"reply": func(in *Incoming) { _ = in.Reply(CodeOK, nil, make([]byte, DefaultMaxBody)) },
			}})
			r := l.greetedWith(h, &wire.Hello{Version: wire.Version, Window: maxCredit, ConnWindow: maxCredit})
			far := h.far(t)
			if method == "stream" {
				r.write(append(openFrame(1, method), frame(func(b []byte) []byte {
					return wire.AppendWindow(b, 1, maxCredit-streamFloor)
				})...))
			} else {
				r.sendCall(1, method)
			}
			eventually(t, "full queue", func() bool {
				far.out.mu.Lock()
				defer far.out.mu.Unlock()
				return far.out.waiters > 0
			})
			if most := queue + 2*(wire.Chunk+frameCost); far.out.waiting() > most {
				t.Errorf("%d bytes are queued, more than %d", far.out.waiting(), most)
			}
			_ = r.nc.Close()
			eventually(t, "end of the handler", func() bool { return h.served.Load() == 0 })
		})
	}
}

// A short StallTimeout is not shorter than it says.
func TestShortStallTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t, newMemNet(100_000)}
		h := l.host(Config{Name: "b", Handler: echo{}, Limits: Limits{StallTimeout: time.Second}})
		r := l.patientRaw(h)
		time.Sleep(DefaultKeepalive/ticksPerKeepalive - time.Millisecond) // just before the next look
		start := time.Now()
		r.write(partsCall(1, 100))
		same(t, "code", r.skipTo(wire.KindReply).Code, CodeDeadlineExceeded)
		if took := time.Since(start); took < time.Second {
			t.Errorf("dropped after %v", took)
		}
		_ = r.nc.Close()
		l.closeAll(h)
	})
}
