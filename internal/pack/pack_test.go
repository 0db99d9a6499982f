package pack

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshnode/meshnode/internal/wire"
)

func TestLikeTheLibrary(t *testing.T) {
	t.Parallel()
	for _, k := range kits(t) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, k.check)
		})
	}
}

// Each width of number and length has its bounds.
func TestBounds(t *testing.T) {
	t.Parallel()
	c := codecOf[numbers](t)
	for shift := range 64 {
		for _, d := range []int64{-1, 0, 1} {
			for _, v := range []int64{1<<shift + d, -(1 << shift) + d} {
				checkValue(t, c, &numbers{
					int(v), int8(v), int16(v), int32(v), v,
					uint(v), uint8(v), uint16(v), uint32(v), uint64(v), float32(v), float64(v),
				})
			}
		}
	}
	for _, f := range []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), math.SmallestNonzeroFloat64} {
		checkValue(t, c, &numbers{F32: float32(f), F64: f})
	}
	type texts struct {
		S  string
		B  []byte
		N  []int8
		L  []string
		M  map[int]bool
		MS map[string]string
	}
	ct := codecOf[texts](t)
	for _, n := range []int{0, 1, 15, 16, 31, 32, 63, 64, 65, 127, 255, 256, 257, 4096, 65535, 65536} {
		v := texts{
			S: strings.Repeat("s", n), B: bytes.Repeat([]byte{1}, n), N: make([]int8, n), L: make([]string, n),
			M: map[int]bool{}, MS: map[string]string{},
		}
		for i := range n {
			v.M[i], v.MS[strings.Repeat("k", i%300)] = true, "v"
		}
		checkValue(t, ct, &v)
	}
}

// Fields beyond the few that are searched one by one, in another order.
func TestOrderOfFields(t *testing.T) {
	t.Parallel()
	c := codecOf[numbers](t)
	in := numbers{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	names := []string{"F64", "I", "U64", "I8", "F32", "I16", "U", "I32", "U8", "I64", "U32", "U16"}
	b := wire.AppendMapHeader(nil, len(names)+1)
	b = append(wire.AppendStr(b, "unknown"), 0x91, 0x81, 1, 2)
	for _, name := range names {
		b = wire.AppendStr(b, name)
		b = append(b, byte(reflect.ValueOf(in).FieldByName(name).Convert(reflect.TypeFor[int]()).Int()))
	}
	if got, err := c.Decode(b); err != nil || *got != in {
		t.Errorf("%+v, %v", got, err)
	}
}

// What was decoded does not change with the input, and one part of it does not
// grow into another, at every bound of sharing.
func TestCopies(t *testing.T) {
	t.Parallel()
	type pair struct {
		A, B []byte
		C    string
	}
	c := codecOf[pair](t)
	for _, n := range []int{0, 1, 10, 20, 21, 22, 32, 63, 64, 65, 128, 255, 256, 257, 5000} {
		in := pair{bytes.Repeat([]byte{'a'}, n), bytes.Repeat([]byte{'b'}, n), strings.Repeat("c", n)}
		b := encoded(t, c, nil, &in)
		got, err := c.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		clear(b)
		_ = append(got.A, "overwritten"...)
		_ = append(got.B, "overwritten"...)
		if !reflect.DeepEqual(*got, in) {
			t.Errorf("%d bytes arrive as %+v", n, got)
		}
	}
}

func TestMany(t *testing.T) {
	t.Parallel()
	c := codecOf[[]string](t)
	in := make([]string, 3000)
	for i := range in {
		in[i] = strings.Repeat(string(rune('a'+i%26)), i%400)
	}
	checkValue(t, c, &in)
}

func TestAllocations(t *testing.T) {
	c := codecOf[flat](t)
	v := flat{ID: 1 << 40, Name: "a name of some length", Score: 0.5, Data: make([]byte, 24)}
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = encoded(t, c, buf[:0], &v) }); n != 0 {
		t.Errorf("encoding takes %v allocations", n)
	}
	decode := func() {
		if _, err := c.Decode(buf); err != nil {
			t.Error(err)
		}
	}
	if n := testing.AllocsPerRun(100, decode); n != 1 {
		t.Errorf("decoding a small value takes %v allocations, want 1", n)
	}
	v.Data = make([]byte, 500)
	buf = encoded(t, c, buf[:0], &v)
	if n := testing.AllocsPerRun(100, decode); n != 3 {
		t.Errorf("decoding takes %v allocations, want those of the value, the string and the bytes", n)
	}
	all := &nest{Names: []string{"a", "b"}, List: make([]flat, 3), Ptr: &flat{}}
	cn := codecOf[nest](t)
	if n := testing.AllocsPerRun(100, func() { buf = encoded(t, cn, buf[:0], all) }); n != 0 {
		t.Errorf("encoding a nested value takes %v allocations", n)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	c := codecOf[nest](t)
	b, err := theirEncode(map[string]any{"List": []any{map[string]any{"id": "text"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decode(b); err == nil || err.Error() != "List[0].id: a string where an integer goes" {
		t.Errorf("a string for an integer: %v", err)
	}
	b = encoded(t, c, nil, &nest{})
	if _, err := c.Decode(append(b, 0)); !errors.Is(err, wire.ErrTrailing) {
		t.Errorf("more behind it: %v", err)
	}
}
