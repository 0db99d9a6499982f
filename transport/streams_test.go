package transport

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sorted is a port that tells which stream came to which taker.
type sorted struct {
	*lab
	port    *Port
	taken   chan string // kind, then all that was read
	refused chan StreamKind
	ended   chan error
}

func newSorted(l *lab) *sorted {
	s := &sorted{l, openPort(l, l.net, "127.0.0.1:0"), make(chan string, 10), make(chan StreamKind, 2*maxStrangers), make(chan error, 1)}
	taker := func(kind string) func(net.Conn) {
		return func(nc net.Conn) {
			defer func() { _ = nc.Close() }()
			data, err := io.ReadAll(nc)
			if err != nil {
				s.Errorf("%s stream: %v", kind, err)
			}
			s.taken <- kind + " " + string(data)
		}
	}
	go func() {
		s.ended <- s.port.Serve(StreamHandlers{
			Mesh: taker("mesh"), Gossip: taker("gossip"),
			Refused: func(r Refusal) { s.refused <- r.Kind },
		})
	}()
	return s
}

// send opens a stream, writes data and ends it.
func (s *sorted) send(data string) net.Conn {
	s.Helper()
	nc, err := s.net.Dial(context.Background(), s.port.Addr().String())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = nc.Close() })
	_, _ = nc.Write([]byte(data)) // fails if the stream is refused in the middle
	closeWrite(nc)
	return nc
}

// Streams go to the taker of their kind whole, the first byte included; others
// are closed and told of.
func TestPortSorts(t *testing.T) {
	overPlain(t, func(l *lab) {
		s := newSorted(l)
		for _, data := range []string{"m", "mesh and more", strings.Repeat("m", 10_000)} {
			s.send(data)
			same(l, "taken", receive(l, "mesh stream", s.taken), "mesh "+data)
		}
		s.send("\xf4label")
		same(l, "taken", receive(l, "gossip stream", s.taken), "gossip \xf4label")
		for data, kind := range map[string]StreamKind{
			"\x00":         StreamUnknown,
			"\x94\x00\x01": StreamMsgpackRPC, // known, but nobody takes it
			"":             StreamUnknown,    // ended before its first byte
		} {
			nc := s.send(data)
			same(l, fmt.Sprintf("refused %q as", data), receive(l, "refusal", s.refused), kind)
			_ = nc.SetReadDeadline(time.Now().Add(patience))
			if n, _ := nc.Read(make([]byte, 1)); n != 0 {
				l.Error("a refused stream is answered")
			}
		}
		if err := s.port.Close(); err != nil {
			l.Error(err)
		}
		same(l, "end of Serve", receive(l, "end of Serve", s.ended), nil)
		same(l, "streams taken besides", len(s.taken)+len(s.refused), 0)
	})
}

// Silence is cut after five seconds, which are virtual here.
func TestSilentStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSorted(&lab{t, newMemNet(100)})
		start := time.Now()
		nc, err := s.net.Dial(t.Context(), s.port.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = nc.Read(make([]byte, 1))
		same(t, "end", err, io.EOF)
		same(t, "after", time.Since(start), firstByteTimeout)
		same(t, "refused as", <-s.refused, StreamUnknown)
		_ = nc.Close()
		_ = s.port.Close()
		same(t, "end of Serve", <-s.ended, nil)
	})
}

// A first byte that takes its time is waited for, and the taker is not held to
// the first byte's deadline.
func TestSlowFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSorted(&lab{t, newMemNet(100)})
		nc, err := s.net.Dial(t.Context(), s.port.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(firstByteTimeout - time.Millisecond)
		_, _ = nc.Write([]byte("m"))
		time.Sleep(10 * firstByteTimeout)
		_, _ = nc.Write([]byte("esh"))
		_ = nc.(*memConn).CloseWrite()
		same(t, "taken", <-s.taken, "mesh mesh")
		_ = nc.Close()
		_ = s.port.Close()
		same(t, "end of Serve", <-s.ended, nil)
	})
}

