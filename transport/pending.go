package transport

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Meta is what a call or reply carries besides its body.
type Meta = wire.Meta

// Pair is one entry of the user's metadata.
type Pair = wire.Pair

// StandIn says why a call with a key went past its owner, and in a reply how it
// was served then.
type StandIn = wire.StandIn

// The values of StandIn: those of calls, and those of replies.
const (
	AsOwner     = wire.AsOwner
	ForFailover = wire.ForFailover
	ForSpill    = wire.ForSpill

	InPlace = wire.InPlace
	Relayed = wire.Relayed
	Spilled = wire.Spilled
)

// Caller says for whom a call is carried; see wire.Caller.
type Caller = wire.Caller

// The bits of Caller.
const (
	Carried        = wire.Carried
	CallerMember   = wire.CallerMember
	CallerVerified = wire.CallerVerified
)

// NoPartition in Meta.Partition says that a call is not keyed.
const NoPartition = wire.NoPartition

// Reply is a peer's answer. It belongs to the caller until Release; Meta and
// Body are valid until then.
type Reply struct {
	Code uint64 // 0 is success
	Meta *Meta
	Body []byte

	conn    *Conn
	id      uint64
	end     uint64 // place in the outgoing stream just behind the call's frame
	due     int64  // when the caller gives up, since the endpoint's start; 0: never
	watch   Watch
	frame   []byte  // the header, and a small body
	body    []byte  // a longer one
	into    *[]byte // the caller's memory for it; may be nil
	parts   *inbound
	stream  *Stream // the call opened one: its end is told to it as well
	sending *sender // of a request in parts
	head    wire.Header
	err     error
	done    chan struct{} // capacity 1: taken out of the table and filled
}

// keepFrame is the largest frame buffer that a pooled object keeps.
const keepFrame = 4 << 10

// Release gives the reply back for reuse. Nothing of it may be used after.
func (r *Reply) Release() { r.conn.ep.putReply(r) }

// TakeBody gives the body to the caller for good, if that costs no copy: it
// stays valid after Release.
func (r *Reply) TakeBody() (body []byte, taken bool) {
	return r.Body, r.parts != nil || r.body != nil || r.into != nil
}

func (ep *Endpoint) getReply(c *Conn) *Reply {
	if r, ok := ep.replies.Get().(*Reply); ok {
		r.conn = c
		return r
	}
	return &Reply{conn: c, done: make(chan struct{}, 1)}
}

func (ep *Endpoint) putReply(r *Reply) {
	if cap(r.frame) > keepFrame {
		r.frame = nil
	}
	r.body, r.into = nil, nil
	unalias(&r.head)
	r.conn, r.Body, r.parts, r.stream, r.sending, r.err = nil, nil, nil, nil, nil, nil
	ep.replies.Put(r)
}

// unalias lets go of what a header aliases.
func unalias(h *wire.Header) {
	h.Method, h.Meta.Owner, h.Meta.Message, h.Meta.Key, h.Meta.CallerName = nil, nil, nil, nil, nil
	if cap(h.Meta.User) > keepPairs {
		h.Meta.User = nil
	}
	clear(h.Meta.User)
}

// keepPairs is how much room for metadata a pooled object keeps.
const keepPairs = 16

// pending is the table of calls that wait for a reply: a ring of slots indexed
// by sequence number, so that there is nothing to hash. Numbers only grow; one
// whose slot is still held by an older call is passed over, and the ring
// doubles when it is half full. The id of the call numbered n is 2n-1 on the
// side that dialled, 2n on the other, so that data frames of both directions
// can be told apart.
//
// Invariant: a call is in the table, or it was taken out by exactly one of
// reply, sweep, goaway, abandon and close, and that one alone finishes it.
type pending struct {
	start time.Time // what due counts from

	mu     sync.Mutex
	slots  []*Reply
	n      int
	last   uint64      // sequence number
	odd    uint64      // 1 on the side that dialled, else 0
	timer  *time.Timer // sweeps calls past their deadline; nil until needed
	sweep  int64       // when the timer fires, since start; 0: it doesn't
	due    int64       // not after the first deadline of those that wait; 0: none has one
	sweepf func()
	quiet  quiet
	closed bool
}

const minSlots = 8

// sequence gives the number of the call with that id.
func sequence(id uint64) uint64 { return (id + 1) / 2 }

// addLocked gives r an id and a slot. left is the time until r.due; whoever knows
// it need not look at the clock.
func (t *pending) addLocked(r *Reply, left time.Duration) {
	if 2*t.n >= len(t.slots) {
		t.growLocked()
	}
	mask := uint64(len(t.slots) - 1)
	n := t.last + 1
	for t.slots[n&mask] != nil {
		n++
	}
	t.last, r.id = n, 2*n-t.odd
	t.slots[n&mask] = r
	t.n++
	if r.due != 0 && (t.due == 0 || r.due < t.due) {
		t.due = r.due
	}
	if r.watch != Unwatched {
		now := r.due - int64(left)
		if r.due == 0 {
			now = int64(time.Since(t.start))
		}
		t.quiet.addLocked(now)
	}
	t.rearmLocked()
}

// rearmLocked makes the sweep happen when there is something to do, if not before.
func (t *pending) rearmLocked() {
	next := t.due
	if q := t.quiet.next; q != 0 && (next == 0 || q < next) {
		next = q
	}
	if next != 0 && (t.sweep == 0 || next < t.sweep) {
		t.armLocked(next)
	}
}

