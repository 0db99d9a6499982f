package transport

import (
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Silence says when a peer counts as silent, and what becomes of the calls that
// wait for it then.
//
// A process that was frozen, a machine without power and a path that drops
// everything break no connection. So a peer that leaves calls unanswered is sent a
// ping, which its reader answers however long its handlers take. If it does not,
// its connection takes no new calls until something comes from it again; and calls
// with Request.Watch Yielding end, if Yield allows it, with ErrSilent and an unknown
// outcome.
type Silence struct {
	// After is how long a peer may leave watched calls without any byte from it
	// before it is asked, and how long its answer may take. 0: no call is watched.
	After time.Duration
	// Yield is asked about each call that would end. It is called with a lock
	// held, and must not wait. Nil: none ends.
	Yield func() bool
}

// Watch says whether a call wants to know that its peer is silent.
type Watch uint8

// The values of Watch.
const (
	Unwatched Watch = iota
	Watched         // the peer is asked; the call itself goes on waiting
	Yielding        // the call ends with ErrSilent, if Silence.Yield allows it
)

// maxPatience is how often, in times of Silence.After, a peer that has shown that
// it lives may be silent before it is asked about the same calls again.
const maxPatience = 256

// quiet is how a connection notices that its peer is silent. A call that is
// answered in time costs it a count: there is one timer for all, the one that
// sweeps calls past their deadline, and it looks again only while calls wait.
//
// Invariant: next is not 0 while watched calls wait, and then the table's timer
// fires at next or before. Times are since the endpoint's start.
type quiet struct {
	after int64         // Silence.After
	heard *atomic.Int64 // when bytes last came; it grows whenever some come

	calls    int   // watched ones that wait
	from     int64 // when the first of these was sent: there was nothing to say before
	next     int64 // of the next look; 0: there is none
	asked    bool  // the peer was asked, when heard was mark
	mark     int64
	patience int64  // silence after which it is asked
	last     uint64 // number of the table's last call when it was asked
}

// verdict is what a look at a connection gives.
type verdict uint8

const (
	nothing verdict = iota
	askPeer         // it is to be asked for a sign of life
	noLife          // it has given none
)

// addLocked counts a watched call that is sent at now, and sees to it that there
// is a look at the peer in time.
func (q *quiet) addLocked(now int64) {
	if q.calls == 0 {
		q.from = now
	}
	q.calls++
	if q.next == 0 || q.patience != q.after { // who was patient with others is not so with this one
		q.patience = q.after
		if at := now + q.after; q.next == 0 || at < q.next {
			q.next = at
		}
	}
}

// removeLocked counts a call out.
func (q *quiet) removeLocked(w Watch) {
	if w != Unwatched {
		q.calls--
	}
}

// lookLocked looks at the peer, if it is time; last is the number of the latest
// call.
func (q *quiet) lookLocked(now int64, last uint64) verdict {
	switch {
	case q.next == 0 || now < q.next:
		return nothing
	case q.calls == 0:
		q.next, q.asked = 0, false
		return nothing
	}
	heard, late := q.heard.Load(), now-q.next > q.after/4
	if q.asked && heard == q.mark {
		q.next = now + q.after
		if late { // this process was away itself, and may not have read what has come
			return nothing
		}
		return noLife
	}
	q.asked = false
	if at := max(heard, q.from) + q.patience; at > now {
		q.next = at
		return nothing
	}
	if q.last == last { // it has lived, and handlers may take long
		q.patience = min(2*q.patience, maxPatience*q.after)
	}
	q.asked, q.mark, q.last, q.next = true, heard, last, now+q.after
	return askPeer
}

// heed does what follows from a look at the peer.
func (c *Conn) heed(v verdict) {
	switch v {
	case askPeer:
		c.control(func(buf []byte) []byte { return wire.AppendPing(buf, 0) })
	case noLife:
		c.Distrust(c.Heard())
		yield := c.ep.cfg.Silence.Yield
		if yield == nil {
			return
		}
		for _, r := range c.pend.takeIf(func(r *Reply) bool { return r.watch == Yielding && yield() }) {
			c.cancel(r.id, ErrSilent)
			r.finish(&CallError{Err: ErrSilent})
		}
	}
}

// Heard gives a number that grows whenever something comes from the peer.
func (c *Conn) Heard() int64 { return c.life.heardAt.Load() }

// Distrust has the connection take no new calls until something comes from the
// peer, if nothing has come since Heard gave heard: the caller waited for it in
// vain. A dial then tells whether it is the peer that is silent.
func (c *Conn) Distrust(heard int64) {
	if c.Heard() == heard && c.life.silent.Swap(heard+1) != heard+1 {
		c.ep.stats.add(PeersSilent, 1)
	}
}

// silent tells whether the peer gave no sign of life when it was asked, and
// nothing has come from it since.
func (c *Conn) silent() bool {
	since := c.life.silent.Load()
	return since != 0 && since == c.life.heardAt.Load()+1
}

// replace lets go of a connection whose place another one has taken: its peer
// closes it, when it hears of it, once it has nothing left to answer.
func (c *Conn) replace() {
	if c.silent() && !c.goaway.Load() {
		c.sendGoAway(ErrIdle)
	}
}
