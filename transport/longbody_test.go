package transport

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// narrow tells that each byte is dear in the lab.
func (l *lab) narrow() bool {
	n, ok := l.net.(*memNet)
	return ok && n.buffer < 100
}

// inliner serves calls on the reader, if their method begins with "inline".
type inliner struct{ methods }

func (inliner) Inline(in *Incoming) bool { return bytes.HasPrefix(in.Method, []byte("inline")) }

// Bodies of any length go both ways, many at once, as calls and as replies of
// inline handlers, and small calls between them.
func TestLongBodies(t *testing.T) {
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: inliner{methods{
			"echo": echo{}.ServeCall,
			"inline": func(in *Incoming) {
				var n int
				_, _ = fmt.Sscan(string(in.Body), &n)
				_ = in.Reply(CodeOK, nil, pattern(n, 3))
			},
		}}})
		c := l.dial(l.endpoint(Config{Name: "a"}), h)
		sizes := []int{wire.Chunk, wire.Chunk + 1, 2 * wire.Chunk, DefaultWindow - 1, DefaultWindow + 1, 3 << 20, DefaultMaxBody}
		if l.narrow() {
			sizes = sizes[:5]
		}
		var wg sync.WaitGroup
		for i, n := range sizes {
			wg.Go(func() {
				body := pattern(n, uint64(i))
				if got := call(l, c, "echo", body); !bytes.Equal(got, body) {
					l.Errorf("%d bytes came back as %d", n, len(got))
				}
				if got := call(l, c, "inline", fmt.Append(nil, n)); !bytes.Equal(got, pattern(n, 3)) {
					l.Errorf("%d bytes of an inline handler came as %d", n, len(got))
				}
				same(l, "small one", string(call(l, c, "echo", []byte("small"))), "small")
			})
		}
		wg.Wait()
		quietAfterStreams(l, c, h)
	})
}

// requestMidway starts a call whose body the peer takes no more of than the
// window, and gives it when that much is sent.
func requestMidway(l *lab, c *Conn, r *raw, ctx context.Context, due time.Time) (ended <-chan answer, id uint64) {
	ended = goCall(ctx, c, &Request{Method: "long", Body: make([]byte, 2*DefaultWindow), Deadline: due})
	_, h, _ := r.next()
	same(l, "first frame", fmt.Sprint(h.Kind, " ", h.Meta.Length), fmt.Sprint("call ", 2*DefaultWindow))
	id = h.ID
	for got := 0; got+wire.Chunk+frameCost <= DefaultWindow; {
		_, h, body := r.next()
		same(l, "frame", fmt.Sprint(h.Kind, " ", h.ID, " ", h.More), fmt.Sprint("data ", id, " true"))
		got += len(body) + frameCost
	}
	return ended, id
}

// skipTo reads frames up to one of the kind.
func (r *raw) skipTo(kind wire.Kind) wire.Header {
	r.Helper()
	for {
		if _, h, _ := r.next(); h.Kind == kind {
			return h
		}
	}
}

