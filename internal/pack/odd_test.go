package pack

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"reflect"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/internal/wire"
)

// compare decodes b with the codec and the model. Both refuse it, or take it with
// the same result.
func compare(t testing.TB, k kit, b []byte) {
	t.Helper()
	want, wantErr := k.model(b)
	got, err := k.ours(bytes.Clone(b))
	switch {
	case (err == nil) != (wantErr == nil):
		t.Fatalf("%s: %x is %+v, %v; for the model %+v, %v", k.name, b, got, err, want, wantErr)
	case err == nil && !alike(reflect.ValueOf(got), reflect.ValueOf(want)):
		t.Fatalf("%s: %x is\n%+v, for the model\n%+v", k.name, b, got, want)
	}
}

// odds are values in forms that an encoder of ours would not choose, or of the
// wrong kind.
func odds() [][]byte {
	out := [][]byte{
		{},
		{0xc0},
		{0xc1},
		{0xc2},
		{0xc3},
		{0},
		{0x7f},
		{0xe0},
		{0xff},
		{0xcc, 200},
		{0xcd, 0, 5},
		{0xcd, 200, 1},
		{0xce, 0, 0, 0, 1},
		{0xce, 255, 255, 255, 255},
		{0xcf, 0, 0, 0, 0, 0, 0, 0, 1},
		{0xcf, 255, 255, 255, 255, 255, 255, 255, 254},
		{0xd0, 5},
		{0xd0, 200},
		{0xd1, 0, 5},
		{0xd1, 200, 1},
		{0xd2, 0, 0, 0, 1},
		{0xd2, 200, 0, 0, 1},
		{0xd3, 0, 0, 0, 0, 0, 0, 0, 1},
		{0xd3, 200, 0, 0, 0, 0, 0, 0, 1},
		{0xca, 0x3f, 0, 0, 0},
		{0xca, 0x7f, 0xa0, 0, 1},
		{0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0},
		{0xa0},
		{0xa1, 'x'},
		{0xa4, 'a', 'b', 'c', 'd'},
		{0xa5, 'a', 'b', 'c', 'd', 'e'},
		{0xd9, 1, 'x'},
		{0xda, 0, 1, 'x'},
		{0xdb, 0, 0, 0, 1, 'x'},
		{0xdb, 255, 255, 255, 255},
		{0xc4, 0},
		{0xc4, 1, 7},
		{0xc5, 0, 1, 7},
		{0xc6, 0, 0, 0, 1, 7},
		{0x90},
		{0x91, 1},
		{0x91, 0xc0},
		{0x92, 1, 2},
		{0x93, 1, 2, 3},
		{0x94, 1, 2, 3, 4},
		{0x92, 0xa1, 'x', 0xa0},
		{0xdc, 0, 0},
		{0xdc, 0, 1, 1},
		{0xdd, 0, 0, 0, 1, 1},
		{0xdd, 255, 255, 255, 255},
		{0x91, 0x91, 0x91, 1},
		{0x80},
		{0x81, 0xa1, 'x', 1},
		{0x81, 0xc0, 1},
		{0x81, 1, 1},
		{0x81, 0x90, 1},
		{0x81, 0xa1, 'x', 0xa1, 'y'},
		{0x82, 0xa1, 'x', 0xa1, 'y', 0xa1, 'x', 0xc0},
		{0xde, 0, 1, 0xa1, 'x', 0xc0},
		{0xdf, 0, 0, 0, 1, 0xc4, 1, 'x', 0x90},
		{0xdf, 255, 255, 255, 255},
		{0x81, 0xa2, 'i', 'd', 7},
		{0x81, 0xa2, 'i', 'd', 0xc0},
		{0x81, 0xa1, 'x', 0x80},
		{0xcb, 0x43, 0xe0, 0, 0, 0, 0, 0, 0}, // 2^63
		{0xcb, 0x43, 0xf0, 0, 0, 0, 0, 0, 0}, // 2^64
		{0xcb, 0xc0, 0x60, 0, 0, 0, 0, 0, 0}, // -128
		{0xcb, 0xc3, 0xe0, 0, 0, 0, 0, 0, 0}, // -2^63
		{0xcb, 0x47, 0xf0, 0, 0, 0, 0, 0, 0}, // 2^128
		{0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0}, // NaN
		{0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0},    // -0
		{0xca, 0x43, 0x7f, 0, 0},             // 255
		{0xca, 0xff, 0x80, 0, 0},             // -Inf
		{0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0},
		{0xce, 1, 0, 0, 1}, // 2^24+1
		{0xcf, 0, 0x20, 0, 0, 0, 0, 0, 1},
		{0xa9, '1', '9', '2', '.', '0', '.', '2', '.', '1'},
		{0xc4, 4, 192, 0, 2, 1},
		append([]byte{0xb4}, "2026-02-03T04:05:06Z"...),
		{0x82, 1, 0xa1, 'x', 0xa1, 'y', 0xc4, 1, 7},
		{0xd4, 1, 2},
		{0xd6, 0xff, 0, 0, 0, 1},
		{0xc7, 0, 1},
		{0xc7, 1, 1, 0x80},
		{0xd7, 0xff, 0xdf, 255, 255, 255, 255, 0, 0, 0},
		{0xc8, 0, 1, 1, 0x80},
		{0xc9, 0, 0, 0, 1, 1, 0x80},
	}
	return out
}

