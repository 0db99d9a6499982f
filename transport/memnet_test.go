package transport

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// memNet is a Network in memory, for tests that need to see inside the wire or
// run on virtual time. Its streams are as unkind as TCP may be: whoever closes
// with bytes unread, or is written to after its close, resets the stream, and a
// reset destroys what the other side has not read yet.
type memNet struct {
	buffer int // bytes that a stream takes before a write blocks

	mu        sync.Mutex
	listeners map[string]*memListener
	packets   map[string]*memPackets
	port      uint16
}

func newMemNet(buffer int) *memNet {
	return &memNet{
		buffer: buffer, port: 40000,
		listeners: map[string]*memListener{}, packets: map[string]*memPackets{},
	}
}

// bindLocked gives addr with a real port number.
func (n *memNet) bindLocked(addr string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err == nil && ap.Port() == 0 {
		n.port++
		ap = netip.AddrPortFrom(ap.Addr(), n.port)
	}
	return ap, err
}

func (n *memNet) Listen(_ context.Context, addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ap, err := n.bindLocked(addr)
	if err != nil {
		return nil, err
	}
	if n.listeners[ap.String()] != nil {
		return nil, &net.OpError{Op: "listen", Net: "mem", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l := &memListener{net: n, addr: ap, queue: make(chan net.Conn, 64), closed: make(chan struct{})}
	n.listeners[ap.String()] = l
	return l, nil
}

func (n *memNet) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return n.dialFrom(ctx, "127.0.0.1", addr)
}

func (n *memNet) dialFrom(ctx context.Context, ip, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	local, _ := n.bindLocked(net.JoinHostPort(ip, "0"))
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "mem", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	if l == nil {
		return nil, refused
	}
	near, far := newMemPair(n.buffer, local, l.addr)
	select {
	case l.queue <- far:
		return near, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *memNet) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	ip, err := netip.ParseAddr(host)
	return []netip.Addr{ip}, err
}

func (n *memNet) ListenPacket(_ context.Context, addr string) (net.PacketConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ap, err := n.bindLocked(addr)
	if err != nil {
		return nil, err
	}
	if n.packets[ap.String()] != nil {
		return nil, &net.OpError{Op: "listen", Net: "mem", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	p := &memPackets{net: n, addr: ap, queue: make(chan memPacket, 64), closed: make(chan struct{})}
	n.packets[ap.String()] = p
	return p, nil
}

// memListener is one listening port.
type memListener struct {
	net    *memNet
	addr   netip.AddrPort
	queue  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, l.addr.String())
		l.net.mu.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *memListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// memPackets is one datagram port.
type memPackets struct {
	net    *memNet
	addr   netip.AddrPort
	queue  chan memPacket
	once   sync.Once
	closed chan struct{}
}

type memPacket struct {
	from netip.AddrPort
	data string
}

func (p *memPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case got := <-p.queue:
		return copy(b, got.data), net.UDPAddrFromAddrPort(got.from), nil
	case <-p.closed:
		return 0, nil, net.ErrClosed
	}
}

func (p *memPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	p.net.mu.Lock()
	far := p.net.packets[to.String()]
	p.net.mu.Unlock()
	if far != nil {
		select {
		case far.queue <- memPacket{p.addr, string(b)}:
		default: // datagrams may be lost
		}
	}
	return len(b), nil
}

func (p *memPackets) Close() error {
	p.once.Do(func() {
		p.net.mu.Lock()
		delete(p.net.packets, p.addr.String())
		p.net.mu.Unlock()
		close(p.closed)
	})
	return nil
}

func (p *memPackets) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(p.addr) }
func (p *memPackets) SetDeadline(time.Time) error      { return nil }
func (p *memPackets) SetReadDeadline(time.Time) error  { return nil }
func (p *memPackets) SetWriteDeadline(time.Time) error { return nil }
