package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// Errors of the parsers. They are returned bare, so == works, and wrapped
// with the place by callers that know it.
var (
	// ErrTruncated: the input ends inside a value.
	ErrTruncated = errors.New("wire: truncated input")
	// ErrMalformed: a value has another type than its place demands.
	ErrMalformed = errors.New("wire: malformed input")
	// ErrTooDeep: arrays and maps are nested deeper than the limit.
	ErrTooDeep = errors.New("wire: nested too deep")
	// ErrTrailing: a complete value is followed by more bytes.
	ErrTrailing = errors.New("wire: bytes after the end of the value")
	// ErrLength: a declared length exceeds the bytes that are there.
	ErrLength = errors.New("wire: declared length exceeds the input")
	// ErrUnknownKind: the frame's first number names no known kind.
	ErrUnknownKind = errors.New("wire: unknown frame kind")
	// ErrHeaderTooLarge: the header exceeds MaxHeader.
	ErrHeaderTooLarge = errors.New("wire: frame header too large")
)

// AppendUint appends u in msgpack's shortest form.
func AppendUint(dst []byte, u uint64) []byte {
	switch {
	case u < 1<<7:
		return append(dst, byte(u))
	case u < 1<<8:
		return append(dst, 0xcc, byte(u))
	case u < 1<<16:
		return append(dst, 0xcd, byte(u>>8), byte(u))
	case u < 1<<32:
		return append(dst, 0xce, byte(u>>24), byte(u>>16), byte(u>>8), byte(u))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xcf), u)
}

// AppendStr appends s as a msgpack string.
func AppendStr(dst []byte, s string) []byte {
	return append(appendStrHeader(dst, len(s)), s...)
}

// appendStrHeader appends the head of a string of n bytes.
func appendStrHeader(dst []byte, n int) []byte {
	switch {
	case n < 32:
		return append(dst, 0xa0|byte(n))
	case n < 1<<8:
		return append(dst, 0xd9, byte(n))
	case n < 1<<16:
		return append(dst, 0xda, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
}

// AppendMapHeader appends the head of a map of n pairs.
func AppendMapHeader(dst []byte, n int) []byte {
	if n < 16 {
		return append(dst, 0x80|byte(n))
	}
	if n < 1<<16 {
		return append(dst, 0xde, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xdf), uint32(n))
}

// appendArrayHeader appends the head of an array of n < 16 elements.
func appendArrayHeader(dst []byte, n int) []byte { return append(dst, 0x90|byte(n)) }

// cursor walks msgpack values. Once it has failed it stays failed, so that a
// run of reads needs one check.
type cursor struct {
	buf []byte
	pos int
	err error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// next gives the next n bytes, or nil after a failure.
func (c *cursor) next(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n < 0 || len(c.buf)-c.pos < n {
		c.fail(ErrTruncated)
		return nil
	}
	b := c.buf[c.pos : c.pos+n]
	c.pos += n
	return b
}

func (c *cursor) byte() byte {
	if c.err != nil || c.pos >= len(c.buf) {
		c.fail(ErrTruncated)
		return 0
	}
	b := c.buf[c.pos]
	c.pos++
	return b
}

// be reads an unsigned big-endian integer of n bytes (1, 2, 4 or 8).
func (c *cursor) be(n int) uint64 {
	var u uint64
	for _, b := range c.next(n) {
		u = u<<8 | uint64(b)
	}
	return u
}

// uint reads a non-negative integer in any of msgpack's forms.
func (c *cursor) uint() uint64 {
	b := c.byte()
	if b < 0x80 {
		return uint64(b)
	}
	switch b {
	case 0xcc, 0xcd, 0xce, 0xcf:
		return c.be(1 << (b - 0xcc))
	case 0xd0, 0xd1, 0xd2, 0xd3:
		width := 1 << (b - 0xd0)
		u := c.be(width)
		if u>>(8*width-1) == 0 {
			return u
		}
	}
	c.fail(ErrMalformed)
	return 0
}

// str reads a string or binary value; the result aliases the input.
func (c *cursor) str() []byte {
	b := c.byte()
	switch {
	case b&0xe0 == 0xa0:
		return c.next(int(b & 0x1f))
	case b == 0xc4 || b == 0xd9:
		return c.next(int(c.be(1)))
	case b == 0xc5 || b == 0xda:
		return c.next(int(c.be(2)))
	case b == 0xc6 || b == 0xdb:
		return c.next(int(c.be(4)))
	}
	c.fail(ErrMalformed)
	return nil
}

// array reads an array's head and gives its length.
func (c *cursor) array() int {
	b := c.byte()
	switch {
	case b&0xf0 == 0x90:
		return int(b & 0x0f)
	case b == 0xdc:
		return int(c.be(2))
	case b == 0xdd:
		return int(min(c.be(4), math.MaxInt32))
	}
	c.fail(ErrMalformed)
	return 0
}

// mapping reads a map's head and gives its number of pairs.
func (c *cursor) mapping() int {
	b := c.byte()
	switch {
	case b&0xf0 == 0x80:
		return int(b & 0x0f)
	case b == 0xde:
		return int(c.be(2))
	case b == 0xdf:
		return int(min(c.be(4), math.MaxInt32))
	}
	c.fail(ErrMalformed)
	return 0
}

// isStr tells whether the next value is a string or binary.
func (c *cursor) isStr() bool {
	if c.err != nil || c.pos >= len(c.buf) {
		return false
	}
	b := c.buf[c.pos]
	return b&0xe0 == 0xa0 || (b >= 0xc4 && b <= 0xc6) || (b >= 0xd9 && b <= 0xdb)
}

// skip passes over one value of any type.
func (c *cursor) skip() {
	if c.err != nil {
		return
	}
	n, err := scanValue(c.buf[c.pos:], headerDepth)
	if err != nil {
		c.fail(err)
		return
	}
	c.pos += n
}