func (t *pending) growLocked() {
	size := max(minSlots, 2*len(t.slots))
	for {
		slots := make([]*Reply, size)
		if place(slots, t.slots) {
			t.slots = slots
			return
		}
		size *= 2
	}
}

// place puts all calls of old into slots and tells whether none collided.
func place(slots, old []*Reply) bool {
	mask := uint64(len(slots) - 1)
	for _, r := range old {
		if r == nil {
			continue
		}
		slot := &slots[sequence(r.id)&mask]
		if *slot != nil {
			return false
		}
		*slot = r
	}
	return true
}

// take removes the call of id, or gives nil. known tells whether id was ever
// used: a peer that answers what was never asked breaks the protocol.
func (t *pending) take(id uint64) (r *Reply, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot, known := t.slotLocked(id)
	if slot == nil {
		return nil, known
	}
	r = *slot
	*slot = nil
	t.n--
	t.quiet.removeLocked(r.watch)
	return r, true
}

// stream gives the stream that the call of id opened, or nil.
func (t *pending) stream(id uint64) (s *Stream, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot, known := t.slotLocked(id)
	if slot == nil {
		return nil, known
	}
	return (*slot).stream, true
}

// slotLocked gives the slot that holds the call of id, or nil.
func (t *pending) slotLocked(id uint64) (slot **Reply, known bool) {
	n := sequence(id)
	if id == 0 || n > t.last || id&1 != t.odd {
		return nil, false
	}
	if len(t.slots) == 0 {
		return nil, true
	}
	slot = &t.slots[n&uint64(len(t.slots)-1)]
	if *slot == nil || (*slot).id != id {
		return nil, true
	}
	return slot, true
}

// issued gives the number of the last call.
func (t *pending) issued() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// rest lets go of a ring that grew in a burst and holds nothing any more.
func (t *pending) rest() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 {
		t.slots = nil
	}
}

// count gives the number of waiting calls.
func (t *pending) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// takeIf removes and gives all calls that match.
func (t *pending) takeIf(match func(*Reply) bool) (taken []*Reply) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.takeIfLocked(match)
}

func (t *pending) takeIfLocked(match func(*Reply) bool) (taken []*Reply) {
	for i, r := range t.slots {
		if r != nil && match(r) {
			t.slots[i] = nil
			t.n--
			t.quiet.removeLocked(r.watch)
			taken = append(taken, r)
		}
	}
	return taken
}

// armLocked makes the sweep happen at due.
func (t *pending) armLocked(due int64) {
	if t.closed {
		return
	}
	t.sweep = due
	wait := time.Duration(due) - time.Since(t.start)
	if t.timer == nil {
		t.timer = time.AfterFunc(wait, t.sweepf)
	} else {
		t.timer.Reset(wait)
	}
}

// expired takes the calls whose deadline has passed, looks at the peer, and arms
// the next sweep.
func (t *pending) expired() (late []*Reply, found verdict) {
	// A coarse grain: deadlines a little apart share one sweep.
	const grain = int64(time.Millisecond)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := int64(time.Since(t.start))
	t.sweep = 0
	if t.due != 0 && t.due <= now {
		late = t.takeIfLocked(func(r *Reply) bool { return r.due != 0 && r.due <= now })
		t.due = 0
		for _, r := range t.slots {
			if r != nil && r.due != 0 && (t.due == 0 || r.due < t.due) {
				t.due = r.due
			}
		}
		if t.due != 0 {
			t.due = max(t.due, now+grain)
		}
	}
	found = t.quiet.lookLocked(now, t.last)
	t.rearmLocked()
	return late, found
}

// closeAll takes every call; no sweep follows.
func (t *pending) closeAll() []*Reply {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
	return t.takeIfLocked(func(*Reply) bool { return true })
}

// finish wakes the caller of a call that was taken out of the table.
func (r *Reply) finish(err error) {
	r.err = err
	if r.stream != nil {
		r.stream.finished(err)
	} else if r.sending != nil { // nobody takes the rest of the request
		r.conn.stopSender(r.sending, ErrStreamEnded)
	}
	r.done <- struct{}{}
}

// parse reads the reply's frame and puts its body together. It runs on the
// caller's goroutine.
func (r *Reply) parse() error {
	body, err := wire.Parse(r.frame, &r.head)
	inParts := err == nil && r.head.Meta.Length > 0
	if inParts && (len(body) > 0 || r.head.Meta.Length != r.partsLength()) {
		err = ErrBodyLength
	}
	if err != nil {
		err = errors.Join(ErrProtocol, err)
		r.conn.protocolError(err)
		return &CallError{Err: err}
	}
	switch {
	case inParts:
		body = r.parts.join()
	case r.body != nil:
		body = r.body
	}
	if r.into != nil {
		if r.body == nil {
			*r.into = append((*r.into)[:0], body...)
		} else {
			*r.into = r.body
		}
		body = *r.into
	}
	r.Code, r.Meta, r.Body = r.head.Code, &r.head.Meta, body
	return nil
}

// partsLength is the length of a body that came ahead of the reply.
func (r *Reply) partsLength() uint64 {
	if r.parts == nil {
		return 0
	}
	return uint64(r.parts.have)
}

// errDeadline is what a call gets whose deadline passed while it waited.
var errDeadline = context.DeadlineExceeded
