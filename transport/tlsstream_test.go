package transport

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A client of MessagePack-RPC knows no ALPN: its first byte tells, inside TLS.
// Nothing else gets in that way.
func TestTLSWithoutALPN(t *testing.T) {
	ca := newTestCA(t)
	server, client := newTLS(t, ca.credentials(t, "b")), newTLS(t, ca.credentials(t, "a"))
	l := &lab{t, newMemNet(64 << 10)}
	taken := make(chan string, 1)
	h := l.host(Config{Name: "b", TLS: server}, func(s *StreamHandlers) {
		s.MsgpackRPC = func(nc net.Conn) {
			all, _ := io.ReadAll(nc)
			taken <- string(all)
			_ = nc.Close()
		}
	})
	open := func(data string) *tls.Conn {
		raw, err := l.net.Dial(context.Background(), h.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = raw.Close() })
		config := client.current().mesh.Clone()
		config.NextProtos = nil
		tc := tls.Client(raw, config)
		if _, err := tc.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
		_ = tc.CloseWrite()
		return tc
	}
	open("\x94\x00\x01\xa1m\x90")
	same(t, "taken", receive(t, "stream", taken), "\x94\x00\x01\xa1m\x90")
	for n, data := range []string{"mesh", "\xf4gossip", "\x16\x03\x01", "GET /", ""} {
		_, err := io.ReadAll(open(data))
		if err == nil {
			t.Logf("%q ended without an alert", data)
		}
		eventually(t, "refusal", func() bool { return server.Get(TLSHandshakesFailed) == uint64(n)+1 })
	}
	same(t, "others taken", len(taken), 0)
}

// A handshake that stops in the middle is cut after five seconds, which are
// virtual here, and Close cuts it at once.
func TestTLSSlowHandshake(t *testing.T) {
	for _, data := range []string{"\x16", "\x16\x03\x01", "\x16\x03\x01\x02\x00\x01"} {
		synctest.Test(t, func(t *testing.T) {
			ca := newTestCA(t)
			x := newTLS(t, ca.credentials(t, "b"))
			p := openPort(t, newMemNet(4096), "127.0.0.1:0")
			network := p.listener.(*memListener).net
			ended := make(chan error, 1)
			go func() { ended <- p.Serve(StreamHandlers{TLS: x}) }()
			dial := func() net.Conn {
				nc, err := network.Dial(t.Context(), p.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				_, _ = nc.Write([]byte(data))
				return nc
			}
			nc, start := dial(), time.Now()
			_, err := io.ReadAll(nc)
			same(t, "end", err, nil)
			if took := time.Since(start); took != firstByteTimeout {
				t.Errorf("cut after %v, want %v", took, firstByteTimeout)
			}
			_ = nc.Close()
			synctest.Wait()
			same(t, "counted", x.Get(TLSHandshakesFailed), 1)
			same(t, "fresh streams", len(p.fresh), 0)

			nc = dial()
			synctest.Wait()
			same(t, "fresh streams in a handshake", len(p.fresh), 1)
			start = time.Now()
			_ = p.Close()
			same(t, "Close took", time.Since(start), 0)
			same(t, "end of Serve", <-ended, nil)
			_ = nc.Close()
		})
	}
}

// stuck is a stream on which a write hangs once it is told to, until Close.
type stuck struct {
	net.Conn
	hang   atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) {
	if s.hang.Load() {
		<-s.closed
		return 0, net.ErrClosed
	}
	return s.Conn.Write(b)
}

func (s *stuck) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

// A peer that does not read cannot hold up the end of a TLS stream.
func TestTLSCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newTestCA(t)
		x := newTLS(t, ca.credentials(t, "a"))
		addr, _ := newMemNet(0).bindLocked("127.0.0.1:1")
		near, far := newMemPair(64<<10, addr, addr)
		served := make(chan net.Conn)
		go func() {
			nc, kind, err := x.accept(far)
			if err != nil || kind != StreamMesh {
				t.Errorf("%v, %v", kind, err)
			}
			served <- nc
		}()
		raw := &stuck{Conn: near, closed: make(chan struct{})}
		s, err := x.dialTLS(t.Context(), raw, x.current().mesh)
		if err != nil {
			t.Fatal(err)
		}
		server := <-served
		raw.hang.Store(true)
		start := time.Now()
		_ = s.Close()
		same(t, "Close took", time.Since(start), tlsCloseTimeout)
		_ = server.Close()
	})
}

// FuzzTLS gives a port with TLS any bytes: nothing is taken, and the refusal
// is counted.
func FuzzTLS(f *testing.F) {
	ca := newTestCA(f)
	x := newTLS(f, ca.credentials(f, "b"))
	for _, data := range []string{
		"", "m", "\x16", "\x16\x03\x01\x00\x00", "\x16\x03\x01\xff\xff", "\x16\x03\x03\x00\x04\x01\x00\x00\x00",
		"\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff", "\x16\x03\x03\x00\x02\x01\x00\x15\x03\x03\x00\x02\x02\x28",
	} {
		f.Add([]byte(data))
	}
	f.Add(clientHello(f, x))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, _ := newMemNet(0).bindLocked("127.0.0.1:1")
		near, far := newMemPair(len(data)+64<<10, a, a)
		_, _ = near.Write(data)
		_ = near.CloseWrite()
		before := x.Get(TLSHandshakesFailed)
		refused := 0
		p := &Port{fresh: map[net.Conn]struct{}{}}
		p.admit(far)
		taken := func(net.Conn) { t.Errorf("% x was taken", data) }
		p.sort(far, StreamHandlers{
			TLS: x, Mesh: taken, Gossip: taken, MsgpackRPC: taken,
			Refused: func(net.Addr, StreamKind) { refused++ },
		})
		counted := x.Get(TLSHandshakesFailed) - before
		if refused != 1 || len(p.fresh) != 0 || counted != uint64(min(len(data), 1)) {
			t.Errorf("% x: refused %d times, counted %d, %d fresh streams", data, refused, counted, len(p.fresh))
		}
		_ = near.Close()
	})
}

// clientHello gives the first bytes of a good client.
func clientHello(t testing.TB, x *TLS) []byte {
	a, _ := newMemNet(0).bindLocked("127.0.0.1:1")
	near, far := newMemPair(64<<10, a, a)
	_ = near.SetReadDeadline(time.Now().Add(-time.Second)) // it will not be answered
	if _, err := x.dialTLS(context.Background(), near, x.current().mesh); err == nil {
		t.Fatal("nobody answered, and yet")
	}
	hello, _ := io.ReadAll(far)
	return hello
}
