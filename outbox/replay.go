package outbox

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/meshnode/meshnode/internal/redo"
)

// replay builds a box's state from its records. What a checkpoint holds may be
// newer than its position says, so each record may come a second time, or for a
// call that is gone.
type replay struct {
	b         *Box
	now       time.Time
	box, next uint64
	bySeq     map[uint64]*entry
	done      []*entry // in the order of their ends
}

func newReplay(b *Box, now time.Time) *replay {
	return &replay{b: b, now: now, next: 1, bySeq: map[uint64]*entry{}}
}

// record takes one record.
func (r *replay) record(rec redo.Record) error {
	switch rec.Kind {
	case kindCall:
		c, err := decodeCall(rec.Data)
		if err == nil {
			r.call(&c, rec.Pos)
		}
		return err
	case kindDone, kindDead:
		c, err := decodeEnd(rec.Data)
		if err == nil {
			r.end(&c, rec)
		}
		return err
	case kindRevive, kindForget:
		c, err := decodeNote(rec.Data)
		if err == nil {
			r.note(&c, rec.Kind)
		}
		return err
	case kindBox:
		c, err := decodeBox(rec.Data)
		if err == nil {
			r.box, r.next = c.box, max(r.next, c.next)
		}
		return err
	}
	return errRecord
}

func (r *replay) call(c *callRecord, pos redo.Position) {
	r.next = max(r.next, c.seq+1)
	if e := r.bySeq[c.seq]; e != nil {
		e.pos = pos // again, behind the checkpoint that has it
		return
	}
	e := &entry{
		seq: c.seq, id: c.id, key: c.key, method: c.method, hash: c.hash,
		enqueued: c.enqueued, expires: c.expires, pos: pos, status: pending,
	}
	r.bySeq[c.seq] = e
	r.b.index[c.id] = e
}

func (r *replay) end(c *endRecord, rec redo.Record) {
	e := r.bySeq[c.seq]
	if e == nil {
		return
	}
	e.ended, e.code, e.doubt, e.message, e.attempts = c.ended, c.code, c.doubt, c.message, c.attempts
	if rec.Kind == kindDead {
		e.status = dead
		return
	}
	e.status, e.reply = done, bytes.Clone(c.reply)
	r.done = append(r.done, e)
	r.b.limitDone(&r.done, r.now, r.drop)
}

func (r *replay) note(c *noteRecord, kind uint8) {
	e := r.bySeq[c.seq]
	switch {
	case e == nil:
	case kind == kindForget:
		r.drop(e)
	case e.status == dead:
		e.status, e.expires, e.attempts, e.doubt = pending, c.expires, 0, true
	}
}

func (r *replay) drop(e *entry) {
	delete(r.bySeq, e.seq)
	if r.b.index[e.id] == e {
		delete(r.b.index, e.id)
	}
}

// finish puts what was found where it belongs, in the order of its taking.
func (r *replay) finish() {
	b := r.b
	all := make([]*entry, 0, len(r.bySeq))
	for _, e := range r.bySeq {
		all = append(all, e)
	}
	slices.SortFunc(all, func(x, y *entry) int { return cmp.Compare(x.seq, y.seq) })
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range all {
		switch e.status {
		case pending:
			e.doubt = true // by an attempt of which nothing was noted
			b.found.Pending++
			if b.found.Oldest.IsZero() {
				b.found.Oldest = time.UnixMilli(e.enqueued)
			}
			b.pushLocked(e)
		case dead:
			b.found.Dead++
		case done:
			b.found.Done++
		}
	}
	b.finished = r.done
}
