package simnet

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// door is where goroutines wait for a change or for a time: a mutex, a condition
// and one timer.
//
// Invariant: while somebody waits with a bound, the timer is set for the earliest
// bound or before it, and its firing wakes all, who look again and wait anew.
type door struct {
	mu    sync.Mutex
	cond  sync.Cond
	timer *time.Timer
	at    time.Time // what timer is set for; zero: it is not
}

func (d *door) init() { d.cond.L = &d.mu }

// waitLocked waits for a broadcast or for until, whichever is first; zero means
// without a bound. The caller holds mu and looks again afterwards.
func (d *door) waitLocked(until time.Time) {
	if !until.IsZero() && (d.at.IsZero() || until.Before(d.at)) {
		d.at = until
		wait := max(time.Until(until), 0)
		if d.timer == nil {
			d.timer = time.AfterFunc(wait, d.fire)
		} else {
			d.timer.Reset(wait)
		}
	}
	d.cond.Wait()
}

func (d *door) fire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = time.Time{}
	d.cond.Broadcast()
}

// wake has all who wait look again.
func (d *door) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cond.Broadcast()
}

// endLocked lets go of the timer.
func (d *door) endLocked() {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at = time.Time{}
	d.cond.Broadcast()
}

// sooner gives the earlier of two times, of which zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// passed tells whether a deadline, if there is one, is over.
func passed(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

// netAddr is an address as package net has it.
func netAddr(network string, addr netip.AddrPort) net.Addr {
	if network == "udp" {
		return net.UDPAddrFromAddrPort(addr)
	}
	return net.TCPAddrFromAddrPort(addr)
}

// opError is how package net reports what happened on a socket.
func opError(op, network string, local, remote net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Source: local, Addr: remote, Err: err}
}
