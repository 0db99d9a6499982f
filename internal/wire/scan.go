package wire

import (
	"encoding/binary"
	"math"
)

// MaxDepth is the deepest nesting of arrays and maps that Scan can be asked
// to accept.
const MaxDepth = 128

// headerDepth bounds the nesting of values in headers that we skip.
const headerDepth = 8

// Scan checks that b holds exactly one well-formed msgpack value whose declared
// lengths are paid for by bytes that are there (an array of n elements has at
// least n bytes behind it, a map of n pairs 2n) and that nests at most maxDepth
// arrays and maps, empty ones not counted. A decoder that allocates from
// declared lengths is safe on what has passed: it allocates at most len(b)
// elements in one array. Payloads of extensions are passed over: a decoder that
// takes them for values must be kept from them.
//
// Errors: ErrTruncated, ErrLength, ErrTooDeep, ErrTrailing, ErrMalformed (the
// one byte, 0xc1, that msgpack never uses).
func Scan(b []byte, maxDepth int) error {
	n, err := scanValue(b, max(0, min(maxDepth, MaxDepth)))
	if err != nil {
		return err
	}
	if n != len(b) {
		return ErrTrailing
	}
	return nil
}

// Skip gives the length of the one value that b begins with, which it holds
// against the same limits as Scan; what follows it does not matter.
func Skip(b []byte, maxDepth int) (int, error) {
	return scanValue(b, max(0, min(maxDepth, MaxDepth)))
}

// scanValue gives the length of the one value at the start of b. It keeps its
// own stack of how many values each open container still lacks, so a hostile
// input cannot exhaust the goroutine's.
func scanValue(b []byte, maxDepth int) (int, error) {
	var open [MaxDepth + 1]uint32 // small: it is cleared on each call
	depth, pos := 0, 0
	open[0] = 1
	for {
		for open[depth] == 0 {
			if depth == 0 {
				return pos, nil
			}
			depth--
		}
		open[depth]--
		size, children, err := scanHead(b[pos:])
		if err != nil {
			return 0, err
		}
		if size > len(b)-pos {
			return 0, ErrTruncated
		}
		pos += size
		if children == 0 {
			continue
		}
		if children > len(b)-pos {
			return 0, ErrLength
		}
		if depth == maxDepth {
			return 0, ErrTooDeep
		}
		depth++
		open[depth] = uint32(children) // at most len(b)
	}
}

// scanHead reads one value's head: size is its length in bytes without
// children, children the number of values inside it (a map's pair counts two).
func scanHead(b []byte) (size, children int, err error) {
	if len(b) == 0 {
		return 0, 0, ErrTruncated
	}
	switch c := b[0]; {
	case c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3:
		return 1, 0, nil
	case c < 0x90:
		return 1, 2 * int(c&0x0f), nil
	case c < 0xa0:
		return 1, int(c & 0x0f), nil
	case c < 0xc0:
		return 1 + int(c&0x1f), 0, nil
	default:
		return scanWide(c, b[1:])
	}
}

// scanWide handles the types with a width byte, 0xc1 to 0xdf; rest follows it.
func scanWide(c byte, rest []byte) (size, children int, err error) {
	switch {
	case c >= 0xc4 && c <= 0xc6: // bin 8, 16, 32
		n, w, err := length(rest, 1<<(c-0xc4))
		return 1 + w + n, 0, err
	case c >= 0xc7 && c <= 0xc9: // ext 8, 16, 32: one more byte of type
		n, w, err := length(rest, 1<<(c-0xc7))
		return 2 + w + n, 0, err
	case c == 0xca || c == 0xcb: // float 32, 64
		return 1 + 4<<(c-0xca), 0, nil
	case c >= 0xcc && c <= 0xcf: // uint
		return 1 + 1<<(c-0xcc), 0, nil
	case c >= 0xd0 && c <= 0xd3: // int
		return 1 + 1<<(c-0xd0), 0, nil
	case c >= 0xd4 && c <= 0xd8: // fixext
		return 2 + 1<<(c-0xd4), 0, nil
	case c >= 0xd9 && c <= 0xdb: // str
		n, w, err := length(rest, 1<<(c-0xd9))
		return 1 + w + n, 0, err
	case c == 0xdc || c == 0xdd: // array
		n, w, err := length(rest, 2<<(c-0xdc))
		return 1 + w, n, err
	case c == 0xde || c == 0xdf: // map
		n, w, err := length(rest, 2<<(c-0xde))
		return 1 + w, 2 * n, err
	}
	return 0, 0, ErrMalformed
}

// length reads a big-endian length of width w bytes.
func length(b []byte, w int) (n, width int, err error) {
	if len(b) < w {
		return 0, 0, ErrTruncated
	}
	switch w {
	case 1:
		return int(b[0]), 1, nil
	case 2:
		return int(binary.BigEndian.Uint16(b)), 2, nil
	}
	u := binary.BigEndian.Uint32(b)
	if uint64(u) > math.MaxInt/4 { // a 32-bit int could not count it, and nothing can pay for it
		return 0, 0, ErrLength
	}
	return int(u), 4, nil
}
