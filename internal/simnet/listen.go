package simnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// backlog is how many streams wait to be accepted; more are not answered.
const backlog = 256

// listener takes streams.
type listener struct {
	door
	stack   *Stack
	addr    netip.AddrPort
	waiting []*conn
	closed  bool
}

// bindLocked checks an address to listen on and gives it with its port.
func (s *Stack) bindLocked(network, addr string, taken func(uint16) bool) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return at, fmt.Errorf("listen %s %s: %w", network, addr, err)
	}
	fail := func(err error) (netip.AddrPort, error) {
		return at, opError("listen", network, nil, netAddr(network, at), err)
	}
	switch {
	case s.dead:
		return fail(net.ErrClosed)
	case !at.Addr().IsUnspecified() && at.Addr() != s.host.addr:
		return fail(os.NewSyscallError("bind", syscall.EADDRNOTAVAIL))
	case at.Port() == 0:
		at = netip.AddrPortFrom(at.Addr(), s.freePortLocked())
	case taken(at.Port()):
		return fail(os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	return netip.AddrPortFrom(s.host.addr, at.Port()), nil
}

// Listen implements transport.Network.
func (s *Stack) Listen(_ context.Context, addr string) (net.Listener, error) {
	n := s.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	at, err := s.bindLocked("tcp", addr, func(port uint16) bool { return s.listeners[port] != nil })
	if err != nil {
		return nil, err
	}
	l := &listener{stack: s, addr: at}
	l.init()
	s.listeners[at.Port()] = l
	return l, nil
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, opError("accept", "tcp", l.Addr(), nil, net.ErrClosed)
		case len(l.waiting) > 0 && !l.stack.host.stopped():
			c := l.waiting[0]
			l.waiting = l.waiting[1:]
			return c, nil
		}
		l.waitLocked(time.Time{})
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	n := l.stack.host.net
	n.mu.Lock()
	if l.stack.listeners[l.addr.Port()] == l {
		delete(l.stack.listeners, l.addr.Port())
	}
	n.mu.Unlock()
	if !l.shut(true) {
		return opError("close", "tcp", l.Addr(), nil, net.ErrClosed)
	}
	return nil
}

// shut closes the listener, unless that was done. polite says that the kernel lives
// and tells who waits to be accepted.
func (l *listener) shut(polite bool) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	waiting := l.waiting
	l.closed, l.waiting = true, nil
	l.endLocked()
	l.mu.Unlock()
	for _, c := range waiting {
		c.abandon(polite)
	}
	return true
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// offer hands a stream over, unless there is no room.
func (l *listener) offer(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.waiting) >= backlog {
		return false
	}
	l.waiting = append(l.waiting, c)
	l.cond.Broadcast()
	return true
}
