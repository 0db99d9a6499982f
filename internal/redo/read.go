package redo

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// firstRead is how much of a record is read at least, in bytes: most are shorter.
const firstRead = 1 << 10

// Read reads a record again, by a position that Open, Append or a committed
// Checkpoint gave. Its checksum is checked: the error is a *CorruptError if what is on
// the disk is not what was written. Data is in buf if there is room for it and the
// record's frame, else in memory of its own.
func (l *Log) Read(p Position, buf []byte) (Record, error) {
	h, ok := l.files.take(p.file)
	if !ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.closed {
			return Record{}, ErrClosed
		}
		return Record{}, ErrGone
	}
	defer func() { _ = l.files.put(h) }()
	corrupt := func(why string) (Record, error) {
		return Record{}, &CorruptError{File: h.name, Offset: p.offset, Why: why}
	}
	buf, err := readUpTo(h, slices.Grow(buf[:0], firstRead), p.offset, firstRead)
	if err != nil {
		return Record{}, err
	}
	if len(buf) < overhead {
		return corrupt("the file ends in a record")
	}
	size := overhead + int64(binary.LittleEndian.Uint32(buf))
	if size > int64(len(buf)) {
		if size > LargestRecord+overhead {
			return corrupt("no record is so long")
		}
		if end, err := h.f.Size(); err != nil {
			return Record{}, err
		} else if p.offset+size > end {
			return corrupt("the record would go beyond the end of the file")
		}
		if buf, err = readUpTo(h, slices.Grow(buf, int(size)-len(buf)), p.offset, int(size)); err != nil {
			return Record{}, err
		}
		if int64(len(buf)) < size {
			return corrupt("the file ends in a record")
		}
	}
	record, s := buf[:size], newSummer()
	if !s.right(record, h.salt, p.offset) || record[4] == commitKind {
		return corrupt("checksum of the record")
	}
	return Record{Pos: p, Kind: record[4], Data: record[recordHead : size-recordTail : size-recordTail]}, nil
}

// readUpTo reads on where buf ends, until it has n bytes or the file ends.
func readUpTo(h *handle, buf []byte, offset int64, n int) ([]byte, error) {
	have := len(buf)
	got, err := h.f.ReadAt(buf[have:n], offset+int64(have))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:have+got], err
}