// A request in the middle of its body ends by whatever ends a call, at once,
// and always as one that cannot have been executed.
func TestRequestEndsMidway(t *testing.T) {
	bg := context.Background()
	for name, test := range map[string]func(*lab, *Conn, *raw){
		"cancel": func(l *lab, c *Conn, r *raw) {
			ctx, cancel := context.WithCancel(bg)
			ended, id := requestMidway(l, c, r, ctx, time.Time{})
			cancel()
			is(l, "call", receive(l, "end", ended).err, context.Canceled, true)
			h := r.skipTo(wire.KindCancel)
			same(l, "told", fmt.Sprint(h.ID, " ", h.Code), fmt.Sprint(id, " ", CodeCanceled))
		},
		"deadline": func(l *lab, c *Conn, r *raw) {
			ended, id := requestMidway(l, c, r, bg, time.Now().Add(100*time.Millisecond))
			is(l, "call", receive(l, "end", ended).err, context.DeadlineExceeded, true)
			h := r.skipTo(wire.KindCancel)
			same(l, "told", fmt.Sprint(h.ID, " ", h.Code), fmt.Sprint(id, " ", CodeDeadlineExceeded))
		},
		"stall": func(l *lab, c *Conn, r *raw) {
			ended, id := requestMidway(l, c, r, bg, time.Time{})
			is(l, "call", receive(l, "end", ended).err, ErrStalled, true)
			same(l, "told", r.skipTo(wire.KindCancel).ID, id)
			counts(l, c.ep, StreamsStalled, 1)
		},
		"refusal": func(l *lab, c *Conn, r *raw) {
			ended, id := requestMidway(l, c, r, bg, time.Time{})
			r.send(func(b []byte) []byte { return wire.AppendReply(b, id, CodeResourceExhausted, nil) })
			same(l, "answer", receive(l, "answer", ended), answer{code: CodeResourceExhausted})
		},
		"goaway": func(l *lab, c *Conn, r *raw) {
			ended, _ := requestMidway(l, c, r, bg, time.Time{})
			r.send(goAway(0, 0, ""))
			is(l, "call", receive(l, "end", ended).err, ErrShutdown, true)
		},
		"cut": func(l *lab, c *Conn, r *raw) {
			ended, _ := requestMidway(l, c, r, bg, time.Time{})
			_ = r.nc.Close()
			is(l, "call", receive(l, "end", ended).err, ErrClosed, true)
		},
		"close": func(l *lab, c *Conn, r *raw) {
			ended, _ := requestMidway(l, c, r, bg, time.Time{})
			c.Close()
			is(l, "call", receive(l, "end", ended).err, ErrClosed, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			overAll(t, func(l *lab) {
				limits := Limits{StallTimeout: time.Minute}
				if name == "stall" {
					limits.StallTimeout = 100 * time.Millisecond
				}
				c, r := l.rawPair(Config{Limits: limits})
				test(l, c, r)
				c.out.mu.Lock()
				same(l, "senders and those that wait", len(c.flow.senders)+len(c.flow.waiting), 0)
				c.out.mu.Unlock()
				same(l, "calls that wait", c.pend.count(), 0)
			})
		})
	}
}

// Once its last part has left, a request may have been executed.
func TestCutAfterTheLastPart(t *testing.T) {
	overAll(t, func(l *lab) {
		e := newEnds()
		close(e.release)
		c, h := l.pair(e)
		ended := goCall(context.Background(), c, &Request{Method: "m", Body: make([]byte, 3*wire.Chunk)})
		receive(l, "call", e.started)
		h.far(l).Close()
		is(l, "call", receive(l, "end", ended).err, ErrClosed, false)
	})
}

// replyMidway starts a call of r to a host whose reply is longer than the
// window, and gives its id when that much has come.
func replyMidway(l *lab, r *raw, method string, length int, timeout time.Duration) (id uint64) {
	r.send(func(b []byte) []byte {
		return wire.AppendCall(b, 1, method, &Meta{Partition: NoPartition, Timeout: timeout})
	})
	for got := 0; got+wire.Chunk+frameCost <= min(length, DefaultWindow); {
		_, h, body := r.next()
		same(l, "frame", fmt.Sprint(h.Kind, " ", h.ID, " ", h.More), "data 1 true")
		got += len(body) + frameCost
	}
	return 1
}

// A reply in the middle of its body ends by whatever ends a call, and its
// handler is not kept.
func TestReplyEndsMidway(t *testing.T) {
	t.Parallel()
	const length = 2 * DefaultWindow
	for name, test := range map[string]struct {
		stall, timeout time.Duration
		do             func(*raw)
		code           uint64
	}{
		"cancel":            {time.Minute, 0, func(r *raw) { r.send(func(b []byte) []byte { return wire.AppendCancel(b, 1, 1) }) }, CodeCanceled},
		"deadline's cancel": {time.Minute, 0, func(r *raw) { r.send(func(b []byte) []byte { return wire.AppendCancel(b, 1, 4) }) }, CodeDeadlineExceeded},
		"deadline":          {time.Minute, 300 * time.Millisecond, func(*raw) {}, CodeDeadlineExceeded},
		"stall":             {200 * time.Millisecond, 0, func(*raw) {}, CodeUnavailable},
		"cut":               {time.Minute, 0, func(r *raw) { _ = r.nc.Close() }, CodeOK},
	} {
		for _, method := range []string{"worker", "inline"} {
			t.Run(name+" of "+method, func(t *testing.T) {
				t.Parallel()
				overAll(t, func(l *lab) {
					long := func(in *Incoming) { _ = in.Reply(CodeOK, nil, make([]byte, length)) }
					h := l.host(Config{
						Name: "b", Handler: inliner{methods{"worker": long, "inline": long, "echo": echo{}.ServeCall}},
						Limits: Limits{StallTimeout: test.stall},
					})
					r := l.greeted(h)
					far := h.far(l)
					replyMidway(l, r, method, length, test.timeout)
					test.do(r)
					if test.code != CodeOK {
						same(l, "code", r.skipTo(wire.KindReply).Code, test.code)
						r.sendCall(3, "echo")
						same(l, "next", r.skipTo(wire.KindReply).ID, 3)
					}
					eventually(l, "end of the handler", func() bool { return far.serving.empty() && h.served.Load() == 0 })
					same(l, "protocol errors", h.stats.Get(ProtocolErrors), 0)
				})
			})
		}
	}
}

