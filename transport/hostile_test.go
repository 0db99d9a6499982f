package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/meshnode/meshnode/internal/wire"
)

const hostileLimit = 100_000

// violations are bytes on an established connection, after call 7 was accepted
// and while call 9 is being served.
var violations = []struct {
	name  string
	bytes []byte
	want  error // at the server
	said  error // to the peer
}{
	{"duplicate id", callFrame(9), ErrDuplicateID, ErrProtocol},
	{"id going backwards", callFrame(8), ErrDuplicateID, ErrProtocol},
	{"id of an answered call", callFrame(7), ErrDuplicateID, ErrProtocol},
	{"id 0", callFrame(0), ErrDuplicateID, ErrProtocol},
	{"reply to nothing", frame(reply(1, "")), ErrUnexpectedFrame, ErrProtocol},
	{"reply to the largest id", frame(reply(1<<64-1, "")), ErrUnexpectedFrame, ErrProtocol},
	{"call of the wrong side", callFrame(10), ErrWrongSide, ErrProtocol},
	{"stream of the wrong side", frame(func(b []byte) []byte { return wire.AppendOpen(b, 10, "echo", nil) }), ErrWrongSide, ErrProtocol},
	{"stream with a body in parts", frame(func(b []byte) []byte {
		return wire.AppendOpen(b, 11, "echo", &Meta{Partition: NoPartition, Length: 9})
	}), ErrBodyLength, ErrProtocol},
	{"one-way call with a body in parts", frame(func(b []byte) []byte {
		return wire.AppendNotify(b, "echo", &Meta{Partition: NoPartition, Length: 9})
	}), ErrBodyLength, ErrProtocol},
	{"body in parts and in the call", frame(func(b []byte) []byte {
		return append(wire.AppendCall(b, 11, "echo", &Meta{Partition: NoPartition, Length: 9}), 'x')
	}), ErrBodyLength, ErrProtocol},
	{"body longer than declared", append(partsCall(11, 9), dataFrame(11, 10)...), ErrBodyLength, ErrProtocol},
	{"empty part of a body", append(partsCall(11, 9), dataFrame(11, 0)...), ErrBodyLength, ErrProtocol},
	{"more data than the window", append(partsCall(11, hostileLimit), dataFrame(11, 9000)...), ErrWindowOverflow, ErrWindowOverflow},
	{"credit that cannot be counted", frame(func(b []byte) []byte { return wire.AppendWindow(b, 0, 1<<63) }), ErrWindowOverflow, ErrWindowOverflow},
	{"more credit than can be counted", bytes.Repeat(frame(func(b []byte) []byte {
		return wire.AppendWindow(b, 0, 1<<30)
	}), 3), ErrWindowOverflow, ErrWindowOverflow},
	{"ping flood", bytes.Repeat(frame(func(b []byte) []byte { return wire.AppendPing(b, 1) }), pingBurst+2), ErrPingFlood, ErrPingFlood},
	{"more data than a stream's window", append(openFrame(11, "stream"), dataFrame(11, 9000)...), ErrWindowOverflow, ErrWindowOverflow},
	{"data of a stream that nobody opened", append(openFrame(11, "stream"), dataFrame(13, 1)...), ErrUnexpectedFrame, ErrProtocol},
	{"acceptance of nothing", frame(func(b []byte) []byte { return wire.AppendWindow(b, 2, 0) }), ErrUnexpectedFrame, ErrProtocol},
	{"data", []byte("\x00\x00\x00\x03\x92\x04\x0a"), ErrUnexpectedFrame, ErrProtocol},
	{"half-close", []byte("\x00\x00\x00\x03\x92\x05\x0a"), ErrUnexpectedFrame, ErrProtocol},
	{"window", []byte("\x00\x00\x00\x04\x93\x07\x0a\x01"), ErrUnexpectedFrame, ErrProtocol},
	{"second hello", helloFrame(nil, &wire.Hello{Version: 1}), ErrUnexpectedFrame, ErrProtocol},
	{"kind of no meaning", []byte("\x00\x00\x00\x02\x92\x0c"), wire.ErrUnknownKind, ErrProtocol},
	{"empty frame", []byte("\x00\x00\x00\x00"), wire.ErrTruncated, ErrProtocol},
	{"no array", []byte("\x00\x00\x00\x01\xc0"), wire.ErrMalformed, ErrProtocol},
	{"call cut short", []byte("\x00\x00\x00\x03\x94\x00\x0a"), wire.ErrTruncated, ErrProtocol},
	{"call that lies", []byte("\x00\x00\x00\x0a\x94\x00\x0a\xa1m\xdf\xff\xff\xff\xff"), wire.ErrTruncated, ErrProtocol},
	{"ping without a number", []byte("\x00\x00\x00\x02\x91\x08"), wire.ErrTruncated, ErrProtocol},
	{"reply without an id", []byte("\x00\x00\x00\x02\x91\x01"), wire.ErrTruncated, ErrProtocol},
	{"frame over the limit", binaryLength(wire.MaxFrame + 1), ErrFrameTooLarge, ErrFrameTooLarge},
	{"frame of 4 GiB", binaryLength(1<<32 - 1), ErrFrameTooLarge, ErrFrameTooLarge},
	{"header over its limit", frame(func(b []byte) []byte {
		return wire.AppendNotify(b, string(make([]byte, wire.MaxHeader)), nil)
	}), wire.ErrHeaderTooLarge, ErrProtocol},
}

