package redo

import (
	"bytes"
	"encoding/binary"

	"github.com/meshnode/meshnode/internal/disk"
)

// Record is one record of the log. Data belongs to whoever gave it: in the callback
// of Open it is valid until the callback returns.
type Record struct {
	Pos  Position
	Kind uint8
	Data []byte
}

// scan reads the records of one file. Invariant: all before start was right.
type scan struct {
	name  string
	file  uint64 // as in Position
	salt  uint64
	w     window
	sum   summer
	start int64 // segment: where the next batch begins; checkpoint: the next record
	end   int64 // of the batch that next has found
	bad   int64 // offset of the first record that is not right
	why   string
}

func newScan(name string, file uint64, h header, f disk.File, size int64) *scan {
	return &scan{
		name: name, file: file, salt: h.salt, sum: newSummer(), start: headerSize,
		w: window{f: f, size: size, at: headerSize, since: headerSize},
	}
}

// record gives the record at an offset, whole. Nil: there is none that is right,
// and s.bad and s.why say so.
func (s *scan) record(offset int64) ([]byte, error) {
	wrong := func(why string) ([]byte, error) {
		s.bad, s.why = offset, why
		return nil, nil
	}
	head, err := s.w.bytes(offset, recordHead)
	if err != nil {
		return nil, err
	}
	if head == nil {
		return wrong("the file ends in a record")
	}
	n := int64(binary.LittleEndian.Uint32(head))
	if head[4] == commitKind && n != commitData {
		return wrong("no record begins so")
	}
	record, err := s.w.bytes(offset, overhead+n)
	if err != nil {
		return nil, err
	}
	if record == nil {
		return wrong("the record would go beyond the end of the file")
	}
	if !s.sum.right(record, s.salt, offset) {
		return wrong("checksum of the record")
	}
	return record, nil
}

// next finds the batch at start, up to its commit. False: there is no whole one.
func (s *scan) next() (bool, error) {
	s.w.keep(s.start)
	for offset := s.start; ; {
		record, err := s.record(offset)
		if record == nil || err != nil {
			return false, err
		}
		if record[4] == commitKind {
			if offset == s.start || commitValue(record) != uint64(s.start) {
				s.bad, s.why = offset, "a commit that belongs elsewhere"
				return false, nil
			}
			s.end = offset + commitSize
			return true, nil
		}
		offset += int64(len(record))
	}
}

// batch gives the records of the batch that next has found to f, and goes past it.
func (s *scan) batch(f func(Record) error) (records int, err error) {
	b, err := s.w.bytes(s.start, s.end-s.start)
	if err != nil {
		return 0, err
	}
	b = b[:len(b)-commitSize]
	for offset := s.start; len(b) > 0; records++ {
		size := overhead + int64(binary.LittleEndian.Uint32(b))
		data := b[recordHead : size-recordTail : size-recordTail]
		if err := f(Record{Pos: Position{s.file, offset}, Kind: b[4], Data: data}); err != nil {
			return records, err
		}
		b = b[size:]
		offset += size
	}
	s.start = s.end
	return records, nil
}

// proof tells whether at start there is the proof that all before was synced.
func (s *scan) proof() (bool, error) {
	b, err := s.w.bytes(s.start, commitSize)
	if b == nil || err != nil {
		return false, err
	}
	return s.isCommit(b, s.start) && commitValue(b) == uint64(s.start), nil
}

// synced tells whether the file itself shows that what is wrong at s.bad had been
// synced: by a commit, anywhere behind, of a batch that begins after start. It was
// written when all before that batch had been synced.
func (s *scan) synced() (bool, error) {
	begins := binary.LittleEndian.AppendUint32(nil, commitData)
	begins = append(begins, commitKind)
	for offset := s.bad; offset+commitSize <= s.w.size; {
		s.w.keep(offset)
		b, err := s.w.bytes(offset, min(windowChunk, s.w.size-offset))
		if err != nil {
			return false, err
		}
		for at := 0; at+commitSize <= len(b); at++ {
			i := bytes.Index(b[at:], begins)
			if i < 0 || at+i+commitSize > len(b) {
				break
			}
			at += i
			c := b[at : at+commitSize]
			if s.isCommit(c, offset+int64(at)) && commitValue(c) > uint64(s.start) {
				return true, nil
			}
		}
		offset += int64(len(b)) - commitSize + 1
	}
	return false, nil
}

func (s *scan) isCommit(b []byte, offset int64) bool {
	return binary.LittleEndian.Uint32(b) == commitData && b[4] == commitKind && s.sum.right(b, s.salt, offset)
}

func commitValue(commit []byte) uint64 {
	return binary.LittleEndian.Uint64(commit[recordHead:])
}

func (s *scan) corrupt() error {
	return &CorruptError{File: s.name, Offset: s.bad, Why: s.why}
}

// checkpoint reads a whole checkpoint. f may be nil: then it is only checked.
func (s *scan) checkpoint(f func(Record) error) (records int, err error) {
	for ; ; records++ {
		s.w.keep(s.start)
		record, err := s.record(s.start)
		if err != nil {
			return records, err
		}
		if record == nil {
			return records, s.corrupt()
		}
		size := int64(len(record))
		if record[4] == commitKind {
			if commitValue(record) != uint64(records) || s.start+size != s.w.size {
				s.bad, s.why = s.start, "it ends with more or less than its end says"
				return records, s.corrupt()
			}
			return records, nil
		}
		if f != nil {
			data := record[recordHead : size-recordTail : size-recordTail]
			if err := f(Record{Pos: Position{s.file, s.start}, Kind: record[4], Data: data}); err != nil {
				return records, err
			}
		}
		s.start += size
	}
}