// The client's side of a reply in the middle of its body.
func TestReplyBreaksOff(t *testing.T) {
	overAll(t, func(l *lab) {
		const limit = 100_000
		c, r := l.rawPair(Config{Limits: Limits{MaxBody: limit}})
		part := func(id uint64, n int) []byte { return dataFrame(id, n) }
		begin := func() <-chan answer {
			ended := goCall(context.Background(), c, &Request{Method: "m"})
			r.skipTo(wire.KindCall)
			return ended
		}
		ended := begin() // a code instead of the rest
		r.write(part(1, 50_000))
		r.send(func(b []byte) []byte { return wire.AppendReply(b, 1, CodeUnavailable, nil) })
		same(l, "broken off", receive(l, "answer", ended), answer{code: CodeUnavailable})

		ended = begin() // more than the limit
		r.write(append(part(3, 50_000), part(3, 50_001)...))
		is(l, "over the limit", receive(l, "end", ended).err, ErrBodyTooLarge, false)
		same(l, "told", r.skipTo(wire.KindCancel).ID, 3)
		counts(l, c.ep, BodiesTooLarge, 1)

		ended = begin() // as long as the limit; rest of the last is dropped
		r.write(append(part(3, 9), append(part(5, 50_000), part(5, 50_000)...)...))
		r.send(func(b []byte) []byte {
			return wire.AppendReply(b, 5, 0, &Meta{Partition: NoPartition, Length: limit})
		})
		same(l, "whole", receive(l, "answer", ended), answer{})

		ended, other := begin(), begin() // another length than came
		r.write(part(7, 10))
		r.send(func(b []byte) []byte {
			return wire.AppendReply(b, 7, 0, &Meta{Partition: NoPartition, Length: 11})
		})
		is(l, "said", r.refusal(), ErrProtocol, false)
		is(l, "call", receive(l, "end", ended).err, ErrBodyLength, false)
		is(l, "another", receive(l, "end", other).err, ErrProtocol, false)
	})
}

// A connection that goes away serves the bodies that it has accepted to their
// end, and drops the rest without complaint.
func TestDrainWithBodiesInParts(t *testing.T) {
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: echo{}})
		r := l.greeted(h)
		far := h.far(l)
		r.write(partsCall(1, 20))
		r.write(dataFrame(1, 10))
		eventually(l, "call", func() bool { return h.stats.Get(CallsReceived) == 1 })
		drained := make(chan struct{})
		go func() { h.Drain(context.Background()); close(drained) }()
		same(l, "goaway's last id", r.skipTo(wire.KindGoAway).ID, 1)
		r.write(append(partsCall(3, 20), dataFrame(3, 10)...)) // crossed the goaway
		r.write(frame(func(b []byte) []byte { return wire.AppendOpen(b, 5, "echo", nil) }))
		r.write(frame(func(b []byte) []byte { return wire.AppendHalfClose(b, 5) }))
		r.write(dataFrame(1, 10))
		head := r.skipTo(wire.KindReply)
		same(l, "reply", fmt.Sprint(head.ID, " ", head.Code), "1 0")
		_ = r.nc.Close()
		receive(l, "end of Drain", drained)
		isNot(l, "cause", far.Err(), ErrProtocol)
	})
}
