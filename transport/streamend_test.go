package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// patientStream is a handler that accepts, tells that it has, receives until an
// error and tells that too.
type patientStream struct {
	accepted chan *Stream
	ended    chan error
	code     uint64
	release  chan struct{} // closed before it replies; nil: at once
}

func newPatient() *patientStream {
	return &patientStream{accepted: make(chan *Stream, 100), ended: make(chan error, 100)}
}

func (p *patientStream) ServeCall(in *Incoming) {
	s := in.Stream()
	if s == nil {
		echo{}.ServeCall(in)
		return
	}
	s.Accept()
	p.accepted <- s
	for {
		if _, err := s.Recv(); err != nil {
			<-in.Context().Done()
			p.ended <- err
			if p.release != nil {
				hold(p.release)
			}
			_ = in.Reply(p.code, nil, nil)
			return
		}
	}
}

// Whatever ends a stream, both halves of both sides learn of it.
func TestStreamEndsForBothSides(t *testing.T) {
	type ends struct{ recv, status, there error }
	for name, test := range map[string]struct {
		end  func(s *Stream, cancel func(), far *Conn)
		want ends
	}{
		"cancel": {func(_ *Stream, cancel func(), _ *Conn) { cancel() }, ends{context.Canceled, context.Canceled, context.Canceled}},
		"deadline": {
			func(*Stream, func(), *Conn) {}, // it comes by itself
			ends{context.DeadlineExceeded, context.DeadlineExceeded, context.DeadlineExceeded},
		},
		"cut there": {func(_ *Stream, _ func(), far *Conn) { far.Close() }, ends{ErrClosed, ErrClosed, ErrClosed}},
		"cut here":  {func(s *Stream, _ func(), _ *Conn) { s.conn.Close() }, ends{ErrClosed, ErrClosed, ErrClosed}},
		"broken":    {func(_ *Stream, _ func(), far *Conn) { _ = far.nc.Close() }, ends{ErrClosed, ErrClosed, ErrClosed}},
	} {
		t.Run(name, func(t *testing.T) {
			overAll(t, func(l *lab) {
				p := newPatient()
				p.release = make(chan struct{})
				c, h := l.pair(p)
				far := h.far(l)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				req := &Request{Method: "m"}
				if name == "deadline" {
					req.Deadline = time.Now().Add(100 * time.Millisecond)
				}
				s, _, err := c.Open(ctx, req)
				if err != nil {
					l.Fatal(err)
				}
				receive(l, "acceptance", p.accepted)
				sent := make(chan error, 1)
				go func() { // until it cannot any more
					for {
						if err := s.Send(make([]byte, 100)); err != nil {
							sent <- err
							return
						}
					}
				}()
				test.end(s, cancel, far)
				_, err = s.Recv()
				is(l, "Recv", err, test.want.recv, false)
				_, err = s.Status()
				is(l, "Status", err, test.want.status, false)
				if err := receive(l, "end of Send", sent); !errors.Is(err, test.want.recv) && !errors.Is(err, ErrStreamEnded) {
					l.Errorf("Send: %v, want %v", err, test.want.recv)
				}
				is(l, "Recv there", receive(l, "end there", p.ended), test.want.there, false)
				close(p.release)
				s.Close()
				eventually(l, "end of the handler", func() bool { return h.served.Load() == 0 })
				same(l, "waiting", c.pend.count(), 0)
			})
		})
	}
}

// Close is a cancel, if the stream has not ended.
func TestCloseCancels(t *testing.T) {
	overAll(t, func(l *lab) {
		p := newPatient()
		c, h := l.pair(p)
		s := l.stream(c, "m", nil)
		_ = s.Send(make([]byte, 100_000))
		s.Close()
		s.Close()
		is(l, "there", receive(l, "end there", p.ended), context.Canceled, false)
		counts(l, c.ep, CallsCanceled, 1)
		quietAfterStreams(l, c, h)
	})
}

