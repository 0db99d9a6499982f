package simnet

import (
	"syscall"
	"time"
)

// put sends bytes, or the end of the stream if there are none.
func (p *pipe) put(b []byte) {
	n, now := p.net, time.Now()
	n.mu.Lock()
	p.mu.Lock()
	refused := p.putLocked(b, now)
	p.mu.Unlock()
	n.mu.Unlock()
	p.tellRefused(refused)
}

// putLocked is put under both mutexes. It tells when the other host's reset is
// there, if it answers with one.
func (p *pipe) putLocked(b []byte, now time.Time) (refused time.Time) {
	n := p.net
	if p.done && len(b) > 0 || p.sendEnd.now(now) != nil || p.from.dark {
		return time.Time{} // closed, reset or without power since the caller looked
	}
	p.seq++
	if p.seq == 1 && len(b) > 0 && b[0] == gossipMark {
		p.gossip, p.back.gossip = true, true
		p.from.host.count(func(t *Traffic) { t.GossipStreams++ })
	}
	p.account(len(b))
	n.noteLocked(EventSegment, p.from.host.name, p.to.host.name, p.seq, b)
	s := segment{seq: p.seq, b: append([]byte(nil), b...)}
	p.size += len(b)
	switch {
	case p.silent:
	case len(p.held) > 0 || !n.passesLocked(p):
		p.holdLocked(now, s)
	case p.unwantedLocked():
		return p.refuseLocked(&s, now)
	default:
		p.sendLocked(s, now, now)
	}
	return time.Time{}
}

// holdLocked keeps segments for a retransmission that gets through.
func (p *pipe) holdLocked(now time.Time, s ...segment) {
	if len(p.held) == 0 {
		p.heldFrom = now
	}
	p.held = append(p.held, s...)
	p.net.stalled[p] = struct{}{}
}

// passesLocked tells whether the pipe's segments get to the other host and, where
// nobody takes them there, whether its answer gets back. Until then they are sent
// again and again.
func (n *Net) passesLocked(p *pipe) bool {
	from, to := p.from.host, p.to.host
	switch {
	case from.dark || to.dark || p.from.dark || !n.openLocked(from, to):
		return false
	case from.addr != p.from.addr || to.addr != p.to.addr:
		return false // one of them has another address now
	case p.unwantedLocked():
		return n.openLocked(to, from)
	}
	return true
}

// unwantedLocked tells whether the process at the other end has closed, or is gone:
// its kernel answers what comes with a reset.
func (p *pipe) unwantedLocked() bool { return p.to.dead || p.gone }

// sendLocked gives a segment that is sent at some time from now on the time at
// which it is due. The line is taken from now on: what is sent meanwhile waits for
// the bytes, not for the retransmission.
func (p *pipe) sendLocked(s segment, at, now time.Time) {
	link := p.net.linkLocked(p.from.host, p.to.host)
	due := now.Add(link.occupyLocked(now, len(s.b)))
	if due.Before(at) {
		due = at
	}
	due = due.Add(link.rules.Latency.Draw(roll(p.hash, s.seq, rollDelay)))
	for try, again := uint64(0), retransmit; again <= mostRetransmit && chance(link.rules.Loss, roll(p.hash+mix(try), s.seq, rollLoss)); try++ {
		due = due.Add(again)
		again *= 2
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
func (p *pipe) resumeLocked() {
	p.mu.Lock()
	refused := p.releaseLocked()
	p.mu.Unlock()
	p.tellRefused(refused)
}

// releaseLocked is resumeLocked under both mutexes; see putLocked.
func (p *pipe) releaseLocked() (refused time.Time) {
	now, at := time.Now(), p.heldFrom
	for again := retransmit; at.Before(now); again = min(2*again, maxDelay) {
		at = at.Add(again)
	}
	held := p.held
	p.held = nil
	switch {
	case len(held) == 0 || p.sendEnd.now(now) != nil:
	case p.unwantedLocked():
		return p.refuseLocked(&held[0], at)
	default:
		for _, s := range held {
			p.sendLocked(s, at, now)
		}
	}
	return time.Time{}
}

// refuseLocked has the other host answer a segment sent at some time with a reset,
// and tells when it is here; not at all for the end of a stream that was closed
// there as well.
func (p *pipe) refuseLocked(s *segment, sent time.Time) time.Time {
	if len(s.b) == 0 && !p.to.dead {
		return time.Time{}
	}
	there := p.net.linkLocked(p.from.host, p.to.host).rules.Latency.Draw(roll(p.hash, s.seq, rollDelay))
	return p.resetLocked(sent.Add(there))
}

// resetLocked has the other host send a reset at some time.
func (p *pipe) resetLocked(sent time.Time) time.Time {
	back := p.net.linkLocked(p.to.host, p.from.host).rules.Latency.Draw(roll(p.hash, p.seq, rollAnswer))
	at := sent.Add(back)
	p.sendEnd.set(syscall.ECONNRESET, at)
	p.cond.Broadcast()
	return at
}

// tellRefused lets the end that reads from the other direction know of a reset
// too. The pipe's own door must be free: no goroutine holds both.
func (p *pipe) tellRefused(at time.Time) {
	if !at.IsZero() {
		p.back.endReader(syscall.ECONNRESET, at)
	}
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
