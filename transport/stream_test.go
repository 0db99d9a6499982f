package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// streamKinds are handlers of every shape that a stream can have.
func streamKinds() methods {
	return methods{
		"echo":  streamEcho,
		"count": streamCount,
		"list":  streamList,
		"unary": echo{}.ServeCall,
	}
}

// streamCount takes all messages and replies with their number, bytes and sum.
func streamCount(in *Incoming) {
	s := in.Stream()
	s.Accept()
	messages, size, sum := 0, 0, crc32.NewIEEE()
	for {
		msg, err := s.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			_ = in.Reply(CodeCanceled, message(err.Error()), nil)
			return
		}
		messages, size = messages+1, size+len(msg)
		_, _ = sum.Write(msg)
	}
	_ = in.Reply(CodeOK, nil, fmt.Appendf(nil, "%d %d %x", messages, size, sum.Sum32()))
}

// streamList sends as many messages as the open says, each as long.
func streamList(in *Incoming) {
	s := in.Stream()
	n, size := binary.BigEndian.Uint32(in.Body), binary.BigEndian.Uint32(in.Body[4:])
	s.Accept()
	for i := range n {
		if err := s.Send(pattern(int(size), uint64(i))); err != nil {
			_ = in.Reply(codeOf(err), message(err.Error()), nil)
			return
		}
	}
	_ = in.Reply(CodeOK, nil, []byte("all"))
}

// pattern gives n bytes that no other seed gives.
func pattern(n int, seed uint64) []byte {
	b := make([]byte, n+8)
	x := seed*0x9e3779b97f4a7c15 + uint64(n) + 1
	for i := 0; i < n; i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(b[i:], x)
	}
	return b[:n]
}

// stream opens a stream that must be accepted. It is closed with the test.
func (l *lab) stream(c *Conn, method string, body []byte) *Stream {
	l.Helper()
	s, refused, err := c.Open(context.Background(), &Request{Method: method, Body: body})
	if err != nil {
		l.Fatalf("open of %s: %v", method, err)
	}
	if refused != nil {
		l.Fatalf("open of %s: refused with code %d: %s", method, refused.Code, refused.Meta.Message)
	}
	return s
}

// status waits for the end of a stream and gives its reply.
func status(t testing.TB, s *Stream) (code uint64, body string) {
	t.Helper()
	if msg, err := s.Recv(); err != io.EOF {
		t.Fatalf("instead of the end: %d bytes, %v", len(msg), err)
	}
	r, err := s.Status()
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	return r.Code, string(r.Body)
}

// messageSizes are those at which something changes.
func messageSizes(most, part int) []int {
	return []int{0, 1, 100, part - 1, part, part + 1, wire.Chunk - 1, wire.Chunk, wire.Chunk + 1, 2*part + 5, most - 1, most}
}

// Messages of every size come back as they were, one by one and many at once.
func TestStreamEcho(t *testing.T) {
	const most = 300_000
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: streamKinds(), Limits: Limits{MaxBody: most}})
		c := l.dial(l.endpoint(Config{Name: "a", Limits: Limits{MaxBody: most}}), h)
		s := l.stream(c, "echo", nil)
		defer s.Close()
		sizes := messageSizes(most, c.part)
		for i, n := range sizes {
			msg := pattern(n, uint64(i))
			if err := s.Send(msg); err != nil {
				l.Fatalf("sending %d bytes: %v", n, err)
			}
			if got, err := s.Recv(); err != nil || !bytes.Equal(got, msg) {
				l.Fatalf("%d bytes came back as %d, %v", n, len(got), err)
			}
		}
		is(l, "one byte more", s.Send(make([]byte, most+1)), ErrBodyTooLarge, false)
		counts(l, c.ep, BodiesTooLarge, 1)

		sent := make(chan error, 1)
		go func() {
			for i, n := range sizes {
				if err := s.Send(pattern(n, uint64(i))); err != nil {
					sent <- err
					return
				}
			}
			sent <- s.CloseSend()
		}()
		for i, n := range sizes {
			if got, err := s.Recv(); err != nil || !bytes.Equal(got, pattern(n, uint64(i))) {
				l.Fatalf("%d bytes came back as %d, %v", n, len(got), err)
			}
		}
		same(l, "sending", receive(l, "end of sending", sent), nil)
		code, _ := status(l, s)
		same(l, "code", code, CodeOK)
		is(l, "sending after CloseSend", s.Send([]byte("x")), ErrSendClosed, false)
		s.Close()
		quietAfterStreams(l, c, h)
	})
}

// quietAfterStreams fails the test if something of streams is left.
func quietAfterStreams(l *lab, c *Conn, h *host) {
	l.Helper()
	far := h.far(l)
	for _, side := range []*Conn{c, far} {
		eventually(l, "rest", side.unused)
		eventually(l, "no sender", func() bool {
			side.out.mu.Lock()
			defer side.out.mu.Unlock()
			return len(side.flow.senders) == 0
		})
		eventually(l, "no window lent", func() bool { return side.pool.lent.Load() == 0 })
		eventually(l, "nothing served", func() bool { return side.ep.served.Load() == 0 })
		eventually(l, "no bodies under way", func() bool { return side.ep.incomplete.Load() == 0 })
		same(l, "protocol errors", side.ep.stats.Get(ProtocolErrors), 0)
	}
}

