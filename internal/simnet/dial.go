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

const (
	// firstRetry is when an opening that got no answer is tried again, after which
	// the time doubles.
	firstRetry = time.Second
	// dialTries is how often an opening is tried: for 127 seconds, as Linux has it.
	dialTries = 7
)

// Dial implements transport.Network. Where nothing passes, in either direction,
// it tries again as TCP does until ctx ends, for two minutes at most.
func (s *Stack) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial tcp %s: %w", addr, err)
	}
	fail := func(err error) (net.Conn, error) {
		return nil, opError("dial", "tcp", nil, netAddr("tcp", to), err)
	}
	retry := firstRetry
	for range dialTries {
		s.host.awaitThaw()
		a, err := s.attempt(to)
		if err != nil {
			return fail(err)
		}
		if !pause(ctx, a.wait) {
			return fail(dialError(ctx.Err()))
		}
		if a.answered {
			c, err := s.connect(to, a.number)
			if err != nil {
				return fail(err)
			}
			if c != nil {
				s.host.awaitThaw()
				return c, nil
			}
		}
		if !pause(ctx, retry) {
			return fail(dialError(ctx.Err()))
		}
		retry *= 2
	}
	return fail(os.NewSyscallError("connect", syscall.ETIMEDOUT))
}

// lateError is what an operation that ran out of time says. Like package net's it
// matches the context's error, which callers look for.
type lateError struct{}

// Error implements error.
func (lateError) Error() string { return "i/o timeout" }

// Timeout and Temporary implement net.Error.
func (lateError) Timeout() bool   { return true }
func (lateError) Temporary() bool { return true }

// Is implements errors.Is.
func (lateError) Is(target error) bool {
	return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
}

// dialError is what a dial says whose context ended.
func dialError(err error) error {
	if err == context.DeadlineExceeded {
		return lateError{}
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
	number   uint64 // of the opening, on its link
}

// attempt sends the first packet of a stream, and tells when the answer is there.
func (s *Stack) attempt(to netip.AddrPort) (attempt, error) {
	n := s.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.dead {
		return attempt{}, net.ErrClosed
	}
	host := n.byAddr[to.Addr()]
	if host == nil || host.addr != to.Addr() {
		return attempt{}, nil
	}
	there, back := n.linkLocked(s.host, host), n.linkLocked(host, s.host)
	there.conns++
	number := there.conns
	n.noteLocked(EventDial, s.host.name, host.name, number, nil)
	lost := chance(there.rules.Loss, roll(there.hash, number, rollOpenLoss)) ||
		chance(back.rules.Loss, roll(back.hash, number, rollAcceptLoss))
	if lost || host.dark || there.rules.Cut || back.rules.Cut {
		return attempt{}, nil
	}
	wait := there.rules.Latency.Draw(roll(there.hash, number, rollOpen)) +
		back.rules.Latency.Draw(roll(back.hash, number, rollAccept))
	return attempt{wait: wait, answered: true, number: number}, nil
}

// connect makes the stream of an opening that was answered. Without error and
// stream there was no answer after all: no room, or the host went away meanwhile.
func (s *Stack) connect(to netip.AddrPort, number uint64) (net.Conn, error) {
	n := s.host.net
	n.mu.Lock()
	host := n.byAddr[to.Addr()]
	switch {
	case s.dead:
		n.mu.Unlock()
		return nil, net.ErrClosed
	case host.addr != to.Addr() || host.dark:
		n.mu.Unlock()
		return nil, nil
	}
	var l *listener
	if host.stack != nil {
		l = host.stack.listeners[to.Port()]
	}
	if l == nil {
		n.noteLocked(EventRefused, s.host.name, to.String(), 0, nil)
		n.mu.Unlock()
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	near, far := n.pairLocked(s, l.stack, netip.AddrPortFrom(s.host.addr, s.freePortLocked()), to, number)
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
	s.host.awaitThaw()
	n := s.host.net
	n.mu.Lock()
	answer, ok := n.names[host]
	dead := s.dead
	n.mu.Unlock()
	switch {
	case dead:
		return nil, opError("lookup", "udp", nil, nil, net.ErrClosed)
	case !pause(ctx, answer.delay):
		err := dialError(ctx.Err())
		return nil, &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: host, IsTimeout: err == lateError{}}
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case answer.err != nil:
		return nil, &net.DNSError{Err: answer.err.Error(), Name: host, IsTemporary: true}
	}
	return slices.Clone(answer.addrs), nil
}
