package simnet

import (
	"errors"
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

// pairLocked makes both ends of a stream, of which number is that of its opening
// on its link.
func (n *Net) pairLocked(a, b *Stack, at, to netip.AddrPort, number uint64) (near, far *conn) {
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

// Close implements net.Conn. It waits for nothing. The other end reads what was
// written before; if something was left unread here, it is reset instead, as TCP
// does it, and loses what it has not read yet.
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
	if c.closed() {
		return c.wrap("close", net.ErrClosed)
	}
	c.out.closeWriter(false)
	return nil
}

// closed tells whether Close was called, or the process has ended.
func (c *conn) closed() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.gone
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
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(c.in, &c.in.readBy, t)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(c.out, &c.out.writeBy, t)
}

func (c *conn) setDeadline(p *pipe, deadline *time.Time, t time.Time) error {
	if c.closed() {
		return c.wrap("set", net.ErrClosed)
	}
	p.setDeadline(deadline, t)
	return nil
}
