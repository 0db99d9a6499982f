package main

import (
	"hash/fnv"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// stream is one end of a stream.
type stream struct {
	trace         *trace
	in, out       *pipe
	local, remote netip.AddrPort
}

func newPair(t *trace, a, b netip.AddrPort) (near, far *stream) {
	there, back := newPipe(), newPipe()
	return &stream{t, back, there, a, b}, &stream{t, there, back, b, a}
}

func (s *stream) Read(b []byte) (int, error) { return s.in.read(b) }

func (s *stream) Write(b []byte) (int, error) {
	sum := fnv.New64a()
	sum.Write(b)
	s.trace.add("stream %s %s %d %x", s.local, s.remote, len(b), sum.Sum64())
	return s.out.write(b)
}

// Close ends both directions; what is not read yet is lost.
func (s *stream) Close() error {
	s.trace.add("close %s %s", s.local, s.remote)
	s.in.end(net.ErrClosed, syscall.EPIPE)
	s.out.end(nil, net.ErrClosed)
	return nil
}

func (s *stream) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(s.local) }
func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

func (s *stream) SetDeadline(t time.Time) error {
	_ = s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

func (s *stream) SetReadDeadline(t time.Time) error {
	s.in.set(&s.in.readBy, t)
	return nil
}

func (s *stream) SetWriteDeadline(t time.Time) error {
	s.out.set(&s.out.writeBy, t)
	return nil
}

// pipe is one direction of a stream. It takes any number of bytes, so a write
// never waits.
type pipe struct {
	mu       sync.Mutex
	changed  *sync.Cond
	buf      []byte
	ended    bool  // buf is followed by io.EOF
	readErr  error // of every read
	writeErr error // of every write
	readBy   deadline
	writeBy  deadline
}

type deadline struct {
	timer  *time.Timer
	passed bool
}

func newPipe() *pipe {
	p := &pipe{}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.readErr != nil:
			return 0, p.readErr
		case p.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case len(p.buf) > 0:
			n := copy(b, p.buf)
			p.buf = p.buf[n:]
			return n, nil
		case p.ended:
			return 0, io.EOF
		}
		p.changed.Wait()
	}
}

func (p *pipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.writeErr != nil:
		return 0, p.writeErr
	case p.writeBy.passed:
		return 0, os.ErrDeadlineExceeded
	}
	p.buf = append(p.buf, b...)
	p.changed.Broadcast()
	return len(b), nil
}

// end ends the direction: reads give readErr or, if it is nil, what is left and
// then io.EOF; writes give writeErr. The first end counts.
func (p *pipe) end(readErr, writeErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readErr == nil {
		p.readErr = readErr
	}
	if p.writeErr == nil {
		p.writeErr = writeErr
	}
	p.ended = true
	p.stopLocked(&p.readBy)
	p.stopLocked(&p.writeBy)
	p.changed.Broadcast()
}

func (p *pipe) stopLocked(d *deadline) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.passed = nil, false
}

// set sets a deadline, or none if t is zero.
func (p *pipe) set(d *deadline, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopLocked(d)
	if t.IsZero() || p.ended {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(t), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if d.timer == timer {
			d.passed = true
			p.changed.Broadcast()
		}
	})
	d.timer = timer
}
