package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// errExtension: an extension value stands where its payload would be taken for
// something else.
var errExtension = errors.New("rpc: misplaced extension value")

// keepPayloads is the longest list of payloads kept for reuse.
const keepPayloads = 1 << 10

// guarded gives the decoder its bytes. Where a map is wanted, the decoder
// passes over the head of an extension value and takes the payload for a map,
// whose length nobody has checked. What it means to read as a payload it reads
// in one piece, so the first byte of one is never asked for alone.
type guarded struct {
	bytes.Reader
	payloads []int // where those of extension values begin, ascending
}

// ReadByte implements io.ByteReader.
func (r *guarded) ReadByte() (byte, error) {
	if len(r.payloads) > 0 {
		if _, found := slices.BinarySearch(r.payloads, int(r.Size())-r.Len()); found {
			return 0, errExtension
		}
	}
	return r.Reader.ReadByte()
}

// extensions appends to payloads where those of extension values begin in b,
// which must have passed wire.Scan. Empty ones have none.
func extensions(payloads []int, b []byte) []int {
	for pos := 0; pos < len(b); {
		head, payload := headOf(b[pos:])
		if c := b[pos]; payload > 0 && (c >= 0xc7 && c <= 0xc9 || c >= 0xd4 && c <= 0xd8) {
			payloads = append(payloads, pos+head)
		}
		pos += head + payload
	}
	return payloads
}

// headOf gives the length in bytes of the head that b begins with, and of the
// payload of a string, binary or extension value behind it. The elements of
// arrays and maps are no payload: they have heads of their own.
func headOf(b []byte) (head, payload int) {
	switch c := b[0]; {
	case c >= 0xa0 && c < 0xc0: // short str
		return 1, int(c & 0x1f)
	case c < 0xc4 || c >= 0xe0: // small numbers, arrays and maps; nil and bools
		return 1, 0
	case c <= 0xc6: // bin
		return sized(b, 1<<(c-0xc4))
	case c <= 0xc9: // ext: a byte of type follows the length
		head, payload = sized(b, 1<<(c-0xc7))
		return head + 1, payload
	case c <= 0xcb: // float
		return 1 + 4<<(c-0xca), 0
	case c <= 0xcf: // uint
		return 1 + 1<<(c-0xcc), 0
	case c <= 0xd3: // int
		return 1 + 1<<(c-0xd0), 0
	case c <= 0xd8: // ext of fixed length
		return 2, 1 << (c - 0xd4)
	case c <= 0xdb: // str
		return sized(b, 1<<(c-0xd9))
	case c <= 0xdd: // array
		return 1 + 2<<(c-0xdc), 0
	default: // map
		return 1 + 2<<(c-0xde), 0
	}
}

// sized reads a length of width bytes behind the first one.
func sized(b []byte, width int) (head, payload int) {
	switch width {
	case 1:
		payload = int(b[1])
	case 2:
		payload = int(binary.BigEndian.Uint16(b[1:]))
	default:
		payload = int(binary.BigEndian.Uint32(b[1:]))
	}
	return 1 + width, payload
}
