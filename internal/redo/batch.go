package redo

import (
	"fmt"
	"hash/crc32"
	"runtime"
)

// batch is the records that are written and synced together. Those who add to it
// hold Log.mu, as long as it is Log.cur. Invariant: exactly one goroutine owns a
// batch that somebody waits for, and calls commit for it.
type batch struct {
	buf     []byte // records, with checksums that lack their place
	records int
	owned   bool
	rotate  bool          // begin a new segment after it
	last    bool          // the log is being closed
	before  chan struct{} // closed: the batch before is done
	done    chan struct{} // closed: what follows is final

	err    error  // of the records
	file   uint64 // the segment they are in
	base   int64  // where the first one begins
	turned error  // of the new segment
	next   uint64 // its number
}

// tail is the segment that is written to.
type tail struct {
	h      *handle
	number uint64
	end    int64 // of the last batch
	sum    summer
	proof  []byte // a buffer
}

// nextBatchLocked makes the batch that follows one whose done is given.
func (l *Log) nextBatchLocked(before chan struct{}) *batch {
	b := &batch{buf: l.spare, before: before, done: make(chan struct{})}
	l.spare = nil
	return b
}

// joinLocked gives the batch that takes records, for someone who will wait for it.
// own: by committing it.
func (l *Log) joinLocked() (b *batch, own bool) {
	b = l.cur
	own = !b.owned
	b.owned = true
	return b, own
}

// add puts a record into the batch that takes records; it lies at an offset from the
// batch's base. own is only given to one who waits.
func (l *Log) add(kind uint8, data []byte, waits bool) (b *batch, at int64, own bool, err error) {
	switch {
	case kind == commitKind:
		return nil, 0, false, ErrKind
	case len(data) > l.cfg.MaxRecord:
		return nil, 0, false, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), l.cfg.MaxRecord)
	}
	sum := crc32.Checksum(data, castagnoli())
	for {
		l.mu.Lock()
		if err := l.refusesLocked(); err != nil {
			l.mu.Unlock()
			return nil, 0, false, err
		}
		if len(l.cur.buf) < batchBytes {
			break
		}
		b, own := l.joinLocked()
		l.mu.Unlock()
		if own {
			l.commit(b)
		} else {
			<-b.done
		}
	}
	defer l.mu.Unlock()
	b = l.cur
	if waits {
		b, own = l.joinLocked()
	}
	at = int64(len(b.buf))
	b.buf = appendRecord(b.buf, kind, data, sum)
	b.records++
	return b, at, own, nil
}

// commit writes a batch. Its owner calls it.
func (l *Log) commit(b *batch) {
	<-b.before
	runtime.Gosched() // those whom the batch before has woken may have something for this one
	l.mu.Lock()
	l.cur = l.nextBatchLocked(b.done)
	err := l.broken
	l.mu.Unlock()
	if err == nil {
		err = l.write(b)
	}
	if err == nil && b.rotate {
		b.turned = l.turn()
		b.next = l.tail.number
	}
	l.settle(b, err)
	close(b.done)
}

// write puts a batch on the disk.
func (l *Log) write(b *batch) error {
	if l.cfg.ReadOnly || b.records == 0 {
		return nil
	}
	if l.tail.end >= l.cfg.SegmentBytes {
		if err := l.turn(); err != nil {
			return err
		}
	}
	t := &l.tail
	b.file, b.base = t.number, t.end
	t.sum.place(b.buf, t.h.salt, t.end)
	b.buf = t.sum.appendCommit(b.buf, uint64(t.end), t.h.salt, t.end+int64(len(b.buf)))
	if _, err := t.h.f.WriteAt(b.buf, t.end); err != nil {
		return err
	}
	if err := t.h.f.Sync(); err != nil {
		return err
	}
	t.end += int64(len(b.buf))
	l.files.resize(t.number, t.end)
	return nil
}

// settle notes what became of a batch: err is that of its records.
func (l *Log) settle(b *batch, err error) {
	l.mu.Lock()
	cause := err
	if cause == nil {
		cause = b.turned
	}
	if cause != nil && l.broken == nil {
		l.broken = fmt.Errorf("%w: %w", ErrBroken, cause)
	}
	if err != nil {
		b.err = l.broken
	}
	if b.turned != nil {
		b.turned = l.broken
	}
	if err == nil && b.records > 0 {
		l.stats.Commits++
		l.stats.Records += uint64(b.records)
		l.stats.Written += uint64(len(b.buf))
	}
	if l.tail.h != nil {
		l.stats.End = Position{l.tail.number, l.tail.end}
	}
	if cap(b.buf) <= 2*batchBytes {
		l.spare = b.buf[:0]
	}
	b.buf = nil
	idle := len(l.cur.buf) == 0
	broken := l.broken != nil
	l.mu.Unlock()
	if broken || l.cfg.ReadOnly || l.tail.end == headerSize {
		return
	}
	if b.last || idle && b.records > 0 {
		l.prove(b)
	}
}

// prove writes behind the last batch that all before was synced, so that damage to
// that batch does not look like a torn end. The next batch goes over it. It is synced
// when the log is closed; before, it is no loss if it does not get to the disk.
func (l *Log) prove(b *batch) {
	t := &l.tail
	t.proof = t.sum.appendCommit(t.proof[:0], uint64(t.end), t.h.salt, t.end)
	_, err := t.h.f.WriteAt(t.proof, t.end)
	if err == nil && b.last {
		err = t.h.f.Sync()
	}
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	if b.last && b.err == nil {
		b.err = l.broken
	}
}

// turn begins a new segment.
func (l *Log) turn() error {
	h, err := l.create(l.tail.number+1, l.tail.end)
	if err != nil {
		return err
	}
	l.tail.h, l.tail.number, l.tail.end = h, l.tail.number+1, headerSize
	l.files.add(l.tail.number, h)
	return nil
}
