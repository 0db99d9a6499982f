package transport

import (
	"encoding/binary"
	"sync"

	"github.com/meshnode/meshnode/internal/wire"
)

// recvQueue is the receiving half of a stream: messages that have arrived and
// are not taken yet. Two buffers swap: the reader fills one while whoever
// receives empties the other.
//
// Invariant: left, what lies in both buffers, costs counted, and takenCost are
// window together, so memory is bounded by it. window is at least the pool's
// floor; what it exceeds that by is lent by the pool until over.
type recvQueue struct {
	conn *Conn
	out  *sender       // the other half, which knows the stream's id
	wake chan struct{} // capacity 1: something to take, or the end

	mu     sync.Mutex
	window int64  // bytes; the one who receives changes it, and may read it without mu
	over   bool   // nothing more is granted
	fresh  []byte // parts: 4 bytes of length and whether more follow, then bytes
	left   int64  // what the peer may still send
	kept   []byte // whole, while somebody waits for wake
	waits  bool   // somebody waits for wake
	used   bool   // something has come since the last rest
	ended  bool   // no more comes
	err    error  // nothing more is taken, for this reason

	// Of the one who receives.
	taking    []byte // what is left of the swapped buffer
	spare     []byte // the whole of it
	takenCost int64  // taken and not granted again
	whole     []byte // a message put together from parts
	midway    bool   // whole is the beginning of one
}

func (q *recvQueue) init(c *Conn, out *sender) {
	q.conn, q.out, q.wake = c, out, make(chan struct{}, 1)
	q.window, q.left = c.pool.floor, c.pool.floor
}

// widen borrows for the window of a stream that is about to begin. It returns the
// credit to grant.
func (q *recvQueue) widen() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		return 0
	}
	more := q.conn.pool.lend(q.window)
	q.window += more
	q.left += more
	return more
}

// appendWindow appends the frame that grants what widen has borrowed, if anything.
func (q *recvQueue) appendWindow(dst []byte, id uint64) []byte {
	credit := q.widen()
	if credit == 0 {
		return dst
	}
	dst, at := wire.Begin(dst)
	return wire.End(wire.AppendWindow(dst, id, uint64(credit)), at)
}

// settleLocked gives the pool back what it has lent. Nothing more is granted.
func (q *recvQueue) settleLocked() {
	if !q.over {
		q.over = true
		q.conn.pool.giveBack(q.window - q.conn.pool.floor)
	}
}

const partHead = 4

// put takes a part from the reader. The error is one that ends the connection.
func (q *recvQueue) put(part []byte, more bool) error {
	cost := int64(len(part) + frameCost)
	q.mu.Lock()
	if q.ended || q.err != nil {
		q.mu.Unlock()
		return nil
	}
	if q.left -= cost; q.left < 0 {
		q.mu.Unlock()
		return ErrWindowOverflow
	}
	head := uint32(len(part)) << 1
	if more {
		head |= 1
	}
	q.used = true
	q.fresh = append(binary.LittleEndian.AppendUint32(q.fresh, head), part...)
	wake := q.waits
	q.waits = false
	q.mu.Unlock()
	if wake {
		q.poke()
	}
	return nil
}

