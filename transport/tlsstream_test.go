package transport

import (
	"context"
	"crypto/tls"
	"fmt"
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
	taken, from := make(chan string, 1), make(chan string, 1)
	h := l.host(Config{Name: "b", TLS: server}, func(s *StreamHandlers) {
		s.MsgpackRPC = func(nc net.Conn) {
			all, _ := io.ReadAll(nc)
			taken <- string(all)
			name, verified := CertificateName(nc)
			from <- fmt.Sprint(name, " ", verified)
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
	same(t, "from", receive(t, "name", from), "a true")
	for n, data := range []string{"mesh", "\xf4gossip", "\x16\x03\x01", "GET /", ""} {
		_, err := io.ReadAll(open(data))
		if err == nil {
			t.Logf("%q ended without an alert", data)
		}
		eventually(t, "refusal", func() bool { return server.Get(TLSHandshakesFailed) == uint64(n)+1 })
	}
	same(t, "others taken", len(taken), 0)
}

// With TLS it is known who calls: a node by its name, others by what their certificate says of
// whoever holds it, even if that is a node's.
func TestTLSIdentity(t *testing.T) {
	ca := newTestCA(t)
	l := &lab{t, newMemNet(64 << 10)}
	who := make(chan Identity, 1)
	h := l.host(Config{Name: "b", TLS: newTLS(t, ca.credentials(t, "b")), Handler: methods{"who": func(in *Incoming) {
		who <- in.Peer()
		_ = in.Reply(CodeOK, nil, nil)
	}}})
	admin, err := ca.IssueClient("admin", time.Hour)
	client := newTLS(t, ca.made(t, admin, err))
	node := newTLS(t, ca.credentials(t, "a"))
	for what, c := range map[string]struct {
		cfg  Config
		want Identity
	}{
		"a client":                    {Config{TLS: client}, Identity{Cluster: "lab", Subject: "admin", Verified: true}},
		"a node":                      {Config{Name: "a", Boot: 7, TLS: node}, Identity{Name: "a", Cluster: "lab", Boot: 7, Subject: "a", Verified: true}},
		"a client with a node's":      {Config{TLS: node}, Identity{Cluster: "lab", Subject: "a", Verified: true}},
		"a client with another's too": {Config{TLS: newTLS(t, ca.credentials(t, "b"))}, Identity{Cluster: "lab", Subject: "b", Verified: true}},
	} {
		conn := l.dial(l.endpoint(c.cfg), h)
		call(t, conn, "who", nil)
		same(t, what, receive(t, "call", who), c.want)
		same(t, "the server of "+what, conn.Peer(), Identity{Name: "b", Cluster: "lab", Subject: "b", Verified: true})
	}
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
			same(t, "fresh streams", p.fresh.Len(), 0)

			nc = dial()
			synctest.Wait()
			same(t, "fresh streams in a handshake", p.fresh.Len(), 1)
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
		p := &Port{fresh: NewStrangers(1, nil)}
		taken := func(net.Conn) { t.Errorf("% x was taken", data) }
		p.take(far, &StreamHandlers{
			TLS: x, Mesh: taken, Gossip: taken, MsgpackRPC: taken,
			Refused: func(Refusal) { refused++ },
		})
		p.wg.Wait()
		counted := x.Get(TLSHandshakesFailed) - before
		if refused != 1 || p.fresh.Len() != 0 || counted != uint64(min(len(data), 1)) {
			t.Errorf("% x: refused %d times, counted %d, %d fresh streams", data, refused, counted, p.fresh.Len())
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
