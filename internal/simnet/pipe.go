package simnet

import (
	"io"
	"net"
	"os"
	"syscall"
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
	due time.Time
	b   []byte // empty: the end of the stream
}

// pipe is one direction of a stream.
//
// Invariant: segments are due in the order of the queue; those behind a cut are
// in held, and become due when it is gone. Net.mu is taken before the door's.
type pipe struct {
	door
	net      *Net
	from, to *Stack
	back     *pipe // the other direction
	hash     uint64

	queue    []segment
	held     []segment
	heldFrom time.Time // when the first of held was written
	size     int       // bytes in queue and held
	seq      uint64
	last     time.Time // when the last one is due
	gossip   bool

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
	p := &pipe{net: n, from: from, to: to, hash: mix(n.linkLocked(from.host, to.host).hash ^ number<<20)}
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
			due := p.queue[0].due
			if !due.After(now) {
				ok, again := p.to.host.admit(now)
				if ok {
					return p.takeLocked(b)
				}
				due = again
			}
			until = sooner(until, due)
		}
		p.waitLocked(until)
	}
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

func (p *pipe) write(b []byte) (n int, err error) {
	for n < len(b) {
		room, err := p.awaitRoom(len(b) - n)
		if err != nil {
			return n, err
		}
		p.put(b[n : n+room])
		n += room
	}
	return n, nil
}

// awaitRoom waits until some of want bytes have room, and tells how many.
func (p *pipe) awaitRoom(want int) (int, error) {
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
		case p.size < pipeRoom:
			return min(want, pipeRoom-p.size), nil
		}
		until := p.writeBy
		if p.sendEnd.err != nil {
			until = sooner(until, p.sendEnd.at)
		}
		p.waitLocked(until)
	}
}

// put sends bytes, or the end of the stream if there are none.
func (p *pipe) put(b []byte) {
	n, now := p.net, time.Now()
	n.mu.Lock()
	link := n.linkLocked(p.from.host, p.to.host)
	p.mu.Lock()
	refused := p.putLocked(link, b, now)
	p.mu.Unlock()
	n.mu.Unlock()
	if !refused.IsZero() {
		p.back.endReader(syscall.ECONNRESET, refused)
	}
}

// putLocked is put under both mutexes. It tells when the other host's reset is
// there, if it answers with one.
func (p *pipe) putLocked(link *link, b []byte, now time.Time) (refused time.Time) {
	n := p.net
	p.seq++
	if p.seq == 1 && len(b) > 0 && b[0] == gossipMark {
		p.gossip, p.back.gossip = true, true
	}
	p.account(len(b))
	n.noteLocked(EventSegment, p.from.host.name, p.to.host.name, p.seq, b)
	p.size += len(b)
	s := segment{b: append([]byte(nil), b...)}
	switch {
	case p.silent:
	case p.gone && !p.to.dead: // the reader has closed: its kernel answers so
		return p.refuseLocked(link, now)
	case !n.passesLocked(p):
		if len(p.held) == 0 {
			p.heldFrom = now
		}
		p.held = append(p.held, s)
		n.stalled[p] = struct{}{}
	case p.to.dead:
		return p.refuseLocked(link, now)
	default:
		p.sendLocked(link, s, now)
	}
	return time.Time{}
}

// passesLocked tells whether the pipe's segments get to the other host, be it to
// the process that opened the stream or to a kernel that knows nothing of it.
func (n *Net) passesLocked(p *pipe) bool {
	return n.openLocked(p.from.host, p.to.host) && !p.to.host.dark
}

// sendLocked gives a segment the time at which it is due.
func (p *pipe) sendLocked(link *link, s segment, now time.Time) {
	due := now.Add(link.occupyLocked(now, len(s.b)) + link.rules.Latency.Draw(roll(p.hash, p.seq, rollDelay)))
	for again := retransmit; again <= mostRetransmit && chance(link.rules.Loss, roll(p.hash, p.seq, rollLoss+uint64(again))); again *= 2 {
		due = due.Add(again)
	}
	if due.Before(p.last) {
		due = p.last
	}
	s.due, p.last = due, due
	p.queue = append(p.queue, s)
	if len(p.queue) == 1 {
		p.cond.Broadcast()
	}
}

// resumeLocked sends what was held up: at the first retransmission from now on.
// The caller holds Net.mu.
func (p *pipe) resumeLocked(link *link) {
	p.mu.Lock()
	refused := p.releaseLocked(link)
	p.mu.Unlock()
	if !refused.IsZero() {
		p.back.endReader(syscall.ECONNRESET, refused)
	}
}

// releaseLocked is resumeLocked under both mutexes; see putLocked.
func (p *pipe) releaseLocked(link *link) (refused time.Time) {
	now, at := time.Now(), p.heldFrom
	for again := retransmit; at.Before(now); again = min(2*again, maxDelay) {
		at = at.Add(again)
	}
	held := p.held
	p.held = nil
	if p.to.dead {
		return p.refuseLocked(link, at)
	}
	for _, s := range held {
		p.sendLocked(link, s, at)
	}
	return time.Time{}
}

// refuseLocked has the other host answer with a reset, and tells when it is
// here: the caller tells the reading end of the other direction, whose door is
// not to be taken under this one.
func (p *pipe) refuseLocked(link *link, now time.Time) time.Time {
	at := now.Add(2 * link.rules.Latency.Draw(roll(p.hash, p.seq, rollDelay)))
	p.sendEnd.set(syscall.ECONNRESET, at)
	p.cond.Broadcast()
	return at
}

// account counts bytes as sent.
func (p *pipe) account(size int) {
	p.from.host.count(func(t *Traffic) {
		if p.gossip {
			t.GossipBytes += uint64(size)
		} else {
			t.MeshBytes += uint64(size)
		}
	})
}