// Streams that say nothing are limited: one more, and the first is closed.
func TestTooManySilentStreams(t *testing.T) {
	s := newSorted(&lab{t, newMemNet(10)})
	dial := func() net.Conn {
		nc, err := s.net.Dial(context.Background(), s.port.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return nc
	}
	room := maxStrangers - memberReserve
	silent := make([]net.Conn, room)
	for i := range silent {
		silent[i] = dial()
		defer func() { _ = silent[i].Close() }()
	}
	eventually(t, "strangers", func() bool { return s.port.fresh.Len() == room })
	s.send("mesh after all")
	same(t, "taken", receive(t, "one more", s.taken), "mesh mesh after all")
	same(t, "refused as", receive(t, "refusal", s.refused), StreamUnknown)
	_, err := silent[0].Read(make([]byte, 1))
	same(t, "the first", err, io.EOF)
	_ = s.port.Close()
	for range room - 1 {
		receive(t, "refusal of those that Close cuts", s.refused)
	}
}

// Close waits for the takers, and a stream that comes afterwards is not taken.
func TestPortCloseWaits(t *testing.T) {
	overPlain(t, func(l *lab) {
		p := openPort(l, l.net, "127.0.0.1:0")
		taken, release := make(chan struct{}), make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			ended <- p.Serve(StreamHandlers{Mesh: func(nc net.Conn) {
				close(taken)
				hold(release)
				_ = nc.Close()
			}})
		}()
		nc, err := l.net.Dial(context.Background(), p.Addr().String())
		if err != nil {
			l.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		_, _ = nc.Write([]byte("m"))
		receive(l, "stream", taken)
		closed := make(chan error, 1)
		go func() { closed <- p.Close() }()
		same(l, "Serve", receive(l, "end of Serve", ended), nil)
		same(l, "Close returned before the taker", len(closed), 0)
		close(release)
		same(l, "Close", receive(l, "end of Close", closed), nil)
		same(l, "Close again", p.Close(), nil)
		if _, err := l.net.Dial(context.Background(), p.Addr().String()); err == nil {
			l.Error("a closed port takes streams")
		}
	})
}

// FuzzClassify opens streams with any first bytes: each is taken whole by the
// one taker of its kind, or refused.
func FuzzClassify(f *testing.F) {
	for _, data := range []string{"", "m", "mesh\x00\x00\x00\x03", "\xf4\x01l", "\x93\x02\xa1m\x90", "\x94\x00", "GET /", "\x16\x03\x03"} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, _ := newMemNet(0).bindLocked("127.0.0.1:1")
		near, far := newMemPair(len(data)+512, a, a) // room to be told why
		_, _ = near.Write(data)
		_ = near.CloseWrite()
		want := StreamUnknown
		if len(data) > 0 {
			want = Classify(data[0])
		}
		var got []string
		note := func(k StreamKind) func(net.Conn) {
			return func(nc net.Conn) {
				all, _ := io.ReadAll(nc)
				if k != want || !bytes.Equal(all, data) {
					t.Errorf("% x was taken as %v: % x", data, k, all)
				}
				got = append(got, "taken")
				_ = nc.Close()
			}
		}
		p := &Port{fresh: NewStrangers(1, nil)}
		var why error
		p.take(far, &StreamHandlers{
			Mesh: note(StreamMesh), Gossip: note(StreamGossip), MsgpackRPC: note(StreamMsgpackRPC),
			Refused: func(r Refusal) {
				if r.Kind != want || want != StreamUnknown && want != StreamTLS {
					t.Errorf("% x was refused as %v", data, r.Kind)
				}
				got, why = append(got, "refused"), r.Err
			},
		})
		p.wg.Wait()
		if len(got) != 1 || p.fresh.Len() != 0 {
			t.Errorf("% x: %v, %d fresh streams", data, got, p.fresh.Len())
		}
		if told, _ := io.ReadAll(near); len(told) > 0 != (want == StreamTLS || isHTTP(why)) {
			t.Errorf("% x: it was told %q", data, told)
		}
	})
}