// partsCall is a call whose body follows, dataFrame a part of one.
func partsCall(id, length uint64) []byte {
	return frame(func(b []byte) []byte {
		return wire.AppendCall(b, id, "echo", &Meta{Partition: NoPartition, Length: length})
	})
}

func dataFrame(id uint64, n int) []byte {
	return frame(func(b []byte) []byte { return append(wire.AppendData(b, id, false), make([]byte, n)...) })
}

func openFrame(id uint64, method string) []byte {
	return frame(func(b []byte) []byte { return wire.AppendOpen(b, id, method, nil) })
}

func callFrame(id uint64) []byte {
	return frame(func(b []byte) []byte { return wire.AppendCall(b, id, "echo", nil) })
}

func binaryLength(n uint32) []byte {
	return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// A violation ends its connection with a named error, which is counted and told
// to the peer; what runs there is cancelled, and other connections go on.
func TestViolations(t *testing.T) {
	for _, v := range violations {
		t.Run(v.name, func(t *testing.T) {
			l := &lab{t, newMemNet(100 << 10)}
			e := newEnds()
			close(e.release)
			h := l.host(Config{Name: "b", Limits: Limits{MaxBody: hostileLimit, Window: 8 << 10}, Handler: methods{
				"echo": echo{}.ServeCall, "wait": e.ServeCall, "stream": streamEcho,
			}})
			r := l.greeted(h)
			far := h.far(t)
			other := l.dial(l.endpoint(Config{}), h)
			r.sendCall(7, "echo")
			r.next()
			r.sendCall(9, "wait")
			receive(t, "call", e.started)

			r.write(v.bytes)
			is(t, "said to the peer", r.refusal(), v.said, false)
			receive(t, "end", far.Closed())
			is(t, "cause", far.Err(), v.want, false)
			is(t, "cause", far.Err(), v.said, false)
			same(t, "context of the call that ran", receive(t, "end", e.ended), context.Canceled)
			counts(t, h.Endpoint, ProtocolErrors, 1)
			for counter, of := range map[Counter]error{
				FramesTooLarge: ErrFrameTooLarge, WindowOverflows: ErrWindowOverflow, PingFloods: ErrPingFlood,
			} {
				n := uint64(0)
				if v.said == of {
					n = 1
				}
				counts(t, h.Endpoint, counter, n)
			}
			same(t, "others", string(call(t, other, "echo", []byte("go on"))), "go on")
			eventually(t, "end of the one connection only", func() bool { return h.Conns() == 1 })
		})
	}
}

// Frames that come too late or say nothing of use are no violations.
func TestHarmlessFrames(t *testing.T) {
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: echo{}})
		r := l.greeted(h)
		for _, build := range []func([]byte) []byte{
			func(b []byte) []byte { return wire.AppendCancel(b, 99, 1) },
			func(b []byte) []byte { return wire.AppendCancel(b, 1<<63, 77) },
			func(b []byte) []byte { return wire.AppendPong(b, 99) },
			func(b []byte) []byte { return append(b, "\x94\x08\x05\xa1x\xc0ignored"...) }, // newer elements
			func(b []byte) []byte { return append(wire.AppendPing(b, 6), "a body"...) },
			func(b []byte) []byte { return wire.AppendNotify(b, "nobody serves this", nil) },
		} {
			r.send(build)
		}
		for n := range uint64(2) {
			_, head, _ := r.next()
			same(l, "pong", fmt.Sprint(head.Kind, " ", head.Code), fmt.Sprint("pong ", n+5))
		}
		r.sendCall(3, "echo")
		_, head, _ := r.next()
		same(l, "reply", head.ID, 3)
		same(l, "protocol errors", h.stats.Get(ProtocolErrors), 0)
	})
}

// The stream may end anywhere; that is no violation, and nobody is told.
func TestStreamEnds(t *testing.T) {
	for cut, want := range map[int]error{0: io.EOF, 1: io.ErrUnexpectedEOF, 4: io.ErrUnexpectedEOF, 9: io.ErrUnexpectedEOF} {
		overAll(t, func(l *lab) {
			h := l.host(Config{Name: "b"})
			r := l.greeted(h)
			far := h.far(l)
			r.write(callFrame(1)[:cut])
			closeWrite(r.nc)
			receive(l, "end", far.Closed())
			same(l, fmt.Sprintf("cause after %d bytes", cut), far.Err(), want)
			r.ended()
			same(l, "protocol errors", h.stats.Get(ProtocolErrors), 0)
			counts(l, h.Endpoint, ConnsClosed, 1)
		})
	}
}

