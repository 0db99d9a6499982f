package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

func openPort(t testing.TB, network Network, addr string) *Port {
	t.Helper()
	p, err := OpenPort(context.Background(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestPortIsOneNumber(t *testing.T) {
	overAll(t, func(l *lab) {
		p := openPort(l, l.net, "127.0.0.1:0")
		same(l, "UDP", p.Packets().LocalAddr().String(), p.Addr().String())
		same(l, "TCP", p.listener.Addr().String(), p.Addr().String())
		if p.Addr().Port() == 0 {
			l.Error("the number is not known")
		}
		q := openPort(l, l.net, "127.0.0.1:0")
		if _, err := q.Packets().WriteTo([]byte("hi"), p.Packets().LocalAddr()); err != nil {
			l.Fatal(err)
		}
		b := make([]byte, 10)
		n, from, err := p.Packets().ReadFrom(b)
		if err != nil || string(b[:n]) != "hi" || from.String() != q.Addr().String() {
			l.Errorf("%q from %v, %v", b[:n], from, err)
		}
	})
}

// The error names what is taken, and leaves nothing open.
func TestPortTaken(t *testing.T) {
	ctx := context.Background()
	overAll(t, func(l *lab) {
		p := openPort(l, l.net, "127.0.0.1:0")
		addr := p.Addr().String()
		_, err := OpenPort(ctx, l.net, addr)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "TCP "+addr) {
			l.Errorf("taken in both: %v", err)
		}
		if err := p.Close(); err != nil {
			l.Fatal(err)
		}
		pc, err := l.net.ListenPacket(ctx, addr)
		if err != nil {
			l.Fatal(err)
		}
		_, err = OpenPort(ctx, l.net, addr)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "UDP "+addr) {
			l.Errorf("taken in UDP: %v", err)
		}
		_ = pc.Close()
		_ = openPort(l, l.net, addr).Close() // the failed try had let TCP go again
	})
	for _, addr := range []string{"", "localhost", "localhost:x", "127.0.0.1", "127.0.0.1:99999", ":7101"} {
		_, err := OpenPort(ctx, System(), addr)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", addr)) || !strings.Contains(err.Error(), "ip:port") {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

// A name of this host is as good as its address.
func TestPortByName(t *testing.T) {
	p, err := OpenPort(t.Context(), System(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	if !p.Addr().Addr().IsLoopback() || p.Addr().Port() == 0 {
		t.Errorf("localhost:0 is bound as %v", p.Addr())
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenPort(t.Context(), nowhere{System()}, "mesh.test:7101"); err == nil || !strings.Contains(err.Error(), `"mesh.test:7101": the name has no address`) {
		t.Errorf("a name without addresses: %v", err)
	}
}

// nowhere is a network whose names have no addresses.
type nowhere struct{ Network }

func (nowhere) Resolve(context.Context, string) ([]netip.Addr, error) { return nil, nil }

// takenUDP is a network where the UDP half of the first ports is taken.
type takenUDP struct {
	Network
	left atomic.Int32
}

func (n *takenUDP) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	if n.left.Add(-1) >= 0 {
		return nil, syscall.EADDRINUSE
	}
	return n.Network.ListenPacket(ctx, addr)
}

func TestPortLooksForAFreeNumber(t *testing.T) {
	n := &takenUDP{Network: newMemNet(100)}
	n.left.Store(portTries - 1)
	openPort(t, n, "127.0.0.1:0")
	n.left.Store(portTries)
	if _, err := OpenPort(context.Background(), n, "127.0.0.1:0"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("all are taken: %v", err)
	}
}

func TestClassify(t *testing.T) {
	want := map[byte]StreamKind{
		wire.Preface[0]: StreamMesh, 244: StreamGossip, 0x93: StreamMsgpackRPC, 0x94: StreamMsgpackRPC,
		0xdc: StreamMsgpackRPC, 0xdd: StreamMsgpackRPC,
		0x16: StreamTLS,
	}
	for b := range 256 {
		same(t, fmt.Sprintf("first byte %#x", b), Classify(byte(b)), want[byte(b)])
	}
	for k, name := range map[StreamKind]string{
		StreamUnknown: "unknown", StreamMesh: "mesh", StreamGossip: "gossip", StreamMsgpackRPC: "msgpack-rpc", StreamTLS: "tls", 77: "unknown",
	} {
		same(t, "name", k.String(), name)
	}
}

// A listener that fails for a moment is tried again; one that is closed under
// the port ends Serve with an error.
func TestServeOutlivesErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, newMemNet(100), "127.0.0.1:0")
		p.listener = &failing{Listener: p.listener, left: 12}
		start, ended := time.Now(), make(chan error, 1)
		go func() { ended <- p.Serve(StreamHandlers{}) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if f := p.listener.(*failing); f.left != 0 {
			t.Errorf("%d tries were not made within %v", f.left, time.Since(start))
		}
		_ = p.listener.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed under the port: %v", err)
		}
	})
}

type failing struct {
	net.Listener
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, syscall.EMFILE
	}
	return f.Listener.Accept()
}
