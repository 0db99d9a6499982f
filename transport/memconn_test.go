package transport

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// memConn is one end of a stream of a memNet.
type memConn struct {
	in, out       *memPipe
	local, remote netip.AddrPort
}

func newMemPair(buffer int, a, b netip.AddrPort) (near, far *memConn) {
	there, back := newMemPipe(buffer), newMemPipe(buffer)
	return &memConn{back, there, a, b}, &memConn{there, back, b, a}
}

func (c *memConn) Read(b []byte) (int, error) { return c.in.read(b) }

func (c *memConn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	if err == errPeerGone {
		c.in.reset()
	}
	return n, err
}

// Close ends both directions. Unread bytes make it a reset.
func (c *memConn) Close() error {
	unread, err := c.in.closeRead()
	if unread {
		c.out.reset()
	}
	c.out.closeWrite()
	return err
}

// CloseWrite ends the outgoing direction only.
func (c *memConn) CloseWrite() error {
	c.out.closeWrite()
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *memConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *memConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

var errPeerGone error = syscall.EPIPE

// memPipe is one direction of a stream.
type memPipe struct {
	mu       sync.Mutex
	changed  *sync.Cond
	buf      []byte
	limit    int
	noWriter bool // reads end after buf
	noReader bool // writes fail
	broken   error
	readBy   memDeadline
	writeBy  memDeadline
}

type memDeadline struct {
	timer  *time.Timer
	passed bool
}

func newMemPipe(limit int) *memPipe {
	p := &memPipe{limit: limit}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *memPipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.noReader:
			return 0, net.ErrClosed
		case p.broken != nil:
			return 0, p.broken
		case p.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case len(p.buf) > 0:
			n := copy(b, p.buf)
			p.buf = append(p.buf[:0], p.buf[n:]...)
			p.changed.Broadcast()
			return n, nil
		case p.noWriter:
			return 0, io.EOF
		}
		p.changed.Wait()
	}
}

func (p *memPipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.noWriter:
			return n, net.ErrClosed
		case p.broken != nil:
			return n, p.broken
		case p.noReader:
			return n, errPeerGone
		case p.writeBy.passed:
			return n, os.ErrDeadlineExceeded
		case n == len(b):
			return n, nil
		}
		if room := min(p.limit-len(p.buf), len(b)-n); room > 0 {
			p.buf = append(p.buf, b[n:n+room]...)
			n += room
			p.changed.Broadcast()
			continue
		}
		p.changed.Wait()
	}
}

// buffered gives the bytes written and not read yet.
func (p *memPipe) buffered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.buf)
}

func (p *memPipe) closeRead() (unread bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.noReader {
		return false, net.ErrClosed
	}
	unread = len(p.buf) > 0
	p.noReader, p.buf = true, nil
	p.stopTimersLocked()
	p.changed.Broadcast()
	return unread, nil
}

func (p *memPipe) closeWrite() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noWriter = true
	p.stopTimersLocked()
	p.changed.Broadcast()
}

// reset destroys what is on its way.
func (p *memPipe) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken, p.buf = syscall.ECONNRESET, nil
	p.changed.Broadcast()
}

func (p *memPipe) stopTimersLocked() {
	for _, d := range []*memDeadline{&p.readBy, &p.writeBy} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
}

func (p *memPipe) setDeadline(d *memDeadline, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.passed = nil, false
	if t.IsZero() || p.noReader || p.noWriter {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.passed = true
		p.changed.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if d.timer == timer {
			d.passed = true
			p.changed.Broadcast()
		}
	})
	d.timer = timer
}