// A caller that says nothing at all is not waited for beyond the deadline.
func TestStreamDeadlineOfASilentCaller(t *testing.T) {
	overAll(t, func(l *lab) {
		p := newPatient()
		p.code = CodeDeadlineExceeded
		h := l.host(Config{Name: "b", Handler: p})
		r := l.greeted(h)
		r.send(func(b []byte) []byte {
			return wire.AppendOpen(b, 1, "m", &Meta{Partition: NoPartition, Timeout: 50 * time.Millisecond})
		})
		is(l, "there", receive(l, "end there", p.ended), context.DeadlineExceeded, false)
		head := r.skipTo(wire.KindReply)
		same(l, "reply", fmt.Sprint(head.ID, " ", head.Code), "1 4")
		r.write(dataFrame(1, 10)) // late, and of no harm
		r.send(func(b []byte) []byte { return wire.AppendHalfClose(b, 1) })
		r.sendCall(3, "echo")
		same(l, "next", r.skipTo(wire.KindReply).ID, 3)
	})
}

// The server ends a stream while the caller sends: Send fails, Recv comes to
// the end, and Status says how it was.
func TestServerEndsWhileTheCallerSends(t *testing.T) {
	overAll(t, func(l *lab) {
		c, h := l.pair(methods{"m": func(in *Incoming) {
			s := in.Stream()
			s.Accept()
			for range 3 {
				_, _ = s.Recv()
			}
			_ = s.Send([]byte("enough"))
			_ = in.Reply(9, message("no more"), []byte("detail"))
		}})
		s := l.stream(c, "m", nil)
		var err error
		for err == nil {
			err = s.Send(make([]byte, 10_000))
		}
		is(l, "Send", err, ErrStreamEnded, false)
		msg, err := s.Recv()
		same(l, "last message", fmt.Sprint(string(msg), err), "enough<nil>")
		code, body := status(l, s)
		same(l, "status", fmt.Sprint(code, " ", body), "9 detail")
		same(l, "CloseSend", s.CloseSend(), nil)
		s.Close()
		quietAfterStreams(l, c, h)
	})
}

// Streams over a limit are refused at once and counted, and there is room again
// when others end.
func TestStreamsOverTheLimit(t *testing.T) {
	overAll(t, func(l *lab) {
		p := newPatient()
		h := l.host(Config{Name: "b", Handler: p, Limits: Limits{MaxCalls: 3}})
		c := l.dial(l.endpoint(Config{Name: "a"}), h)
		var open []*Stream
		for range 3 {
			open = append(open, l.stream(c, "m", nil))
		}
		_, _, err := c.Open(context.Background(), &Request{Method: "m"})
		is(l, "one more of a caller that knows", err, ErrTooManyCalls, true)
		for _, s := range open {
			s.Close()
		}
		eventually(l, "room", func() bool { return h.served.Load() == 0 })
		c.Close()
		eventually(l, "no connection", func() bool { return h.Conns() == 0 })

		r := l.greeted(h)
		go func() {
			for id := range uint64(10) {
				r.send(func(b []byte) []byte { return wire.AppendOpen(b, 2*id+1, "m", nil) })
			}
		}()
		for range 7 {
			same(l, "refusal", r.skipTo(wire.KindReply).Code, CodeResourceExhausted)
		}
		counts(l, h.Endpoint, CallsOverLimit, 7)
		counts(l, h.Endpoint, StreamsOpened, 6)
		r.send(func(b []byte) []byte { return wire.AppendCancel(b, 1, CodeCanceled) })
		r.skipTo(wire.KindReply)
		r.send(func(b []byte) []byte { return wire.AppendOpen(b, 99, "m", nil) })
		for r.skipTo(wire.KindWindow).ID != 99 { // with room again; those before may be late
		}
	})
}