// Messages one way only: from the server, and from the caller.
func TestOneWayStreams(t *testing.T) {
	overAll(t, func(l *lab) {
		c, h := l.pair(streamKinds())
		for _, shape := range []struct{ n, size int }{{0, 0}, {1, 0}, {2000, 64}, {300, 5000}, {20, 100_000}} {
			n, size := shape.n, shape.size
			args := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(n)), uint32(size))
			s := l.stream(c, "list", args)
			for i := range n {
				if got, err := s.Recv(); err != nil || !bytes.Equal(got, pattern(size, uint64(i))) {
					l.Fatalf("message %d of %d bytes: %d, %v", i, size, len(got), err)
				}
			}
			code, body := status(l, s)
			same(l, "end", fmt.Sprint(code, " ", body), "0 all")
			s.Close()

			s = l.stream(c, "count", nil)
			sum := crc32.NewIEEE()
			for i := range n {
				msg := pattern(size, uint64(i))
				_, _ = sum.Write(msg)
				if err := s.Send(msg); err != nil {
					l.Fatalf("sending message %d of %d bytes: %v", i, size, err)
				}
			}
			same(l, "CloseSend", s.CloseSend(), nil)
			same(l, "CloseSend again", s.CloseSend(), nil)
			is(l, "sending after it", s.Send(nil), ErrSendClosed, false)
			code, body = status(l, s)
			same(l, "count", fmt.Sprint(code, " ", body), fmt.Sprintf("0 %d %d %x", n, n*size, sum.Sum32()))
			s.Close()
		}
		counts(l, h.Endpoint, StreamsOpened, 10)
		counts(l, c.ep, StreamsOpened, 10)
		quietAfterStreams(l, c, h)
	})
}

// Streams in both directions of one connection, with calls between them.
func TestStreamsBothWays(t *testing.T) {
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: streamKinds()})
		c := l.dial(l.endpoint(Config{Name: "a", Handler: streamKinds()}), h)
		var wg sync.WaitGroup
		for _, side := range []*Conn{c, h.far(l)} {
			for i := range uint64(6) {
				wg.Go(func() {
					s := l.stream(side, "echo", nil)
					defer s.Close()
					for n := range 60 {
						msg := pattern(n*n, i)
						if err := s.Send(msg); err != nil {
							l.Errorf("sending: %v", err)
							return
						}
						if got, err := s.Recv(); err != nil || !bytes.Equal(got, msg) {
							l.Errorf("%d bytes came back as %d, %v", len(msg), len(got), err)
							return
						}
						if n%10 == 0 {
							call(l, side, "unary", msg)
						}
					}
				})
			}
		}
		wg.Wait()
		quietAfterStreams(l, c, h)
	})
}

// What a handler may do besides the usual: reply without accepting, reply
// without reading what came, close its half, or do nothing at all.
func TestOddStreamHandlers(t *testing.T) {
	overAll(t, func(l *lab) {
		c, h := l.pair(methods{
			"reply": func(in *Incoming) { _ = in.Reply(7, nil, []byte("no")) },
			"ok":    func(in *Incoming) { _ = in.Reply(CodeOK, nil, nil) },
			"none":  func(*Incoming) {},
			"accept": func(in *Incoming) {
				in.Stream().Accept()
			},
			"unread": func(in *Incoming) {
				in.Stream().Accept()
				_, _ = in.Stream().Recv()
				_ = in.Reply(CodeOK, nil, nil)
			},
			"half": func(in *Incoming) {
				in.Stream().Accept()
				same(l, "CloseSend of a server", in.Stream().CloseSend(), nil)
				_, _ = in.Stream().Recv()
				_ = in.Reply(CodeOK, nil, nil)
			},
			"late": func(in *Incoming) {
				in.Stream().Accept()
				_ = in.Reply(CodeOK, nil, nil)
				if err := in.Stream().Send([]byte("late")); err == nil {
					l.Error("a message was sent behind the reply")
				}
				if _, err := in.Stream().Recv(); err == nil {
					l.Error("a message was received after the reply")
				}
			},
		})
		for method, code := range map[string]uint64{"reply": 7, "ok": CodeInternal, "none": CodeInternal, "?": codeUnimplemented} {
			s, r, err := c.Open(context.Background(), &Request{Method: method})
			if err != nil || s != nil {
				l.Fatalf("%s: %v, %v", method, s, err)
			}
			same(l, "refusal of "+method, r.Code, code)
			r.Release()
		}
		for method, want := range map[string]uint64{"accept": CodeInternal, "unread": CodeOK, "half": CodeOK, "late": CodeOK} {
			s := l.stream(c, method, nil)
			for range 50 {
				_ = s.Send(make([]byte, 1000))
			}
			code, _ := status(l, s)
			same(l, "code of "+method, code, want)
			s.Close()
		}
		quietAfterStreams(l, c, h)
	})
}

// An opening body is part of the open frame, up to a chunk.
func TestOpenBody(t *testing.T) {
	l := &lab{t, System()}
	c, _ := l.pair(methods{"first": func(in *Incoming) {
		in.Stream().Accept()
		_ = in.Stream().Send(in.Body)
		_ = in.Reply(CodeOK, nil, nil)
	}})
	for _, n := range []int{0, 1, wire.MaxInline} {
		body := pattern(n, 1)
		s := l.stream(c, "first", body)
		if got, err := s.Recv(); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes came back as %d, %v", n, len(got), err)
		}
		s.Close()
	}
	_, _, err := c.Open(context.Background(), &Request{Method: "first", Body: make([]byte, wire.MaxInline+1)})
	is(t, "longer", err, ErrBodyTooLarge, true)
	_, _, err = c.Open(context.Background(), &Request{Method: "first", Deadline: time.Now()})
	is(t, "too late", err, context.DeadlineExceeded, true)
}
