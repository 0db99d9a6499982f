package simnet

import (
	"container/heap"
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// packetRoom is how many datagrams wait for one socket, those under way
// included; more are lost, as a full socket buffer loses them.
const packetRoom = 4096

// maxDatagram is the most bytes that UDP carries over IPv4.
const maxDatagram = 65507

// packetConn is a datagram socket.
//
// Invariant: in is a heap by due time, then by order of sending.
type packetConn struct {
	door
	stack *Stack
	addr  netip.AddrPort

	in              inbox
	order           uint64
	closed          bool
	readBy, writeBy time.Time
}

// datagram is one under way, or arrived.
type datagram struct {
	due   time.Time
	order uint64
	from  netip.AddrPort
	b     []byte
}

type inbox []datagram

func (q inbox) Len() int      { return len(q) }
func (q inbox) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *inbox) Push(x any)   { *q = append(*q, x.(datagram)) }
func (q inbox) Less(i, j int) bool {
	return q[i].due.Before(q[j].due) || q[i].due.Equal(q[j].due) && q[i].order < q[j].order
}

func (q *inbox) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = datagram{}
	*q = old[:len(old)-1]
	return last
}

// ListenPacket implements transport.Network.
func (s *Stack) ListenPacket(_ context.Context, addr string) (net.PacketConn, error) {
	n := s.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	at, err := s.bindLocked("udp", addr, func(port uint16) bool { return s.packets[port] != nil })
	if err != nil {
		return nil, err
	}
	p := &packetConn{stack: s, addr: at}
	p.init()
	s.packets[at.Port()] = p
	return p, nil
}

// ReadFrom implements net.PacketConn.
func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case p.closed:
			return 0, nil, opError("read", "udp", p.LocalAddr(), nil, net.ErrClosed)
		case p.stack.host.stopped():
			p.waitLocked(time.Time{}) // Resume wakes
			continue
		case passed(p.readBy, now):
			return 0, nil, opError("read", "udp", p.LocalAddr(), nil, os.ErrDeadlineExceeded)
		}
		until := p.readBy
		if len(p.in) > 0 {
			due := p.in[0].due
			if !due.After(now) {
				ok, again := p.stack.host.admit(now)
				if ok {
					d := heap.Pop(&p.in).(datagram)
					return copy(b, d.b), net.UDPAddrFromAddrPort(d.from), nil
				}
				due = again
			}
			until = sooner(until, due)
		}
		p.waitLocked(until)
	}
}

// WriteTo implements net.PacketConn. Like a kernel it never says that a packet
// got lost.
func (p *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, opError("write", "udp", p.LocalAddr(), to, net.InvalidAddrError("not a UDP address"))
	}
	switch err := p.awaitTurn(); {
	case err != nil:
		return 0, opError("write", "udp", p.LocalAddr(), to, err)
	case len(b) > maxDatagram:
		return 0, opError("write", "udp", p.LocalAddr(), to, os.NewSyscallError("sendto", syscall.EMSGSIZE))
	}
	p.stack.host.count(func(t *Traffic) { t.Packets++; t.PacketBytes += uint64(len(b)) })
	addr := udp.AddrPort()
	p.stack.send(p.addr, netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), b)
	return len(b), nil
}

// awaitTurn waits while the host is paused.
func (p *packetConn) awaitTurn() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && p.stack.host.stopped() {
		p.waitLocked(time.Time{})
	}
	switch {
	case p.closed:
		return net.ErrClosed
	case passed(p.writeBy, time.Now()):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// send puts a datagram on its way.
func (s *Stack) send(from, to netip.AddrPort, b []byte) {
	n, now := s.host.net, time.Now()
	n.mu.Lock()
	if s.dead {
		n.mu.Unlock()
		return
	}
	host := n.byAddr[to.Addr()]
	if host == nil || host.addr != to.Addr() {
		n.noteLocked(EventLost, s.host.name, to.String(), 0, b)
		n.mu.Unlock()
		return
	}
	l := n.linkLocked(s.host, host)
	l.seq++
	seq := l.seq
	n.noteLocked(EventPacket, s.host.name, host.name, seq, b)
	wait := l.occupyLocked(now, len(b))
	var box *packetConn
	if host.stack != nil {
		box = host.stack.packets[to.Port()]
	}
	if box == nil || l.rules.Cut || chance(l.rules.Loss, roll(l.hash, seq, rollLoss)) {
		n.noteLocked(EventLost, s.host.name, host.name, seq, nil)
		n.mu.Unlock()
		return
	}
	due := now.Add(wait + l.rules.Latency.Draw(roll(l.hash, seq, rollDelay)))
	if chance(l.rules.Reorder, roll(l.hash, seq, rollReorder)) {
		due = due.Add(time.Duration(unit(roll(l.hash, seq, rollLate)) * float64(l.rules.Jitter)))
	}
	due = n.grainOf(due)
	double := chance(l.rules.Duplicate, roll(l.hash, seq, rollDouble))
	strip := n.cfg.Strip
	n.mu.Unlock()
	b = append([]byte(nil), b...)
	if strip != nil {
		if b = strip(host, b); b == nil {
			return
		}
	}
	full := !box.push(datagram{due: due, from: from, b: b})
	if double {
		full = !box.push(datagram{due: due, from: from, b: b}) || full
	}
	if full {
		n.mu.Lock()
		n.noteLocked(EventFull, s.host.name, host.name, seq, nil)
		n.mu.Unlock()
	}
}

// grainOf rounds the time of an arrival up to the grain.
func (n *Net) grainOf(due time.Time) time.Time {
	if n.cfg.Grain <= 0 {
		return due
	}
	return due.Add(n.cfg.Grain - 1).Truncate(n.cfg.Grain)
}

// push adds a datagram, and tells whether there was room.
func (p *packetConn) push(d datagram) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return true // nobody is there: that is no full queue
	}
	if len(p.in) >= packetRoom {
		return false
	}
	p.order++
	d.order = p.order
	heap.Push(&p.in, d)
	if p.in[0].order == d.order { // else the reader's timer is set for an earlier one
		p.cond.Broadcast()
	}
	return true
}

// Close implements net.PacketConn.
func (p *packetConn) Close() error {
	n := p.stack.host.net
	n.mu.Lock()
	if p.stack.packets[p.addr.Port()] == p {
		delete(p.stack.packets, p.addr.Port())
	}
	n.mu.Unlock()
	return p.shut()
}

func (p *packetConn) shut() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return opError("close", "udp", p.LocalAddr(), nil, net.ErrClosed)
	}
	p.closed, p.in = true, nil
	p.endLocked()
	return nil
}

// LocalAddr implements net.PacketConn.
func (p *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.addr) }

// SetReadDeadline implements net.PacketConn.
func (p *packetConn) SetReadDeadline(t time.Time) error { return p.setDeadlines(t, &p.readBy) }

// SetDeadline implements net.PacketConn.
func (p *packetConn) SetDeadline(t time.Time) error { return p.setDeadlines(t, &p.readBy, &p.writeBy) }

// SetWriteDeadline implements net.PacketConn. A write waits for nothing but the end
// of a pause; it fails after the deadline all the same.
func (p *packetConn) SetWriteDeadline(t time.Time) error { return p.setDeadlines(t, &p.writeBy) }

func (p *packetConn) setDeadlines(t time.Time, deadlines ...*time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return opError("set", "udp", p.LocalAddr(), nil, net.ErrClosed)
	}
	for _, d := range deadlines {
		*d = t
	}
	p.cond.Broadcast()
	return nil
}
