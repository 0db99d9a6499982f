package transport

import (
	"context"
	"sync"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Meta is what a call or reply carries besides its body.
type Meta = wire.Meta

// Pair is one entry of the user's metadata.
type Pair = wire.Pair

// NoPartition in Meta.Partition says that a call is not keyed.
const NoPartition = wire.NoPartition

// Reply is a peer's answer. It belongs to the caller until Release; Meta and
// Body are valid until then.
type Reply struct {
	Code uint64 // 0 is success
	Meta *Meta
	Body []byte

	conn  *Conn
	id    uint64
	end   uint64 // place in the outgoing stream just behind the call's frame
	due   int64  // unix nanoseconds; 0: no deadline
	frame []byte
	head  wire.Header
	err   error
	done  chan struct{} // capacity 1: taken out of the table and filled
}

// keepFrame is the largest frame buffer that a pooled object keeps.
const keepFrame = 16 << 10

// Release gives the reply back for reuse. Nothing of it may be used after.
func (r *Reply) Release() { r.conn.ep.putReply(r) }

func (ep *Endpoint) getReply(c *Conn) *Reply {
	if r, ok := ep.replies.Get().(*Reply); ok {
		r.conn = c
		return r
	}
	return &Reply{conn: c, done: make(chan struct{}, 1)}
}

func (ep *Endpoint) putReply(r *Reply) {
	if cap(r.frame) > keepFrame {
		r.frame, r.head = nil, wire.Header{} // whose slices alias the frame
	}
	r.conn, r.Body, r.err = nil, nil, nil
	ep.replies.Put(r)
}

// pending is the table of calls that wait for a reply: a ring of slots indexed
// by id, so that there is nothing to hash. Ids only grow; one whose slot is
// still held by an older call is passed over, and the ring doubles when it is
// half full.
//
// Invariant: a call is in the table, or it was taken out by exactly one of
// reply, sweep, goaway, abandon and close, and that one alone finishes it.
type pending struct {
	mu     sync.Mutex
	slots  []*Reply
	n      int
	lastID uint64
	timer  *time.Timer // sweeps calls past their deadline; nil until needed
	sweep  int64       // when the timer fires, unix nanoseconds; 0: it doesn't
	sweepf func()
	closed bool
}

const minSlots = 16

// add gives r an id and a slot.
func (t *pending) addLocked(r *Reply) {
	if 2*t.n >= len(t.slots) {
		t.growLocked()
	}
	mask := uint64(len(t.slots) - 1)
	id := t.lastID + 1
	for t.slots[id&mask] != nil {
		id++
	}
	t.lastID, r.id = id, id
	t.slots[id&mask] = r
	t.n++
	if r.due != 0 && (t.sweep == 0 || r.due < t.sweep) {
		t.armLocked(r.due)
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
		if slots[r.id&mask] != nil {
			return false
		}
		slots[r.id&mask] = r
	}
	return true
}

// take removes the call of id, or gives nil. known tells whether id was ever
// used: a peer that answers what was never asked breaks the protocol.
func (t *pending) take(id uint64) (r *Reply, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.slots) == 0 || id > t.lastID {
		return nil, false
	}
	slot := &t.slots[id&uint64(len(t.slots)-1)]
	if *slot == nil || (*slot).id != id {
		return nil, true
	}
	r = *slot
	*slot = nil
	t.n--
	return r, true
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
	wait := time.Until(time.Unix(0, due))
	if t.timer == nil {
		t.timer = time.AfterFunc(wait, t.sweepf)
	} else {
		t.timer.Reset(wait)
	}
}

// expired takes the calls whose deadline has passed and arms the next sweep.
func (t *pending) expired() []*Reply {
	// A coarse grain: deadlines a little apart share one sweep.
	const grain = int64(time.Millisecond)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now().UnixNano()
	taken := t.takeIfLocked(func(r *Reply) bool { return r.due != 0 && r.due <= now })
	t.sweep = 0
	var next int64
	for _, r := range t.slots {
		if r != nil && r.due != 0 && (next == 0 || r.due < next) {
			next = r.due
		}
	}
	if next != 0 {
		t.armLocked(max(next, now+grain))
	}
	return taken
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
	r.done <- struct{}{}
}

// errDeadline is what a call gets whose deadline passed while it waited.
var errDeadline = context.DeadlineExceeded
