package simnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
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
		return at, opError("listen", network, nil, net.UDPAddrFromAddrPort(at), err)
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
	if !l.shut() {
		return opError("close", "tcp", l.Addr(), nil, net.ErrClosed)
	}
	return nil
}

func (l *listener) shut() bool {
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
		c.abandon(true)
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

// firstRetry is when an opening that got no answer is tried again, after which
// the time doubles.
const firstRetry = time.Second

// Dial implements transport.Network. Where nothing passes, in either direction,
// it tries again as TCP does until ctx ends.
func (s *Stack) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial tcp %s: %w", addr, err)
	}
	fail := func(err error) (net.Conn, error) {
		return nil, opError("dial", "tcp", nil, net.TCPAddrFromAddrPort(to), err)
	}
	for retry := firstRetry; ; retry *= 2 {
		a := s.attempt(to)
		if !pause(ctx, a.wait) {
			return fail(dialError(ctx.Err()))
		}
		if a.answered {
			c, err := s.connect(to)
			if err != nil {
				return fail(err)
			}
			if c != nil {
				return c, nil
			}
		}
		if !pause(ctx, retry) {
			return fail(dialError(ctx.Err()))
		}
	}
}

// dialError is what a dial that ran out of time says.
func dialError(err error) error {
	if err == context.DeadlineExceeded {
		return os.ErrDeadlineExceeded
	}
	return err
}

// pause waits for d, and tells whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt is one try of an opening.
type attempt struct {
	wait     time.Duration // a round trip, if there is an answer
	answered bool
}

// attempt sends the first packet of a stream, and tells when the answer is there.
func (s *Stack) attempt(to netip.AddrPort) attempt {
	n := s.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	host := n.byAddr[to.Addr()]
	if s.dead || host == nil || host.addr != to.Addr() || host.dark {
		return attempt{answered: s.dead}
	}
	there, back := n.linkLocked(s.host, host), n.linkLocked(host, s.host)
	there.conns++
	seq := there.conns | 1<<63 // streams and packets draw from numbers of their own
	a := attempt{
		wait: there.rules.Latency.Draw(roll(there.hash, seq, rollDelay)) + back.rules.Latency.Draw(roll(back.hash, seq, rollDelay)),
	}
	lost := chance(there.rules.Loss, roll(there.hash, seq, rollLoss)) || chance(back.rules.Loss, roll(back.hash, seq, rollLoss))
	a.answered = !lost && !there.rules.Cut && !back.rules.Cut
	n.noteLocked(EventDial, s.host.name, host.name, there.conns, nil)
	if !a.answered {
		a.wait = 0
	}
	return a
}

// connect makes the stream of an opening that was answered. Without error and
// stream there was no room.
func (s *Stack) connect(to netip.AddrPort) (net.Conn, error) {
	n := s.host.net
	n.mu.Lock()
	host := n.byAddr[to.Addr()]
	if s.dead {
		n.mu.Unlock()
		return nil, net.ErrClosed
	}
	var l *listener
	if host != nil && host.addr == to.Addr() && host.stack != nil {
		l = host.stack.listeners[to.Port()]
	}
	if l == nil {
		n.noteLocked(EventRefused, s.host.name, to.String(), 0, nil)
		n.mu.Unlock()
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	near, far := n.pairLocked(s, l.stack, netip.AddrPortFrom(s.host.addr, s.freePortLocked()), to)
	s.keepLocked(near)
	l.stack.keepLocked(far)
	n.mu.Unlock()
	if !l.offer(far) {
		far.abandon(false)
		near.abandon(false)
		return nil, nil
	}
	return near, nil
}

// Resolve implements transport.Network.
func (s *Stack) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	n := s.host.net
	n.mu.Lock()
	answer, ok := n.names[host]
	n.mu.Unlock()
	switch {
	case !pause(ctx, answer.delay):
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case answer.err != nil:
		return nil, &net.DNSError{Err: answer.err.Error(), Name: host, IsTemporary: true}
	}
	return slices.Clone(answer.addrs), nil
}
