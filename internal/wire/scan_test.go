package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// values holds one value of each msgpack type and width.
var values = []struct{ name, hex string }{
	{"fixint", "00"},
	{"fixint most", "7f"},
	{"negative fixint", "e0"},
	{"nil", "c0"},
	{"false", "c2"},
	{"true", "c3"},
	{"fixmap empty", "80"},
	{"fixmap", "82 01 02 a1 61 c0"},
	{"fixarray empty", "90"},
	{"fixarray", "93 01 c3 a1 61"},
	{"fixstr empty", "a0"},
	{"fixstr", "a3 616263"},
	{"bin8", "c4 02 ffff"},
	{"bin16", "c5 0002 ffff"},
	{"bin32", "c6 00000002 ffff"},
	{"ext8", "c7 02 05 ffff"},
	{"ext8 empty", "c7 00 05"},
	{"ext16", "c8 0002 05 ffff"},
	{"ext32", "c9 00000002 05 ffff"},
	{"float32", "ca 3f800000"},
	{"float64", "cb 3ff0000000000000"},
	{"uint8", "cc ff"},
	{"uint16", "cd ffff"},
	{"uint32", "ce ffffffff"},
	{"uint64", "cf ffffffffffffffff"},
	{"int8", "d0 80"},
	{"int16", "d1 8000"},
	{"int32", "d2 80000000"},
	{"int64", "d3 8000000000000000"},
	{"fixext1", "d4 05 ff"},
	{"fixext2", "d5 05 ffff"},
	{"fixext4", "d6 05 ffffffff"},
	{"fixext8", "d7 05 ffffffffffffffff"},
	{"fixext16", "d8 05 ffffffffffffffffffffffffffffffff"},
	{"str8", "d9 02 6869"},
	{"str16", "da 0002 6869"},
	{"str32", "db 00000002 6869"},
	{"array16", "dc 0002 01 c0"},
	{"array32", "dd 00000002 01 c0"},
	{"map16", "de 0001 01 c0"},
	{"map32", "df 00000001 01 c0"},
}

func TestScanTakesEveryType(t *testing.T) {
	seen := map[byte]bool{}
	for _, v := range values {
		b := unhex(t, v.hex)
		seen[b[0]] = true
		same(t, v.name, Scan(b, 1), nil)
		same(t, v.name+" and more", Scan(append(b, 0), 1), ErrTrailing)
		for n := range b {
			if err := Scan(b[:n], 1); err != ErrTruncated && err != ErrLength {
				t.Errorf("%s cut to %d bytes: %v", v.name, n, err)
			}
		}
	}
	for c := 0xc0; c <= 0xdf; c++ {
		if c != 0xc1 && !seen[byte(c)] {
			t.Errorf("type 0x%x is not among the values", c)
		}
	}
}

// All values in one array, cut at every byte, and within every other value.
func TestScanNested(t *testing.T) {
	var all []byte
	for _, v := range values {
		all = append(all, unhex(t, v.hex)...)
	}
	b := append([]byte{0xdc, 0, byte(len(values))}, all...)
	same(t, "array of all", Scan(b, 2), nil)
	for n := range b {
		if err := Scan(b[:n], 2); err != ErrTruncated && err != ErrLength {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	b[2]++
	same(t, "one more declared", Scan(b, 2), ErrTruncated)
	b[2] -= 2
	same(t, "one less declared", Scan(b, 2), ErrTrailing)
}

func TestScanRefusesLies(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      error
	}{
		{"nothing", "", ErrTruncated},
		{"unused byte", "c1", ErrMalformed},
		{"unused byte inside", "91 c1", ErrMalformed},
		{"array16 of 65535", "dc ffff 00", ErrLength},
		{"array32 of 4 billion", "dd ffffffff 00", ErrLength},
		{"array32 of 2 billion", "dd 80000000 00", ErrLength},
		{"array one short", "92 00", ErrLength},
		{"map16 of 65535", "de ffff 00", ErrLength},
		{"map32 of 4 billion", "df ffffffff 00", ErrLength},
		{"map32 of 2 billion", "df 80000000 00", ErrLength}, // twice that is 0 in 32 bits
		{"map with a key but no value", "81 00", ErrLength},
		{"inner array", "92 00 dd 7fffffff", ErrLength},
		{"two arrays on the same bytes", "92 dd 00000002 00", ErrLength},
		{"array whose elements are longer", "92 cd 0000", ErrTruncated},
	} {
		same(t, c.name, Scan(unhex(t, c.hex), MaxDepth), c.want)
	}
	for _, head := range []string{"c6", "c9", "db"} {
		for _, n := range []string{"00000003", "7fffffff", "80000000", "ffffffff"} {
			err := Scan(unhex(t, head+n+"0000"), MaxDepth)
			if err != ErrTruncated && err != ErrLength {
				t.Errorf("%s of %s bytes: %v", head, n, err)
			}
		}
	}
}

func TestScanDepth(t *testing.T) {
	arrays := func(n int) []byte { return append(bytes.Repeat([]byte{0x91}, n), 0) }
	maps := func(n int) []byte { return append(bytes.Repeat([]byte{0x81, 0x00}, n), 0) }
	for _, limit := range []int{0, 1, 8, MaxDepth} {
		for name, nest := range map[string]func(int) []byte{"arrays": arrays, "maps": maps} {
			what := fmt.Sprintf("limit %d, %s ", limit, name)
			same(t, what+"at it", Scan(nest(limit), limit), nil)
			same(t, what+"beyond", Scan(nest(limit+1), limit), ErrTooDeep)
		}
	}
	same(t, "limit beyond the most", Scan(arrays(MaxDepth+1), 10*MaxDepth), ErrTooDeep)
	same(t, "negative limit", Scan(arrays(1), -1), ErrTooDeep)
	same(t, "a megabyte of arrays", Scan(arrays(1<<20), MaxDepth), ErrTooDeep)
	same(t, "empty containers don't count", Scan([]byte{0x92, 0x90, 0x80}, 1), nil)
	// Depth is left again: siblings don't add up.
	same(t, "siblings", Scan(unhex(t, "94"+strings.Repeat("91 91 00", 4)), 3), nil)
}

func TestSkipStandsBehindTheValue(t *testing.T) {
	for _, v := range values {
		b := unhex(t, v.hex)
		cur := cursor{buf: append(b, 0x2a)}
		cur.skip()
		same(t, v.name+" error", cur.err, nil)
		same(t, v.name+" position", cur.pos, len(b))
		same(t, v.name+" next", cur.uint(), 42)
	}
}

func TestSkip(t *testing.T) {
	t.Parallel()
	value := []byte{0x92, 0x81, 0xa1, 'k', 0x91, 1, 0xc4, 2, 0, 0}
	if n, err := Skip(append(bytes.Clone(value), 0xc1, 0xc1), 3); n != len(value) || err != nil {
		t.Errorf("%d, %v; want %d", n, err, len(value))
	}
	if _, err := Skip(value, 2); err != ErrTooDeep {
		t.Errorf("at depth 2: %v", err)
	}
	if _, err := Skip(value[:len(value)-1], 3); err != ErrTruncated {
		t.Errorf("without its end: %v", err)
	}
	if _, err := Skip([]byte{0x91, 1}, -1); err != ErrTooDeep {
		t.Errorf("at depth -1: %v", err)
	}
}