func (q *recvQueue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// end says that no more comes, after what is there. On the caller's side that is
// the end of the stream: what lies unread is its own then, and counts no more.
func (q *recvQueue) end(settle bool) {
	q.mu.Lock()
	q.ended = true
	if settle {
		q.settleLocked()
	}
	q.mu.Unlock()
	q.poke()
}

// fail says that nothing more is taken; the first reason counts. What has arrived
// and was not taken is dropped.
func (q *recvQueue) fail(err error) {
	q.mu.Lock()
	if q.err == nil {
		q.err = err
	}
	q.fresh = nil
	q.settleLocked()
	q.mu.Unlock()
	q.poke()
}

// next gives the next message, valid until the following call. state tells what
// there is if it is not a message.
func (q *recvQueue) next(most int) (msg []byte, state recvState, err error) {
	if !q.midway {
		q.whole = q.whole[:0]
	}
	for {
		part, more, ok := q.part()
		if !ok {
			state, err := q.swap()
			if state != recvReady {
				return nil, state, err
			}
			continue
		}
		if len(q.whole)+len(part) > most {
			q.drop()
			return nil, recvFailed, ErrBodyTooLarge
		}
		if !more && !q.midway {
			return part, recvReady, nil
		}
		q.whole = append(q.whole, part...)
		q.midway = more
		if !more {
			msg = q.whole
			if cap(q.whole) > wholeKept {
				q.whole = nil
			}
			return msg, recvReady, nil
		}
	}
}

// drop takes what is left of the swapped buffer and forgets it.
func (q *recvQueue) drop() {
	for ok := true; ok; {
		_, _, ok = q.part()
	}
}

// wholeKept is the largest buffer for putting parts together that is kept between
// messages, keepStream the largest of any that a stream keeps while nothing comes,
// in bytes.
const (
	wholeKept  = 256 << 10
	keepStream = 16 << 10
)

type recvState uint8

const (
	recvReady  recvState = iota
	recvEmpty            // wait for wake
	recvEnded            // nothing is left, and nothing more comes
	recvFailed           // err says why
)

// part takes the next part out of the swapped buffer.
func (q *recvQueue) part() (part []byte, more, ok bool) {
	if len(q.taking) == 0 {
		return nil, false, false
	}
	head := binary.LittleEndian.Uint32(q.taking)
	n := int(head >> 1)
	part = q.taking[partHead : partHead+n]
	q.taking = q.taking[partHead+n:]
	if q.takenCost += int64(n + frameCost); q.takenCost >= q.window/2 {
		q.giveBack()
	}
	return part, head&1 != 0, true
}

// giveBack grants the peer again what was taken, more or less as the pool has it.
func (q *recvQueue) giveBack() {
	credit := q.takenCost
	q.takenCost = 0
	q.mu.Lock()
	if q.over || q.ended {
		q.mu.Unlock()
		return
	}
	change := q.conn.pool.adjust(q.window, credit)
	credit += change
	q.window += change
	q.left += credit
	q.mu.Unlock()
	q.conn.grant(q.out.id, credit, byFlusher)
}

// swap gets what has arrived, once all is taken that was there before.
func (q *recvQueue) swap() (recvState, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.err != nil:
		q.forgetLocked()
		return recvFailed, q.err
	case len(q.fresh) > 0:
		q.taking, q.fresh, q.spare = q.fresh, q.spare[:0], q.fresh
		if q.kept != nil {
			q.whole, q.kept = q.kept[:0], nil
		}
		return recvReady, nil
	case q.ended:
		q.forgetLocked()
		return recvEnded, nil
	}
	q.waits = true
	q.parkLocked()
	return recvEmpty, nil
}

// parkLocked puts what only the one who receives touches where rest finds it.
func (q *recvQueue) parkLocked() {
	q.taking = nil
	if !q.midway {
		q.kept, q.whole = q.whole, nil
	}
}

// rest lets go of the large buffers of a stream that is empty and was so at the last
// call: it may stay so for long.
func (q *recvQueue) rest() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if used := q.used || len(q.fresh) > 0; used || !q.waits {
		q.used = false
		return
	}
	for _, buf := range []*[]byte{&q.fresh, &q.spare, &q.kept} {
		if cap(*buf) > keepStream {
			*buf = nil
		}
	}
}

// forgetLocked lets go of the buffers of a stream from which nothing more comes.
func (q *recvQueue) forgetLocked() {
	q.fresh, q.taking, q.spare, q.whole, q.kept = nil, nil, nil, nil, nil
}

// discard drops what is there and what may come. Nobody receives any more.
func (q *recvQueue) discard() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = ErrStreamEnded
	}
	q.forgetLocked()
	q.settleLocked()
}
