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
// that was not read, and whether the end was open.
func (p *pipe) closeReader() (unread, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return false, false
	}
	now := time.Now()
	for _, s := range p.queue {
		unread = unread || len(s.b) > 0 && !s.due.After(now)
	}
	p.gone = true
	p.queue, p.size = nil, 0
	p.readBy = time.Time{}
	p.endLocked()
	return unread, true
}

// closeWriter ends the writing end: with a last segment that says so, or with a
// reset.
func (p *pipe) closeWriter(reset bool) {
	p.mu.Lock()
	closed := p.done
	p.done = true
	p.writeBy = time.Time{}
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

// tellReset sends a reset, which a cut loses.
func (p *pipe) tellReset() {
	n, now := p.net, time.Now()
	n.mu.Lock()
	open := n.passesLocked(p)
	link := n.linkLocked(p.from.host, p.to.host)
	p.mu.Lock()
	p.seq++
	at := now.Add(link.rules.Latency.Draw(roll(p.hash, p.seq, rollDelay)))
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

// goDark ends the writing end without a word.
func (p *pipe) goDark() {
	n := p.net
	n.mu.Lock()
	delete(n.stalled, p)
	n.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	p.held, p.queue = nil, nil // what is under way is of no use to anybody
	p.endLocked()
}

// silence makes the pipe carry nothing any more.
func (p *pipe) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
	p.queue, p.held = nil, nil
	p.cond.Broadcast()
}

// reset has both ends of the pipe fail at once.
func (p *pipe) reset() {
	now := time.Now()
	p.endReader(syscall.ECONNRESET, now)
	p.endWriter(syscall.ECONNRESET, now)
}

func (p *pipe) setDeadline(deadline *time.Time, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*deadline = t
	p.cond.Broadcast()
}
