package simnet

import (
	"io"
	"net"
	"os"
	"time"
)

const (
	// pipeRoom is how many bytes one direction of a stream holds, under way or
	// unread, before a write waits.
	pipeRoom = 256 << 10
	// retransmit is how long TCP waits for an acknowledgement at first; then
	// twice as long each time.
	retransmit = 200 * time.Millisecond
	// mostRetransmit bounds the wait for one retransmission that is drawn ahead: the
	// link may be better by then. (Three seconds in all.)
	mostRetransmit = 1600 * time.Millisecond
	// gossipMark is the first byte of memberlist's streams.
	gossipMark = 244
)

// segment is what one write put on its way.
type segment struct {
	due  time.Time
	seq  uint64
	b    []byte // empty: the end of the stream
	seen bool   // the host has worked on it: who reads it in pieces is as slow as who does not
}

// pipe is one direction of a stream.
//
// Invariant: segments are due in the order of the queue; those behind a cut are
// in held, and become due when it is gone. Nothing goes past held. Net.mu is taken
// before the door's; gone, held and silent change under both.
type pipe struct {
	door
	net      *Net
	from, to *Stack
	back     *pipe // the other direction
	hash     uint64
	id       uint64

	queue    []segment
	held     []segment
	heldFrom time.Time // when the first of held was written
	size     int       // bytes in queue and held
	seq      uint64
	last     time.Time // when the last one is due
	gossip   bool      // under Net.mu

	writing bool // a Write is under way; the next one waits, so that they do not mix
	done    bool // the writer has closed
	gone    bool // the reader has closed
	silent  bool // nothing arrives, and nobody is told
	readEnd ending
	sendEnd ending

	readBy, writeBy time.Time
}

// ending is an error that one end of a pipe sees from some time on.
type ending struct {
	err error
	at  time.Time
}

func (e *ending) now(t time.Time) error {
	if e.err != nil && !t.Before(e.at) {
		return e.err
	}
	return nil
}

// set notes an error, unless an earlier one is there.
func (e *ending) set(err error, at time.Time) {
	if e.err == nil || at.Before(e.at) {
		e.err, e.at = err, at
	}
}

func (n *Net) pipeLocked(from, to *Stack, number uint64) *pipe {
	n.pipes++
	p := &pipe{net: n, from: from, to: to, id: n.pipes, hash: mix(n.linkLocked(from.host, to.host).hash ^ number<<20)}
	p.init()
	return p
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case p.gone:
			return 0, net.ErrClosed
		case p.to.host.stopped():
			p.waitLocked(time.Time{}) // Resume wakes
			continue
		case p.readEnd.now(now) != nil:
			return 0, p.readEnd.err
		case passed(p.readBy, now):
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		}
		until := p.readBy
		if p.readEnd.err != nil {
			until = sooner(until, p.readEnd.at)
		}
		if len(p.queue) > 0 {
			again := p.admitLocked(&p.queue[0], now)
			if again.IsZero() {
				return p.takeLocked(b)
			}
			until = sooner(until, again)
		}
		p.waitLocked(until)
	}
}

// admitLocked tells when to look again whether the host gets at a segment; zero
// if it does now.
func (p *pipe) admitLocked(s *segment, now time.Time) (again time.Time) {
	if s.due.After(now) {
		return s.due
	}
	if !s.seen {
		s.seen, again = p.to.host.admit(now)
	}
	return again
}

// takeLocked reads from the first segment.
func (p *pipe) takeLocked(b []byte) (int, error) {
	first := &p.queue[0]
	if len(first.b) == 0 {
		return 0, io.EOF // it stays: every read from now on ends so
	}
	n := copy(b, first.b)
	if first.b = first.b[n:]; len(first.b) == 0 {
		*first = segment{}
		if p.queue = p.queue[1:]; len(p.queue) == 0 {
			p.queue = nil
		}
	}
	if p.size >= pipeRoom {
		p.cond.Broadcast()
	}
	p.size -= n
	return n, nil
}

// write sends bytes; those of one call stay together.
func (p *pipe) write(b []byte) (n int, err error) {
	room, err := p.awaitRoom(len(b), false)
	if err != nil {
		return 0, err
	}
	defer p.endWrite()
	for len(b) > n {
		p.put(b[n : n+room])
		if n += room; n < len(b) {
			if room, err = p.awaitRoom(len(b)-n, true); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// awaitRoom waits until some of want bytes have room, and tells how many. It takes
// the turn to write, unless the caller has it.
func (p *pipe) awaitRoom(want int, mine bool) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case p.done:
			return 0, net.ErrClosed
		case p.from.host.stopped():
			p.waitLocked(time.Time{}) // Resume wakes
			continue
		case p.sendEnd.now(now) != nil:
			return 0, p.sendEnd.err
		case passed(p.writeBy, now):
			return 0, os.ErrDeadlineExceeded
		case (mine || !p.writing) && (want == 0 || p.size < pipeRoom):
			p.writing = true
			return min(want, pipeRoom-p.size), nil
		}
		until := p.writeBy
		if p.sendEnd.err != nil {
			until = sooner(until, p.sendEnd.at)
		}
		p.waitLocked(until)
	}
}

// endWrite lets the next Write have its turn.
func (p *pipe) endWrite() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing = false
	p.cond.Broadcast()
}

func (p *pipe) setDeadline(deadline *time.Time, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*deadline = t
	p.cond.Broadcast()
}
