package pack

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
)

// tree is a msgpack value taken apart: the naive half of the model that the codec
// is held against.
type tree struct {
	code byte
	num  *big.Int // integers
	f    float64  // floats
	b    []byte   // strings, binary, payloads of extensions
	kind int8     // of extensions
	list []tree   // arrays; keys and values of maps in turn
}

// parse takes b apart, which has passed wire.Scan, and returns what follows.
func parse(b []byte) (tree, []byte) {
	t := tree{code: b[0]}
	uintOf := func(n int) uint64 {
		var wide [8]byte
		copy(wide[8-n:], b[1:1+n])
		return binary.BigEndian.Uint64(wide[:])
	}
	take := func(head, n int) { t.b, b = b[head:head+n], b[head+n:] }
	items := func(head, n int) {
		b = b[head:]
		for range n {
			var e tree
			e, b = parse(b)
			t.list = append(t.list, e)
		}
	}
	switch c := b[0]; {
	case c < 0x80 || c >= 0xe0:
		t.num = big.NewInt(int64(int8(c)))
		take(1, 0)
	case c < 0x90:
		items(1, 2*int(c&15))
	case c < 0xa0:
		items(1, int(c&15))
	case c < 0xc0:
		take(1, int(c&31))
	case c < 0xc4:
		take(1, 0)
	case c < 0xc7:
		w := 1 << (c - 0xc4)
		take(1+w, int(uintOf(w)))
	case c < 0xca:
		w := 1 << (c - 0xc7)
		t.kind = int8(b[1+w])
		take(2+w, int(uintOf(w)))
	case c == 0xca:
		t.f = float64(math.Float32frombits(uint32(uintOf(4))))
		take(5, 0)
	case c == 0xcb:
		t.f = math.Float64frombits(uintOf(8))
		take(9, 0)
	case c < 0xd0:
		w := 1 << (c - 0xcc)
		t.num = new(big.Int).SetUint64(uintOf(w))
		take(1+w, 0)
	case c < 0xd4:
		w := 1 << (c - 0xd0)
		n := int64(uintOf(w)) << (64 - 8*w) >> (64 - 8*w)
		t.num = big.NewInt(n)
		take(1+w, 0)
	case c < 0xd9:
		t.kind = int8(b[1])
		take(2, 1<<(c-0xd4))
	case c < 0xdc:
		w := 1 << (c - 0xd9)
		take(1+w, int(uintOf(w)))
	case c < 0xde:
		w := 2 << (c - 0xdc)
		items(1+w, int(uintOf(w)))
	default:
		w := 2 << (c - 0xde)
		items(1+w, 2*int(uintOf(w)))
	}
	return t, b
}

func (t tree) isNil() bool  { return t.code == 0xc0 }
func (t tree) isStr() bool  { return t.code >= 0xa0 && t.code < 0xc0 || t.code >= 0xd9 && t.code < 0xdc }
func (t tree) isText() bool { return t.isStr() || t.code >= 0xc4 && t.code < 0xc7 }
func (t tree) isArray() bool {
	return t.code >= 0x90 && t.code < 0xa0 || t.code == 0xdc || t.code == 0xdd
}
func (t tree) isFloat() bool { return t.code == 0xca || t.code == 0xcb }

var errModel = errors.New("the model refuses it")
