package membership

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// memory is packets without sockets, for virtual time.
type memory struct {
	mu    sync.Mutex
	next  uint16
	boxes map[netip.AddrPort]*memoryPackets
}

func newMemory() *memory {
	return &memory{next: 1000, boxes: map[netip.AddrPort]*memoryPackets{}}
}

func (m *memory) open(at netip.AddrPort) (netip.AddrPort, net.PacketConn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !at.IsValid() {
		m.next++
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), m.next)
	}
	p := &memoryPackets{mem: m, addr: at, in: make(chan memoryPacket, 1024), wake: make(chan struct{})}
	m.boxes[at] = p
	return at, p
}

type memoryPacket struct {
	b    []byte
	from net.Addr
}

// memoryPackets is one socket.
type memoryPackets struct {
	mem  *memory
	addr netip.AddrPort
	in   chan memoryPacket

	mu       sync.Mutex
	deadline time.Time
	wake     chan struct{} // closed when the deadline changes
}

func (p *memoryPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	p.mu.Lock()
	deadline, wake := p.deadline, p.wake
	p.mu.Unlock()
	if !deadline.IsZero() && !deadline.After(time.Now()) {
		return 0, nil, os.ErrDeadlineExceeded
	}
	select {
	case packet := <-p.in:
		return copy(b, packet.b), packet.from, nil
	case <-wake:
		return p.ReadFrom(b)
	}
}

func (p *memoryPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	p.mem.mu.Lock()
	box := p.mem.boxes[to.(*net.UDPAddr).AddrPort()]
	p.mem.mu.Unlock()
	if box == nil {
		return len(b), nil
	}
	select {
	case box.in <- memoryPacket{b: append([]byte(nil), b...), from: net.UDPAddrFromAddrPort(p.addr)}:
	default:
	}
	return len(b), nil
}

func (p *memoryPackets) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	close(p.wake)
	p.wake = make(chan struct{})
	return nil
}

func (p *memoryPackets) Close() error {
	p.mem.mu.Lock()
	defer p.mem.mu.Unlock()
	if p.mem.boxes[p.addr] == p {
		delete(p.mem.boxes, p.addr)
	}
	return nil
}

func (p *memoryPackets) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(p.addr) }
func (p *memoryPackets) SetDeadline(t time.Time) error    { return p.SetReadDeadline(t) }
func (p *memoryPackets) SetWriteDeadline(time.Time) error { return nil }
