package redo

import (
	"errors"
	"os"
	"slices"
)

// choose finds the first segment to redo, and checks that none is missing from there
// on. numbers are those of all that are there, in order.
func (r *restore) choose(numbers []uint64) error {
	from := max(r.found.Checkpoint, 1)
	r.found.From = Position{from, headerSize}
	r.found.End = r.found.From
	if len(numbers) == 0 && len(r.checkpoints) == 0 {
		return nil // a new log
	}
	i, ok := slices.BinarySearch(numbers, from)
	if !ok {
		if r.found.Damage != nil && r.found.Checkpoint == 0 {
			return r.found.Damage // there is nothing to fall back on
		}
		return &CorruptError{File: pathOf(r.l.cfg.Dir, from), Why: "the file is missing"}
	}
	for j, number := range numbers[i:] {
		if want := from + uint64(j); number != want {
			return &CorruptError{File: pathOf(r.l.cfg.Dir, want), Why: "the file is missing"}
		}
	}
	return nil
}

// openSegments opens those from the recovery point on, and reads their headers.
func (r *restore) openSegments(numbers []uint64) error {
	for _, number := range numbers {
		if number < r.found.From.File() {
			continue // released, or about to be
		}
		last := number == numbers[len(numbers)-1]
		h, head, size, err := r.open(number)
		if last && errors.Is(err, ErrCorrupt) && size <= headerSize && number != r.found.Checkpoint {
			// A crash while it was made: batches are written only after its header
			// was synced, and so are checkpoints that begin with it.
			r.torn = number
			r.found.Cut += size
			return nil
		}
		if err != nil {
			return err
		}
		r.l.id = head.log
		r.l.files.add(number, h)
		r.segments = append(r.segments, &segment{number: number, header: head, h: h, bytes: size})
	}
	return nil
}

// redo replays a segment. Where it must end is known if another one follows.
func (r *restore) redo(i int, seg *segment) error {
	s := newScan(seg.h.name, seg.number, seg.header, seg.h.f, seg.bytes)
	last, until := i == len(r.segments)-1, seg.bytes
	if !last {
		until = r.segments[i+1].header.extra
	}
	for s.start < until {
		whole, err := s.next()
		if err == nil && !whole {
			if !last {
				return s.corrupt()
			}
			if err = r.tornEnd(s); err == nil {
				break
			}
		}
		if err != nil {
			return err
		}
		r.lastAt = s.start
		n, err := s.batch(r.replay)
		r.found.Records += n
		if err != nil {
			return err
		}
	}
	if !last && s.start != until {
		return &CorruptError{File: s.name, Offset: s.start, Why: "it ends elsewhere than the next segment says"}
	}
	r.found.Bytes += s.start
	r.found.End = Position{seg.number, s.start}
	r.l.files.resize(seg.number, s.start)
	return nil
}

// tornEnd decides about the last segment, which is not right from s.start on: an
// error, or a torn end that may be cut.
func (r *restore) tornEnd(s *scan) error {
	bad, why := s.bad, s.why
	proof, err := s.proof()
	if err != nil {
		return err
	}
	if proof && s.start+commitSize == s.w.size {
		return nil // it was closed, or idle
	}
	synced, err := s.synced()
	if err != nil {
		return err
	}
	if synced {
		return &CorruptError{File: s.name, Offset: bad, Why: why}
	}
	r.found.Cut += s.w.size - s.start
	return nil
}

// begin makes the end of the last segment durable, and begins a new one: each segment
// is written from one Open to one Close at most.
func (r *restore) begin() error {
	l := r.l
	number, before := r.found.From.File(), int64(0)
	if n := len(r.segments); n > 0 {
		seg, end := r.segments[n-1], r.found.End.offset
		number, before = seg.number+1, end
		if end > headerSize {
			if err := r.renew(seg, end); err != nil {
				return err
			}
		} else if r.torn == 0 { // it has no batches: begun again
			number, before = seg.number, seg.header.extra
			if err := l.files.drop(number); err != nil {
				return err
			}
		}
	}
	if l.id == 0 {
		l.id = random()
	}
	h, err := l.create(number, before)
	if err != nil {
		return err
	}
	l.tail = tail{h: h, number: number, end: headerSize, sum: newSummer()}
	l.files.add(number, h)
	return nil
}

// renew cuts what is behind the end, and puts the last batch on the disk. It was
// read, but perhaps never synced; and if a sync has failed before, what it lost is
// not tried again by the system unless it is written again.
func (r *restore) renew(seg *segment, end int64) error {
	b := make([]byte, end-r.lastAt)
	if _, err := seg.h.f.ReadAt(b, r.lastAt); err != nil {
		return err
	}
	f, err := r.l.cfg.FS.Open(seg.h.name, os.O_RDWR)
	if err != nil {
		return err
	}
	if seg.bytes > end {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.WriteAt(b, r.lastAt)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