// A draining server lets streams finish, at any pace, and refuses new ones as
// unsent.
func TestDrainWithOpenStreams(t *testing.T) {
	overAll(t, func(l *lab) {
		c, h := l.pair(streamKinds())
		s := l.stream(c, "echo", nil)
		drained := make(chan struct{})
		go func() { h.Drain(context.Background()); close(drained) }()
		eventually(l, "goaway", func() bool { return c.goaway.Load() })
		_, _, err := c.Open(context.Background(), &Request{Method: "echo"})
		is(l, "new stream", err, ErrShutdown, true)
		for n := range 30 {
			msg := pattern(n*10_000, 1)
			if l.narrow() {
				msg = msg[:n]
			}
			if err := s.Send(msg); err != nil {
				l.Fatal(err)
			}
			if got, err := s.Recv(); err != nil || string(got) != string(msg) {
				l.Fatalf("%d bytes came back as %d, %v", len(msg), len(got), err)
			}
		}
		same(l, "drained before the stream's end", len(drained), 0)
		_ = s.CloseSend()
		code, _ := status(l, s)
		same(l, "code", code, CodeOK)
		s.Close()
		receive(l, "end of Drain", drained)
		receive(l, "end of the connection", c.Closed())
	})
}

// A stream that was cancelled before its handler accepted it.
func TestAcceptAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(cancel func(), far *Conn){
		"cancel": func(cancel func(), _ *Conn) { cancel() },
		"cut":    func(_ func(), far *Conn) { far.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			overAll(t, func(l *lab) {
				started, results := make(chan struct{}), make(chan error, 2)
				c, h := l.pair(methods{"m": func(in *Incoming) {
					close(started)
					<-in.Context().Done()
					s := in.Stream()
					s.Accept()
					_, err := s.Recv()
					results <- err
					results <- s.Send(make([]byte, 2*DefaultWindow))
				}})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				opened := make(chan error, 1)
				go func() {
					_, _, err := c.Open(ctx, &Request{Method: "m"})
					opened <- err
				}()
				receive(l, "call", started)
				end(cancel, h.far(l))
				if err := receive(l, "end of Open", opened); err == nil || IsUnsent(err) {
					l.Errorf("Open: %v (unsent: %v)", err, IsUnsent(err))
				}
				for range 2 {
					if receive(l, "end there", results) == nil {
						l.Error("an ended stream works")
					}
				}
				eventually(l, "end of the handler", func() bool { return h.served.Load() == 0 })
			})
		})
	}
}

// What a caller may get wrong inside a stream ends that stream, not the
// connection.
func TestStreamOfAStrangeCaller(t *testing.T) {
	for name, test := range map[string]struct {
		frames []byte
		want   error
	}{
		"end in the middle of a message": {append(
			frame(func(b []byte) []byte { return append(wire.AppendData(b, 1, true), "begin"...) }),
			frame(func(b []byte) []byte { return wire.AppendHalfClose(b, 1) })...), io.ErrUnexpectedEOF},
		"message over the limit in one part": {dataFrame(1, 3000), ErrBodyTooLarge},
		"message over the limit in two": {append(
			frame(func(b []byte) []byte { return append(wire.AppendData(b, 1, true), make([]byte, 1000)...) }),
			dataFrame(1, 1049)...), ErrBodyTooLarge},
		"data behind the half-close": {append(
			frame(func(b []byte) []byte { return wire.AppendHalfClose(b, 1) }), dataFrame(1, 10)...), io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			overAll(t, func(l *lab) {
				ended := make(chan error, 1)
				h := l.host(Config{Name: "b", Limits: Limits{MaxBody: 2048}, Handler: methods{
					"echo": echo{}.ServeCall,
					"m": func(in *Incoming) {
						s := in.Stream()
						s.Accept()
						_, err := s.Recv()
						ended <- err
						_ = in.Reply(3, nil, nil)
					},
				}})
				r := l.greeted(h)
				r.send(func(b []byte) []byte { return wire.AppendOpen(b, 1, "m", nil) })
				r.write(test.frames)
				same(l, "Recv", receive(l, "end", ended), test.want)
				same(l, "reply", r.skipTo(wire.KindReply).ID, 1)
				r.write(dataFrame(1, 500))
				r.sendCall(3, "echo")
				same(l, "next", r.skipTo(wire.KindReply).ID, 3)
				eventually(l, "no window lent", func() bool { return h.far(l).pool.lent.Load() == 0 })
				same(l, "protocol errors", h.stats.Get(ProtocolErrors), 0)
			})
		})
	}
}
