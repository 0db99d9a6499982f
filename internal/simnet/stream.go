package simnet

import (
	"io"
	"net"
	"net/netip"
	"time"
)

// conn is one end of a stream; it implements net.Conn.
type conn struct {
	in, out       *pipe
	stack         *Stack
	local, remote netip.AddrPort
}

// pairLocked makes both ends of a stream.
func (n *Net) pairLocked(a, b *Stack, at, to netip.AddrPort) (near, far *conn) {
	number := n.linkLocked(a.host, b.host).conns
	there, back := n.pipeLocked(a, b, 2*number), n.pipeLocked(b, a, 2*number+1)
	there.back, back.back = back, there
	return &conn{in: back, out: there, stack: a, local: at, remote: to},
		&conn{in: there, out: back, stack: b, local: to, remote: at}
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.wrap("read", err)
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	return n, c.wrap("write", err)
}

// Close implements net.Conn. The other end reads what was written before; if
// something was left unread here, it is reset instead, as TCP does it.
func (c *conn) Close() error {
	c.forget()
	unread, ok := c.in.closeReader()
	if !ok {
		return c.wrap("close", net.ErrClosed)
	}
	c.out.closeWriter(unread)
	return nil
}

// CloseWrite ends the outgoing direction only.
func (c *conn) CloseWrite() error {
	c.out.closeWriter(false)
	return nil
}

// abandon ends the stream for a process that is gone; polite tells the other end.
func (c *conn) abandon(polite bool) {
	c.forget()
	c.in.closeReader()
	if polite {
		c.out.closeWriter(true)
		return
	}
	c.out.goDark()
}

// forget takes the stream off its process.
func (c *conn) forget() {
	n := c.stack.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(c.stack.conns, c)
}

// wrap makes an error what package net would make of it.
func (c *conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return opError(op, "tcp", c.LocalAddr(), c.RemoteAddr(), err)
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// HalfOpen makes the streams that there are now between two hosts carry nothing
// any more, in either direction, without either end being told: as when a
// firewall forgets them. New ones are not affected.
func (n *Net) HalfOpen(a, b *Host) {
	for _, c := range n.between(a, b) {
		c.out.silence()
		c.in.silence()
	}
}

// Reset resets the streams that there are now between two hosts, at both ends.
func (n *Net) Reset(a, b *Host) {
	for _, c := range n.between(a, b) {
		c.out.reset()
		c.in.reset()
	}
}

// between gives the ends at a of the streams between two hosts.
func (n *Net) between(a, b *Host) []*conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a.stack == nil {
		return nil
	}
	var found []*conn
	for _, c := range a.stack.opened {
		if _, open := a.stack.conns[c]; open && c.out.to.host == b {
			found = append(found, c)
		}
	}
	return found
}