// fieldsOf returns names of fields, those of the kits' structs among them.
func fieldsOf(k kit) []string {
	names := []string{"a", "b", "C", "D", "E", "F", "x"} // omitempty
	v, _ := k.model([]byte{0xc0})
	typ := reflect.TypeOf(v).Elem()
	if typ.Kind() != reflect.Struct {
		return names
	}
	for _, f := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(cmp.Or(f.Tag.Get("msgpack"), f.Tag.Get("json")), ",")
		names = append(names, cmp.Or(name, f.Name))
	}
	return names
}

func TestOddInput(t *testing.T) { oddInput(t, 25) }

// oddInput compares with the library what comes of odd input: in each field, and in each
// field twice, of every step-th second value. Which ones differs from value to value.
func oddInput(t *testing.T, step int) {
	t.Parallel()
	all := odds()
	for _, k := range kits(t) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			fields := fieldsOf(k)
			for i, a := range all {
				compare(t, k, a)
				compare(t, k, append([]byte{0x91}, a...))
				compare(t, k, append([]byte{0x81, 0xc0}, a...))
				for _, name := range fields {
					first := append(wire.AppendStr(nil, name), a...)
					compare(t, k, append([]byte{0x81}, first...))
					for j := i % step; j < len(all); j += step { // the same field twice: the second goes on from the first
						second := append(wire.AppendStr(nil, name), all[j]...)
						compare(t, k, append(append([]byte{0x82}, first...), second...))
					}
				}
			}
		})
	}
}

