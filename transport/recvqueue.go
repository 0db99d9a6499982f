package transport

import (
	"encoding/binary"
	"sync"
)

// recvQueue is the receiving half of a stream: messages that have arrived and
// are not taken yet. Two buffers swap: the reader fills one while whoever
// receives empties the other.
//
// Invariant: left, owed and what lies in both buffers, costs counted, are the
// stream's window together, so memory is bounded by it.
type recvQueue struct {
	conn   *Conn
	out    *sender // the other half, which knows the stream's id
	window int64
	wake   chan struct{} // capacity 1: something to take, or the end

	mu    sync.Mutex
	fresh []byte // parts: 4 bytes of length and whether more follow, then bytes
	cost  int64  // of what is in fresh
	left  int64  // what the peer may still send
	waits bool   // somebody waits for wake
	ended bool   // no more comes
	err   error  // nothing more is taken, for this reason

	// Of the one who receives.
	taking    []byte // what is left of the swapped buffer
	spare     []byte // the whole of it
	batch     int64  // cost of all that the swapped buffer held
	takenCost int64  // taken and not granted again
	whole     []byte // a message put together from parts
	midway    bool   // whole is the beginning of one
}

const partHead = 4

// put takes a part from the reader. The error is one that ends the connection.
func (q *recvQueue) put(part []byte, more bool) error {
	cost := int64(len(part) + frameCost)
	q.mu.Lock()
	if q.ended || q.err != nil {
		q.mu.Unlock()
		q.conn.grant(0, q.conn.in.taken(cost), byReader)
		return nil
	}
	if q.left -= cost; q.left < 0 {
		q.mu.Unlock()
		return ErrWindowOverflow
	}
	q.cost += cost
	head := uint32(len(part)) << 1
	if more {
		head |= 1
	}
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

// end says that no more comes, after what is there.
func (q *recvQueue) end() {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	q.poke()
}

// fail says that nothing more is taken; the first reason counts.
func (q *recvQueue) fail(err error) {
	q.mu.Lock()
	if q.err == nil {
		q.err = err
	}
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

// wholeKept is the largest buffer for putting parts together that is kept.
const wholeKept = 256 << 10

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
	if len(q.taking) == 0 {
		q.emptied()
	}
	return part, head&1 != 0, true
}

// giveBack grants the peer again what was taken.
func (q *recvQueue) giveBack() {
	cost := q.takenCost
	q.takenCost = 0
	q.mu.Lock()
	q.left += cost
	over := q.ended || q.err != nil
	q.mu.Unlock()
	if !over {
		q.conn.grant(q.out.id, cost, byFlusher)
	}
}

// emptied tells the connection that nothing of the swapped buffer lies here any
// more.
func (q *recvQueue) emptied() {
	q.conn.grant(0, q.conn.in.taken(q.batch), byFlusher)
	q.batch = 0
}

// swap gets what has arrived, once all is taken that was there before.
func (q *recvQueue) swap() (recvState, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.err != nil:
		return recvFailed, q.err
	case len(q.fresh) > 0:
		q.taking, q.fresh, q.spare = q.fresh, q.spare[:0], q.fresh
		q.batch, q.cost = q.cost, 0
		return recvReady, nil
	case q.ended:
		return recvEnded, nil
	}
	q.waits = true
	return recvEmpty, nil
}

// discard drops what is there and what may come. Nobody receives any more.
func (q *recvQueue) discard() {
	q.mu.Lock()
	if q.err == nil {
		q.err = ErrStreamEnded
	}
	cost := q.cost + q.batch
	q.fresh, q.taking, q.spare, q.whole, q.cost, q.batch, q.takenCost = nil, nil, nil, nil, 0, 0, 0
	q.mu.Unlock()
	q.conn.grant(0, q.conn.in.taken(cost), byFlusher)
}
