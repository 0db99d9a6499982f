package pack

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

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
		b := c.Append(nil, &in)
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

type (
	recursive struct{ Next *recursive }
	aliased   struct {
		A int `msgpack:"a,alias:b"`
	}
	twice struct {
		A int
		B int `msgpack:"A"`
	}
	embeds  struct{ flat }
	asArray struct {
		_msgpack struct{} `msgpack:",as_array"`
		A        int
	}
	zeroer  struct{ A int }
	zeroers struct {
		A zeroer `msgpack:",omitempty"`
	}
	texter     struct{ A int }
	appearance byte
)

func (zeroer) IsZero() bool                { return false }
func (*texter) UnmarshalText([]byte) error { return nil }

func doesNotQualify[T any](t *testing.T, why string) {
	t.Helper()
	_, err := For[T](Config{
		Tag: "msgpack", Fallback: "json", MaxDepth: 8, Custom: []reflect.Type{reflect.TypeFor[interface{ Round() }]()},
		Agrees: func(v reflect.Value, encoded []byte) bool {
			return v.Type() != reflect.TypeFor[appearance]() || !bytes.Equal(encoded, []byte{0})
		},
	})
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("%v: %v, want %q", reflect.TypeFor[T](), err, why)
	}
}

type rounder struct{ A int }

func (*rounder) Round() {}

func TestDoesNotQualify(t *testing.T) {
	t.Parallel()
	doesNotQualify[any](t, "no plan")
	doesNotQualify[struct{ A any }](t, "A: interface {} has no plan")
	doesNotQualify[[]func()](t, "no plan")
	doesNotQualify[uintptr](t, "no plan")
	doesNotQualify[complex128](t, "no plan")
	doesNotQualify[time.Time](t, "own encoding")
	doesNotQualify[[]*time.Time](t, "own encoding")
	doesNotQualify[map[string]texter](t, "own encoding")
	doesNotQualify[rounder](t, "own encoding")
	_ = asArray{}._msgpack // only its tag is of use
	doesNotQualify[asArray](t, "own encoding")
	doesNotQualify[recursive](t, "contains itself")
	doesNotQualify[aliased](t, "its tag has ':'")
	doesNotQualify[struct {
		A string `msgpack:"a,intern"`
	}](t, "option intern")
	doesNotQualify[struct {
		A int `msgpack:"'a'"`
	}](t, "its tag has")
	doesNotQualify[twice](t, "two fields")
	doesNotQualify[embeds](t, "embedded")
	doesNotQualify[zeroers](t, "when it is empty")
	doesNotQualify[map[bool]int](t, "keys other than")
	doesNotQualify[map[[2]int]int](t, "keys other than")
	doesNotQualify[[1 << 20]int](t, "larger than")
	doesNotQualify[[][][][][][][][][]int](t, "deeper than 8")
	doesNotQualify[[]appearance](t, "encoded differently")
	doesNotQualify[struct{ A *appearance }](t, "encoded differently")
	type bits uint8
	doesNotQualify[[]bits](t, "bytes of another name")
	doesNotQualify[[3]bits](t, "bytes of another name")
}

// Agrees sees each type once, with a value that it can take apart.
func TestAgrees(t *testing.T) {
	t.Parallel()
	seen := map[reflect.Type]int{}
	_, err := For[nest](Config{MaxDepth: maxDepth, Tag: "msgpack", Fallback: "json", Agrees: func(v reflect.Value, encoded []byte) bool {
		seen[v.Type()]++
		want, err := theirEncode(v.Interface())
		return err == nil && bytes.Equal(encoded, want) && v.CanAddr()
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[nest](), reflect.TypeFor[flat](), reflect.TypeFor[*flat](), reflect.TypeFor[int16](), reflect.TypeFor[name](),
	} {
		if seen[typ] != 1 {
			t.Errorf("asked %d times about %v", seen[typ], typ)
		}
	}
}

func TestAllocations(t *testing.T) {
	c := codecOf[flat](t)
	v := flat{ID: 1 << 40, Name: "a name of some length", Score: 0.5, Data: make([]byte, 24)}
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = c.Append(buf[:0], &v) }); n != 0 {
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
	buf = c.Append(buf[:0], &v)
	if n := testing.AllocsPerRun(100, decode); n != 3 {
		t.Errorf("decoding takes %v allocations, want those of the value, the string and the bytes", n)
	}
	all := &nest{Names: []string{"a", "b"}, List: make([]flat, 3), Ptr: &flat{}}
	cn := codecOf[nest](t)
	if n := testing.AllocsPerRun(100, func() { buf = cn.Append(buf[:0], all) }); n != 0 {
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
	if _, err := c.Decode(b); err == nil || err.Error() != "List: id: a value of code 0xa4, not an integer" {
		t.Errorf("a string for an integer: %v", err)
	}
	b = c.Append(nil, &nest{})
	if _, err := c.Decode(append(b, 0)); !errors.Is(err, wire.ErrTrailing) {
		t.Errorf("more behind it: %v", err)
	}
}