// One field three times, so that what lies behind a slice's length comes back.
func TestAgainAndAgain(t *testing.T) {
	t.Parallel()
	k := kitOf(t, nests())
	list := func(ids ...byte) []byte {
		b := []byte{0x90 | byte(len(ids))}
		for _, id := range ids {
			switch id {
			case 0:
				b = append(b, 0x80)
			default:
				b = append(b, 0x82, 0xa2, 'i', 'd', id, 0xa1, 'n', 0xa1, 'a'+id)
			}
		}
		return b
	}
	lists := [][]byte{list(1, 2, 3), list(4), list(0, 0, 0, 0), list(0), list(), {0xc0}, list(0, 0, 0, 0, 0, 0, 0), {0x91, 1}}
	for _, field := range []string{"List", "Ptrs", "Lists", "Names"} {
		for i := range len(lists) * len(lists) * len(lists) {
			b := []byte{0x83}
			for _, l := range [][]byte{lists[i%8], lists[i/8%8], lists[i/64]} {
				b = append(wire.AppendStr(b, field), l...)
			}
			compare(t, k, b)
		}
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	c := codecOf[nest](t)
	k := kitOf(t, nests())
	n := 5
	pn := &n
	b := encoded(t, c, nil, &nest{
		Inner: flat{Name: "name", Data: []byte("data"), For: 1 << 40}, Ptr: &flat{}, PtrPtr: &pn, List: []flat{{}, {}},
		Ptrs: []*numbers{{}, nil}, Lists: [][]int{{1, 300, 70000}, nil}, Names: []string{"a", strings.Repeat("b", 300)},
	})
	b[0]++
	b = append(wire.AppendStr(b, "unknown"), 0x82, 1, 0x92, 0xa1, 'x', 0xc4, 2, 1, 2, 0xc0, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0)
	if _, err := c.Decode(b); err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if v, err := c.Decode(b[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are %+v", n, len(b), v)
		}
		compare(t, k, b[:n])
		for _, c := range []byte{0, 0xc0, 0xc1, 0x91, 0xdd, 0xff} {
			other := bytes.Clone(b)
			other[n] = c
			compare(t, k, other)
		}
	}
}

func TestDepth(t *testing.T) {
	t.Parallel()
	c := codecOf[struct{ Lists [][]flat }](t)
	for depth, want := range map[int]error{0: nil, 1: nil, maxDepth - 4: nil, maxDepth - 3: wire.ErrTooDeep, 1 << 20: wire.ErrTooDeep} {
		// Three open arrays and maps around the struct, which is the fourth.
		b := append([]byte{0x81, 0xa5, 'L', 'i', 's', 't', 's', 0x91, 0x91, 0x81, 0xa1, 'u'}, bytes.Repeat([]byte{0x91}, depth)...)
		b = append(b, 0)
		if _, err := c.Decode(b); !errors.Is(err, want) {
			t.Errorf("depth %d: %v, want %v", depth, err, want)
		}
		if err := wire.Scan(b, maxDepth); !errors.Is(err, want) {
			t.Errorf("depth %d: the scan says %v", depth, err)
		}
	}
}

// Not parallel: it measures what the process allocates.
func TestHostile(t *testing.T) {
	huge := func(head byte, n uint32, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{head}, n), rest...)
	}
	const n = 1 << 16
	for what, b := range map[string][]byte{
		"array of 64 GiB":  huge(0xdd, 1<<32-1),
		"map of 4 G pairs": huge(0xdf, 1<<32-1),
		"bytes of 4 GiB":   huge(0xc6, 1<<32-1),
		"string of 4 GiB":  huge(0xdb, 1<<32-1),
		"nils":             huge(0xdd, n, bytes.Repeat([]byte{0xc0}, n)...),
		"half a map":       huge(0xdf, n/2, bytes.Repeat([]byte{0xa0}, n)...),
		// Each array claims all that is left.
		"arrays in arrays": append(huge(0xdd, n, huge(0xdd, n-10)...), make([]byte, n-5)...),
		"maps in arrays":   append(huge(0xdd, n, huge(0xdf, n/2-10)...), make([]byte, n-5)...),
	} {
		for _, k := range kits(t) {
			for _, body := range [][]byte{b, append([]byte{0x81, 0xa5, 'L', 'i', 's', 't', 's'}, b...)} {
				used := allocated(func() { _, _ = k.ours(body) })
				if most := uint64(256<<10 + 128*len(b)); used > most {
					t.Errorf("%s: %d bytes take %d as %s, want at most %d", what, len(b), used, k.name, most)
				}
			}
		}
	}
}

// Arrays in arrays that each claim all that is left, though only one of them can have it. Not parallel, see above.
func TestOneByteOneElement(t *testing.T) {
	const n, levels = 1 << 16, 8
	c := codecOf[[][][][][][][][]int](t)
	var b []byte
	for i := range levels {
		b = binary.BigEndian.AppendUint32(append(b, 0xdd), n-uint32(5*i))
	}
	b = append(b, make([]byte, n-5*(levels-1))...)
	var err error
	used := allocated(func() { _, err = c.Decode(b) })
	if most := uint64(256<<10 + 24*len(b)); err == nil || used > most {
		t.Errorf("%d bytes take %d, want at most %d; %v", len(b), used, most, err)
	}
}

// allocated gives the bytes that f allocates. Nothing else may run meanwhile.
func allocated(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

// FuzzDecode compares both codecs on bytes from strangers, for all types.
func FuzzDecode(f *testing.F) {
	for _, b := range odds() {
		f.Add(b)
		f.Add(append([]byte{0x81, 0xa4, 'L', 'i', 's', 't'}, b...))
	}
	c, cm := codecOf[nest](f), codecOf[maps](f)
	f.Add(encoded(f, c, nil, &nest{Ptr: &flat{}, List: make([]flat, 2), Ptrs: []*numbers{{}}, Lists: [][]int{{1}}, Names: []string{"x"}}))
	f.Add(encoded(f, cm, nil, &maps{
		Strings: map[string]string{"a": "b"}, Flats: map[name]flat{"x": {}}, Deep: map[uint8]map[string]string{1: {"a": "b"}},
	}))
	all := kits(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, k := range all {
			compare(t, k, b)
		}
	})
}
