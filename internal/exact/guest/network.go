package main

import (
	"context"
	"hash/fnv"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/meshnode/meshnode/transport"
)

// Packets and the opening of streams take delay; what goes over an open stream
// takes none. Nothing is lost, as long as a reader keeps up.
const (
	delay      = time.Millisecond
	queueDepth = 1024
)

// network is a transport.Network in memory that writes a trace.
type network struct {
	trace *trace

	mu        sync.Mutex
	listeners map[netip.AddrPort]*listener
	sockets   map[netip.AddrPort]*socket
	dials     uint16 // so far; the port of the next one
}

var _ transport.Network = (*network)(nil)

func newNetwork(t *trace) *network {
	return &network{
		trace: t, listeners: make(map[netip.AddrPort]*listener), sockets: make(map[netip.AddrPort]*socket),
	}
}

// Listen implements transport.Network.
func (n *network) Listen(_ context.Context, addr string) (net.Listener, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[ap] != nil {
		return nil, fail("listen", syscall.EADDRINUSE)
	}
	l := &listener{net: n, addr: ap, queue: make(chan net.Conn, queueDepth), closed: make(chan struct{})}
	n.listeners[ap] = l
	return l, nil
}

// Dial implements transport.Network.
func (n *network) Dial(ctx context.Context, addr string) (net.Conn, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	l := n.listeners[ap]
	n.dials++
	local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 255, 0, 1}), n.dials)
	n.mu.Unlock()
	if l == nil {
		n.trace.add("dial %s: refused", ap)
		return nil, fail("dial", syscall.ECONNREFUSED)
	}
	n.trace.add("dial %s from %s", ap, local)
	near, far := newPair(n.trace, local, ap)
	select {
	case l.queue <- far:
		return near, nil
	default:
		return nil, fail("dial", syscall.ECONNREFUSED)
	}
}

// Resolve implements transport.Network, for literal addresses.
func (n *network) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	ip, err := netip.ParseAddr(host)
	return []netip.Addr{ip}, err
}

// ListenPacket implements transport.Network.
func (n *network) ListenPacket(_ context.Context, addr string) (net.PacketConn, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sockets[ap] != nil {
		return nil, fail("listen", syscall.EADDRINUSE)
	}
	s := &socket{net: n, addr: ap, queue: make(chan packet, queueDepth), closed: make(chan struct{})}
	n.sockets[ap] = s
	return s, nil
}

func fail(op string, err error) error { return &net.OpError{Op: op, Net: "mem", Err: err} }

// listener is one listening port.
type listener struct {
	net    *network
	addr   netip.AddrPort
	queue  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, l.addr)
		l.net.mu.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// socket is one datagram port.
type socket struct {
	net    *network
	addr   netip.AddrPort
	queue  chan packet
	once   sync.Once
	closed chan struct{}
}

type packet struct {
	from netip.AddrPort
	data []byte
}

func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case got := <-s.queue:
		return copy(b, got.data), net.UDPAddrFromAddrPort(got.from), nil
	case <-s.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo sends b, which the caller may use again. Who is not there when it
// arrives does not get it.
func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	far, err := netip.ParseAddrPort(to.String())
	if err != nil {
		return 0, err
	}
	sum := fnv.New64a()
	sum.Write(b)
	s.net.trace.add("packet %s %s %d %x", s.addr, far, len(b), sum.Sum64())
	data := append([]byte(nil), b...)
	time.AfterFunc(delay, func() {
		s.net.mu.Lock()
		t := s.net.sockets[far]
		s.net.mu.Unlock()
		if t == nil {
			return
		}
		select {
		case t.queue <- packet{s.addr, data}:
		default:
			s.net.trace.add("packet %s %s: no room", s.addr, far)
		}
	})
	return len(b), nil
}

func (s *socket) Close() error {
	s.once.Do(func() {
		s.net.mu.Lock()
		delete(s.net.sockets, s.addr)
		s.net.mu.Unlock()
		close(s.closed)
	})
	return nil
}

func (s *socket) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(s.addr) }
func (s *socket) SetDeadline(time.Time) error      { return nil }
func (s *socket) SetReadDeadline(time.Time) error  { return nil }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }
