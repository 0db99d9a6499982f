package simnet

import (
	"syscall"
	"time"
)

// endReader lets the reading end fail from some time on.
func (p *pipe) endReader(err error, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readEnd.set(err, at)
	p.cond.Broadcast()
}

// endWriter lets the writing end fail from some time on.
func (p *pipe) endWriter(err error, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sendEnd.set(err, at)
	p.cond.Broadcast()
}

// closeReader closes the reading end. It tells whether something had arrived
// that was not read, and whether the end was open. What arrives later is refused,
// as what is written later is.
func (p *pipe) closeReader() (unread, ok bool) {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		return false, false
	}
	refused := time.Time{}
	unread, late := p.leftLocked()
	p.gone = true
	p.queue, p.readBy = nil, time.Time{}
	if !p.silent {
		p.size = sizeOf(p.held)
		refused = p.lateLocked(late)
	}
	p.endLocked()
	p.mu.Unlock()
	p.tellRefused(refused)
	return unread, true
}

// leftLocked tells whether something has arrived that was not read, and gives what
// is under way.
func (p *pipe) leftLocked() (unread bool, late []segment) {
	now := time.Now()
	for _, s := range p.queue {
		switch {
		case len(s.b) == 0:
		case s.due.After(now):
			late = append(late, s)
		default:
			unread = true
		}
	}
	return unread, late
}

// lateLocked sees to what was under way when the reader closed: it is refused when
// it arrives or, where no answer gets back, sent again.
func (p *pipe) lateLocked(late []segment) (refused time.Time) {
	n := p.net
	if len(late) == 0 {
		return time.Time{}
	}
	if !p.to.host.dark && n.openLocked(p.to.host, p.from.host) {
		return p.resetLocked(late[0].due)
	}
	p.size += sizeOf(late)
	held := p.held
	p.held = nil
	p.holdLocked(time.Now(), append(late, held...)...)
	return time.Time{}
}

func sizeOf(segments []segment) (bytes int) {
	for _, s := range segments {
		bytes += len(s.b)
	}
	return bytes
}

// closeWriter ends the writing end: with a last segment that says so, or with a
// reset.
func (p *pipe) closeWriter(reset bool) {
	p.mu.Lock()
	closed := p.done
	p.done = true
	p.writeBy = time.Time{}
	if p.gone {
		p.endLocked()
	}
	p.cond.Broadcast()
	p.mu.Unlock()
	switch {
	case closed && !reset:
	case reset:
		p.tellReset()
	default:
		p.put(nil)
	}
}

// tellReset sends a reset after what was written, which a cut loses.
func (p *pipe) tellReset() {
	n, at := p.net, time.Now()
	n.mu.Lock()
	open := n.passesLocked(p)
	link := n.linkLocked(p.from.host, p.to.host)
	p.mu.Lock()
	p.seq++
	at = at.Add(link.rules.Latency.Draw(roll(p.hash, p.seq, rollDelay)))
	if !at.After(p.last) {
		at = p.last.Add(1) // who waits for what was written before gets it
	}
	open = open && !p.silent
	p.held = nil
	p.mu.Unlock()
	delete(n.stalled, p)
	n.noteLocked(EventReset, p.from.host.name, p.to.host.name, p.seq, nil)
	n.mu.Unlock()
	if open {
		p.endReader(syscall.ECONNRESET, at)
		p.back.endWriter(syscall.ECONNRESET, at)
	}
}

// goDark ends the writing end without a word. What is under way arrives.
func (p *pipe) goDark() {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.goDarkLocked()
}

// goDarkLocked is goDark for who holds Net.mu.
func (p *pipe) goDarkLocked() {
	delete(p.net.stalled, p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	p.held = nil
	p.endLocked()
}

// silence makes the pipe carry nothing any more. What has arrived can be read.
func (p *pipe) silence() {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.stalled, p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent, p.held = true, nil
	now := time.Now()
	for i := range p.queue {
		if p.queue[i].due.After(now) {
			clear(p.queue[i:])
			p.queue = p.queue[:i]
			break
		}
	}
	p.cond.Broadcast()
}

// reset has both ends of the pipe fail at once.
func (p *pipe) reset() {
	now := time.Now()
	p.endReader(syscall.ECONNRESET, now)
	p.endWriter(syscall.ECONNRESET, now)
}