// A server's reply that cannot be read ends the connection, by the caller's
// hand; its call and others are ambiguous, and all name the violation.
func TestMalformedReply(t *testing.T) {
	overAll(t, func(l *lab) {
		c, r := l.rawPair(Config{})
		first := goCall(context.Background(), c, &Request{Method: "m"})
		r.next()
		second := goCall(context.Background(), c, &Request{Method: "m"})
		r.next()
		r.write([]byte("\x00\x00\x00\x05\x94\x01\x01\x00\xc0"))
		is(l, "said to the peer", r.refusal(), ErrProtocol, false)
		is(l, "its call", receive(l, "end", first).err, wire.ErrMalformed, false)
		err := receive(l, "end", second).err
		is(l, "another call", err, ErrClosed, false)
		is(l, "another call's cause", err, ErrProtocol, false)
		is(l, "cause", c.Err(), ErrProtocol, false)
		counts(l, c.ep, ProtocolErrors, 1)
	})
}

func TestMalformedReplyIsNamed(t *testing.T) {
	l := &lab{t, newMemNet(1000)}
	c, r := l.rawPair(Config{})
	ended := goCall(context.Background(), c, &Request{Method: "m"})
	r.next()
	r.write([]byte("\x00\x00\x00\x03\x92\x01\x01"))
	is(t, "call", receive(t, "end", ended).err, ErrProtocol, false)
}

// Replies to calls that were given up are counted and dropped, with any body.
func TestLateReplies(t *testing.T) {
	overAll(t, func(l *lab) {
		c, r := l.rawPair(Config{})
		ctx, cancel := context.WithCancel(context.Background())
		ended := goCall(ctx, c, &Request{Method: "m"})
		r.next()
		cancel()
		is(l, "call", receive(l, "end", ended).err, context.Canceled, false)
		_, head, _ := r.next()
		same(l, "told", fmt.Sprint(head.Kind, " ", head.ID, " ", head.Code), "cancel 1 1")
		for _, body := range []string{"", "late", string(bytes.Repeat([]byte("x"), wire.Chunk))} {
			r.send(reply(1, body))
		}
		counts(l, c.ep, RepliesUnexpected, 3)
		next := goCall(context.Background(), c, &Request{Method: "m"})
		r.next()
		r.send(reply(3, ""))
		same(l, "next call", receive(l, "answer", next).err, nil)
	})
}

// A peer that calls faster than is served is refused by name, call by call; the
// calls that were admitted are served, and then there is room again.
func TestFloodOverTheCallLimit(t *testing.T) {
	overAll(t, func(l *lab) {
		const limit, calls = 10, 25
		release := make(chan struct{})
		h := l.host(Config{Name: "b", Limits: Limits{MaxCalls: limit}, Handler: methods{"m": func(in *Incoming) {
			hold(release)
			_ = in.Reply(CodeOK, nil, nil)
		}}})
		r := l.greeted(h)
		go func() { // the narrow network needs a reader meanwhile
			for id := range uint64(calls) {
				r.sendCall(2*id+1, "m")
			}
			r.send(func(b []byte) []byte { return wire.AppendNotify(b, "m", nil) })
		}()
		for id := uint64(limit + 1); id <= calls; id++ {
			_, head, _ := r.next()
			same(l, "refusal", fmt.Sprint(head.ID, " ", head.Code), fmt.Sprint(2*id-1, " ", CodeResourceExhausted))
			if len(head.Meta.Message) == 0 {
				l.Error("no word about why")
			}
		}
		counts(l, h.Endpoint, CallsOverLimit, calls-limit+1)
		counts(l, h.Endpoint, CallsReceived, limit)
		close(release)
		for range limit {
			_, head, _ := r.next()
			same(l, "code", head.Code, CodeOK)
		}
		r.sendCall(2*calls+1, "m")
		_, head, _ := r.next()
		same(l, "with room again", head.Code, CodeOK)
	})
}

// The caller's side keeps to the limit that the peer's hello gave.
func TestCallerKeepsTheCallLimit(t *testing.T) {
	l := &lab{t, newMemNet(1000)}
	e := newEnds()
	close(e.release)
	h := l.host(Config{Name: "b", Limits: Limits{MaxCalls: 2}, Handler: e})
	c := l.dial(l.endpoint(Config{}), h)
	ctx, cancel := context.WithCancel(context.Background())
	one, two := goCall(ctx, c, &Request{Method: "m"}), goCall(ctx, c, &Request{Method: "m"})
	receive(t, "call", e.started)
	receive(t, "call", e.started)
	_, err := c.Call(ctx, &Request{Method: "m"})
	is(t, "third call", err, ErrTooManyCalls, true)
	cancel()
	for _, ch := range []<-chan answer{one, two} {
		if err := receive(t, "end", ch).err; !errors.Is(err, context.Canceled) {
			t.Errorf("call: %v", err)
		}
	}
	counts(t, h.Endpoint, CallsOverLimit, 0)
}
