package redo

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"
	"strings"
)

// The format is described in the package comment.
const (
	formatVersion = 1
	headerSize    = 48
	recordHead    = 5 // length, kind
	recordTail    = 4 // checksum
	overhead      = recordHead + recordTail
	commitKind    = 0
	commitData    = 8
	commitSize    = overhead + commitData
)

const (
	segmentMagic    = "mnredo\x00"
	checkpointMagic = "mnckpt\x00"
	lockName        = "LOCK"
	segmentName     = "log-%016x.redo"
	checkpointName  = "checkpoint-%016x"
	unfinished      = ".tmp"
)

// header is what a file begins with. Invariant: salt was drawn for this header
// alone, so that no record under another one passes for one of this file.
type header struct {
	magic  string
	log    uint64 // the log it belongs to
	number uint64
	salt   uint64
	extra  int64 // segment: where the one before ends, 0: not known; checkpoint: when it was begun, in unix ms
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (h header) encode() []byte {
	b := append(make([]byte, 0, headerSize), h.magic...)
	b = append(b, formatVersion)
	b = binary.LittleEndian.AppendUint64(b, h.log)
	b = binary.LittleEndian.AppendUint64(b, h.number)
	b = binary.LittleEndian.AppendUint64(b, h.salt)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.extra))
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// decodeHeader reads the header of a file that should have the given magic and
// number. The error is a *CorruptError or a *NewerFormatError.
func decodeHeader(name, magic string, number uint64, b []byte) (header, error) {
	corrupt := func(why string) (header, error) { return header{}, &CorruptError{File: name, Why: why} }
	if len(b) < headerSize {
		return corrupt("shorter than a header")
	}
	b = b[:headerSize]
	if string(b[:7]) != magic {
		return corrupt("not a file of this kind")
	}
	if b[7] > formatVersion {
		return header{}, &NewerFormatError{File: name, Version: int(b[7])}
	}
	if binary.LittleEndian.Uint32(b[44:]) != crc32.Checksum(b[:44], castagnoli()) {
		return corrupt("checksum of the header")
	}
	h := header{
		magic:  magic,
		log:    binary.LittleEndian.Uint64(b[8:]),
		number: binary.LittleEndian.Uint64(b[16:]),
		salt:   binary.LittleEndian.Uint64(b[24:]),
		extra:  int64(binary.LittleEndian.Uint64(b[32:])),
	}
	switch {
	case b[7] != formatVersion || binary.LittleEndian.Uint32(b[40:]) != 0:
		return corrupt("header of no known format")
	case h.number != number:
		return corrupt(fmt.Sprintf("it is number %#x by its header", h.number))
	}
	return h, nil
}

// summer makes checksums of records. It is not for concurrent use: it has the room
// that would be allocated each time otherwise.
type summer struct {
	table *crc32.Table
	rest  [recordHead + 16]byte
}

func newSummer() summer { return summer{table: castagnoli()} }

// data is the part of the checksum that can be made before the place is known.
func (s *summer) data(data []byte) uint32 { return crc32.Checksum(data, s.table) }

// finish adds the record's head and its place to the checksum of its data.
func (s *summer) finish(data uint32, head []byte, salt uint64, offset int64) uint32 {
	copy(s.rest[:], head[:recordHead])
	binary.LittleEndian.PutUint64(s.rest[recordHead:], salt)
	binary.LittleEndian.PutUint64(s.rest[recordHead+8:], uint64(offset))
	return crc32.Update(data, s.table, s.rest[:])
}

// right tells whether a whole record is what was written at this place.
func (s *summer) right(record []byte, salt uint64, offset int64) bool {
	end := len(record) - recordTail
	sum := s.finish(s.data(record[recordHead:end]), record, salt, offset)
	return binary.LittleEndian.Uint32(record[end:]) == sum
}

// appendRecord encodes a record with the checksum given.
func appendRecord(b []byte, kind uint8, data []byte, sum uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	b = append(b, kind)
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, sum)
}

// place gives all records in b, which begins at an offset of a file, their place:
// their checksums are those of the data so far.
func (s *summer) place(b []byte, salt uint64, offset int64) {
	for len(b) > 0 {
		size := overhead + int(binary.LittleEndian.Uint32(b))
		sum := b[size-recordTail : size]
		binary.LittleEndian.PutUint32(sum, s.finish(binary.LittleEndian.Uint32(sum), b, salt, offset))
		b = b[size:]
		offset += int64(size)
	}
}

// appendCommit encodes a commit at an offset: a record of kind 0 whose data is one
// number, for a batch where it begins, for the end of a checkpoint its records.
func (s *summer) appendCommit(b []byte, value uint64, salt uint64, offset int64) []byte {
	var data [commitData]byte
	binary.LittleEndian.PutUint64(data[:], value)
	begin := len(b)
	b = binary.LittleEndian.AppendUint32(b, commitData)
	b = append(b, commitKind)
	b = append(b, data[:]...)
	sum := s.finish(s.data(b[begin+recordHead:]), b[begin:], salt, offset)
	return binary.LittleEndian.AppendUint32(b, sum)
}

// Position is where a record lies. It stays valid until the file is released, see
// Checkpoint.Release. Positions of one log are equal if they are the same place;
// the zero Position is no place.
type Position struct {
	file   uint64 // the top bit: a checkpoint
	offset int64
}

const checkpointBit = 1 << 63

// File is the number of the segment or the checkpoint.
func (p Position) File() uint64 { return p.file &^ checkpointBit }

// Checkpoint tells whether it is in a checkpoint rather than a segment.
func (p Position) Checkpoint() bool { return p.file&checkpointBit != 0 }

// Offset is where the record begins in the file, in bytes.
func (p Position) Offset() int64 { return p.offset }

// String gives the file's name and the offset.
func (p Position) String() string {
	if p == (Position{}) {
		return "nowhere"
	}
	return baseName(p.file) + ":" + strconv.FormatInt(p.offset, 10)
}

// baseName is the name of a file by its number, with the top bit set for a
// checkpoint.
func baseName(file uint64) string {
	if file&checkpointBit != 0 {
		return fmt.Sprintf(checkpointName, file&^checkpointBit)
	}
	return fmt.Sprintf(segmentName, file)
}

func pathOf(dir string, file uint64) string { return filepath.Join(dir, baseName(file)) }

// parseName is the opposite of baseName. ok: it is such a name.
func parseName(name string) (file uint64, ok bool) {
	digits, segment := strings.CutPrefix(name, "log-")
	if !segment {
		digits, ok = strings.CutPrefix(name, "checkpoint-")
		if !ok {
			return 0, false
		}
	}
	digits = strings.TrimSuffix(digits, ".redo")
	file, err := strconv.ParseUint(digits, 16, 63)
	if err != nil || file == 0 {
		return 0, false
	}
	if !segment {
		file |= checkpointBit
	}
	return file, baseName(file) == name
}
