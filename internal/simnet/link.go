package simnet

import (
	"time"
)

// Link is what one direction between two hosts is like. The zero value is a
// perfect one.
type Link struct {
	Latency   Dist    // one way
	Loss      float64 // of packets, 0 to 1; on streams a loss costs a retransmission, and 1 is a cut
	Duplicate float64 // of packets, 0 to 1
	Reorder   float64 // of packets, 0 to 1: they are held back by up to Jitter
	Jitter    time.Duration
	Bandwidth int64 // bytes a second; 0: no bound
	Cut       bool  // nothing passes
}

// Rule changes the links that it matches. A later rule goes over an earlier one.
type Rule struct {
	Match func(from, to *Host) bool
	Apply func(*Link)
}

// RuleID names a rule that was added.
type RuleID int

type ruled struct {
	id RuleID
	Rule
}

// linkKey names one direction between two hosts.
type linkKey struct{ from, to *Host }

// link is the state of one direction.
//
// Invariant: rules is what the rules gave at the time of version; seq and conns
// only grow. All of it is under the Net's mutex.
type link struct {
	hash    uint64 // of the seed and both names
	seq     uint64 // packets sent
	conns   uint64 // streams opened
	version int
	rules   Link
	free    time.Time // when the line has sent what was put on it
}

// AddRule puts a rule over those there are. It holds for packets sent and for
// segments written from now on; what is under way arrives.
func (n *Net) AddRule(r Rule) RuleID {
	n.mu.Lock()
	n.ruleID++
	id := n.ruleID
	n.rules = append(n.rules, ruled{id, r})
	n.mu.Unlock()
	n.rulesChanged()
	return id
}

// RemoveRule takes a rule away. It does nothing if that was done already.
func (n *Net) RemoveRule(id RuleID) {
	n.mu.Lock()
	for i, r := range n.rules {
		if r.id == id {
			n.rules = append(n.rules[:i:i], n.rules[i+1:]...)
			break
		}
	}
	n.mu.Unlock()
	n.rulesChanged()
}

// Link gives what the direction from one host to another is like now.
func (n *Net) Link(from, to *Host) Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.linkLocked(from, to).rules
}

// Reaches tells whether what from sends now gets to a running process at to.
func (n *Net) Reaches(from, to *Host) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.openLocked(from, to) && to.runningLocked()
}

// linkLocked gives a direction's state, as the rules have it now.
func (n *Net) linkLocked(from, to *Host) *link {
	key := linkKey{from, to}
	l := n.links[key]
	if l == nil {
		l = &link{hash: mix(mix(n.cfg.Seed^from.hash) ^ to.hash<<1), version: -1}
		n.links[key] = l
	}
	if l.version != n.version {
		l.version = n.version
		l.rules = n.resolveLocked(from, to)
	}
	return l
}

func (n *Net) resolveLocked(from, to *Host) Link {
	l := n.cfg.Link
	if from == to {
		l = Link{}
	}
	for _, r := range n.rules {
		if r.Match(from, to) {
			r.Apply(&l)
		}
	}
	return l
}

// openLocked tells whether anything passes from one host to another.
func (n *Net) openLocked(from, to *Host) bool {
	rules := &n.linkLocked(from, to).rules
	return !rules.Cut && rules.Loss < 1
}

// occupyLocked puts size bytes on the line and gives how long they wait for
// what is on it already, and take themselves.
func (l *link) occupyLocked(now time.Time, size int) time.Duration {
	if l.rules.Bandwidth <= 0 {
		return 0
	}
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(size) / float64(l.rules.Bandwidth) * float64(time.Second)))
	return l.free.Sub(now)
}

// HalfOpen makes the streams that there are now between two hosts carry nothing
// any more, in either direction, without either end being told: as when a
// firewall forgets them. New ones are not affected.
func (n *Net) HalfOpen(a, b *Host) {
	for _, c := range n.between(a, b) {
		c.out.silence()
		c.in.silence()
	}
}

// Reset resets the streams that there are now between two hosts, at both ends.
func (n *Net) Reset(a, b *Host) {
	for _, c := range n.between(a, b) {
		c.out.reset()
		c.in.reset()
	}
}

// between gives the ends at a of the streams between two hosts.
func (n *Net) between(a, b *Host) []*conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a.stack == nil {
		return nil
	}
	var found []*conn
	for _, c := range a.stack.opened {
		if _, open := a.stack.conns[c]; open && c.out.to.host == b {
			found = append(found, c)
		}
	}
	return found
}
