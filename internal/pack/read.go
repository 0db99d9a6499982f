package pack

import (
	"encoding/binary"
	"unsafe"

	"github.com/meshnode/meshnode/internal/wire"
)

const (
	shareMost = 256     // bytes of the longest string that shares an allocation with others
	firstRoom = 64      // bytes of the first allocation to share; each further one is twice as large
	mostRoom  = 4 << 10 // up to this: a string that is kept keeps the others'
)

// reader walks over the input of one Decode.
//
// Invariants: pos <= len(buf). depth is how many arrays and maps that are not
// empty are open; owed how many values are still to come in those of them that
// memory has been allocated for. They need a byte each, so together these have
// no more elements than the input has bytes. Bytes of room below its length
// belong to strings and byte slices and are never written again.
type reader struct {
	buf      []byte
	pos      int
	depth    int
	maxDepth int
	types    *Types
	owed     int
	room     []byte
	made     int // size of the last room allocated
}

// end makes sure that nothing is left.
func (r *reader) end() error {
	if r.pos != len(r.buf) {
		return wire.ErrTrailing
	}
	return nil
}

func (r *reader) code() (byte, error) {
	if r.pos >= len(r.buf) {
		return 0, wire.ErrTruncated
	}
	c := r.buf[r.pos]
	r.pos++
	return c, nil
}

// next gives the next n bytes of input.
func (r *reader) next(n int) ([]byte, error) {
	if n > len(r.buf)-r.pos {
		return nil, wire.ErrTruncated
	}
	b := r.buf[r.pos : r.pos+n]
	r.pos += n
	return b, nil
}

// unsigned reads a big-endian number of width bytes: 1, 2, 4 or 8.
func (r *reader) unsigned(width int) (uint64, error) {
	b, err := r.next(width)
	if err != nil {
		return 0, err
	}
	switch width {
	case 1:
		return uint64(b[0]), nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), nil
	case 4:
		return uint64(binary.BigEndian.Uint32(b)), nil
	}
	return binary.BigEndian.Uint64(b), nil
}

func (r *reader) bool() (bool, error) {
	c, err := r.code()
	if err != nil {
		return false, err
	}
	switch c {
	case 0xc3:
		return true, nil
	case 0xc0, 0xc2:
		return false, nil
	}
	return false, misfit(c, "a bool")
}

// text reads a string or binary; what it gives is a part of the input. A nil
// gives nil, an empty one does not.
func (r *reader) text() ([]byte, error) {
	c, err := r.code()
	if err != nil {
		return nil, err
	}
	var n uint64
	switch {
	case c >= 0xa0 && c < 0xc0:
		n = uint64(c & 0x1f)
	case c == 0xc0:
		return nil, nil
	case c >= 0xc4 && c <= 0xc6:
		n, err = r.unsigned(1 << (c - 0xc4))
	case c >= 0xd9 && c <= 0xdb:
		n, err = r.unsigned(1 << (c - 0xd9))
	default:
		err = misfit(c, "a string or binary")
	}
	if err != nil {
		return nil, err
	}
	if n > uint64(len(r.buf)-r.pos) {
		return nil, wire.ErrTruncated
	}
	return r.next(int(n))
}

// string reads a string that does not refer to the input.
func (r *reader) string() (string, error) {
	b, err := r.text()
	if len(b) == 0 {
		return "", err
	}
	b = r.keep(b)
	return unsafe.String(&b[0], len(b)), nil
}

// keep copies b. Small copies share memory, but none can grow into another.
func (r *reader) keep(b []byte) []byte {
	if len(b) > cap(r.room)-len(r.room) {
		if len(b) > shareMost {
			c := make([]byte, len(b))
			copy(c, b)
			return c
		}
		r.made = max(firstRoom, min(2*r.made, mostRoom))
		size := max(r.made, len(b))
		// What is still to come cannot need more than its own length.
		r.room = make([]byte, 0, min(size, len(b)+len(r.buf)-r.pos))
	}
	at := len(r.room)
	r.room = append(r.room, b...)
	return r.room[at:len(r.room):len(r.room)]
}

// skip passes over a value of any kind, which must be valid all the same.
func (r *reader) skip() error {
	n, err := wire.Skip(r.buf[r.pos:], r.maxDepth-r.depth)
	r.pos += n
	return err
}

// none is the length of a nil array or map.
const none = -1

// array reads the head of an array, mapping that of a map. There are at least
// as many bytes of input behind it as values in it.
func (r *reader) array() (int, error) {
	c, err := r.code()
	if err != nil {
		return 0, err
	}
	return r.arrayOf(c, "an array")
}

func (r *reader) arrayOf(c byte, want string) (int, error) {
	switch {
	case c >= 0x90 && c < 0xa0:
		return r.paid(uint64(c&0x0f), 1)
	case c == 0xc0:
		return none, nil
	case c == 0xdc || c == 0xdd:
		n, err := r.unsigned(2 << (c - 0xdc))
		if err != nil {
			return 0, err
		}
		return r.paid(n, 1)
	}
	return 0, misfit(c, want)
}

func (r *reader) mapping() (int, error) {
	c, err := r.code()
	if err != nil {
		return 0, err
	}
	if !isMap(c) && c != 0xc0 {
		return 0, misfit(c, "a map")
	}
	return r.mappingOf(c)
}

func isMap(c byte) bool { return c >= 0x80 && c < 0x90 || c == 0xde || c == 0xdf }

// mappingOf is for codes of maps and nil.
func (r *reader) mappingOf(c byte) (int, error) {
	switch c {
	case 0xc0:
		return none, nil
	case 0xde, 0xdf:
		n, err := r.unsigned(2 << (c - 0xde))
		if err != nil {
			return 0, err
		}
		return r.paid(n, 2)
	}
	return r.paid(uint64(c&0x0f), 2)
}

// paid makes sure that n elements of so many values can still come.
func (r *reader) paid(n, values uint64) (int, error) {
	if rest := len(r.buf) - r.pos - r.owed; rest < 0 || n*values > uint64(rest) {
		return 0, wire.ErrLength
	}
	return int(n), nil
}
