package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// number encodes a number in the form of its Go type.
func numberOf(v any) []byte {
	switch v := v.(type) {
	case float32:
		return binary.BigEndian.AppendUint32([]byte{0xca}, math.Float32bits(v))
	case float64:
		return appendFloat64(nil, v)
	case uint64:
		return binary.BigEndian.AppendUint64([]byte{0xcf}, v)
	}
	return binary.BigEndian.AppendUint64([]byte{0xd3}, uint64(v.(int64)))
}

// arrives checks what becomes of a number in a place of type T; want is the value
// or the text of an error.
func arrives[T comparable](t *testing.T, v, want any) {
	t.Helper()
	var list []*T // a []uint8 would be bytes
	err := newTypes().Decode(append([]byte{0x91}, numberOf(v)...), &list)
	if text, ok := want.(string); ok {
		if err == nil || err.Error() != "[0]: "+text {
			t.Errorf("%T %v in a %T is %v, %v; want %q", v, v, *new(T), list, err, text)
		}
		return
	}
	if err != nil || *list[0] != want {
		t.Errorf("%T %v in a %T is %v, %v; want %v", v, v, *new(T), list, err, want)
	}
}

func TestIntegersThatDoNotFit(t *testing.T) {
	t.Parallel()
	arrives[uint8](t, int64(300), "300 does not fit uint8")
	arrives[uint8](t, uint64(256), "256 does not fit uint8")
	arrives[uint8](t, int64(255), uint8(255))
	arrives[uint8](t, int64(-1), "-1 does not fit uint8")
	arrives[uint16](t, int64(-1), "-1 does not fit uint16")
	arrives[uint32](t, int64(1<<32), "4294967296 does not fit uint32")
	arrives[uint64](t, int64(-1), "-1 does not fit uint64")
	arrives[uint64](t, uint64(math.MaxUint64), uint64(math.MaxUint64))
	arrives[int8](t, int64(128), "128 does not fit int8")
	arrives[int8](t, int64(-128), int8(-128))
	arrives[int8](t, int64(-129), "-129 does not fit int8")
	arrives[int16](t, uint64(40000), "40000 does not fit int16")
	arrives[int32](t, int64(math.MinInt32)-1, "-2147483649 does not fit int32")
	arrives[int64](t, uint64(1<<63), "9223372036854775808 does not fit int64")
	arrives[int64](t, int64(math.MinInt64), int64(math.MinInt64))
	arrives[int](t, uint64(math.MaxUint64), "18446744073709551615 does not fit int")
	arrives[small](t, int64(300), "300 does not fit int8")
	arrives[time.Duration](t, uint64(1<<63), "9223372036854775808 does not fit int64")
	arrives[uintptr](t, int64(-1), "-1 does not fit uintptr")
}

func TestFloatsInIntegers(t *testing.T) {
	t.Parallel()
	arrives[int](t, 3.0, 3)
	arrives[int8](t, float32(-128), int8(-128))
	arrives[int8](t, 128.0, "128 does not fit int8")
	arrives[uint64](t, math.Ldexp(1, 63), uint64(1<<63))
	arrives[uint64](t, math.Ldexp(1, 64), "1.8446744073709552e+19 does not fit uint64")
	arrives[int64](t, math.Ldexp(-1, 63), int64(math.MinInt64))
	arrives[int64](t, math.Ldexp(-1, 64), "-1.8446744073709552e+19 does not fit int64")
	arrives[int64](t, math.Ldexp(1, 63), "9223372036854775808 does not fit int64")
	arrives[int](t, 1.5, "1.5 is no integer")
	arrives[uint](t, -0.5, "-0.5 is no integer")
	arrives[uint](t, math.Copysign(0, -1), uint(0))
	arrives[uint8](t, -1.0, "-1 does not fit uint8")
	arrives[int](t, math.NaN(), "NaN is no integer")
	arrives[int](t, math.Inf(1), "+Inf does not fit int")
}

func TestNumbersInFloats(t *testing.T) {
	t.Parallel()
	arrives[float32](t, 1.5, float32(1.5))
	arrives[float32](t, 0.1, float32(0.1)) // rounded
	arrives[float32](t, 1e300, "1e+300 does not fit float32")
	arrives[float32](t, math.MaxFloat32, float32(math.MaxFloat32))
	arrives[float32](t, 1e-300, float32(0))
	arrives[float32](t, math.Inf(-1), float32(math.Inf(-1)))
	arrives[float32](t, int64(1<<24+1), "16777217 does not fit float32 exactly")
	arrives[float32](t, uint64(1<<63), float32(1<<63))
	arrives[float64](t, uint64(math.MaxUint64), "18446744073709551615 does not fit float64 exactly")
	arrives[float64](t, int64(-1<<53-1), "-9007199254740993 does not fit float64 exactly")
	arrives[float64](t, int64(math.MinInt64), -math.Ldexp(1, 63))
	arrives[float64](t, float32(0.5), 0.5)
	var f float32
	if err := newTypes().Decode(numberOf(math.NaN()), &f); err != nil || f == f {
		t.Errorf("NaN arrives as %v, %v", f, err)
	}
}

// An error says where it is, through structs, lists, maps and embedded structs.
func TestPaths(t *testing.T) {
	t.Parallel()
	type item struct {
		Count uint8 `msgpack:"count"`
		Base
	}
	type order struct {
		Items []item
		By    map[string][2]*item
		ByID  map[int]item
		At    time.Time
		Names []string
		Tags  map[string]string
		Named map[string]any
	}
	ts := newTypes()
	for want, v := range map[string]any{
		"Items[3].count: 300 does not fit uint8":            map[string]any{"Items": []any{nil, nil, nil, map[string]any{"count": 300}}},
		"Items[0].id: a string where an integer goes":       map[string]any{"Items": []any{map[string]any{"id": "x"}}},
		`By["k"][1].count: -1 does not fit uint8`:           map[string]any{"By": map[string]any{"k": []any{nil, map[string]any{"count": -1}}}},
		"ByID[-7].count: a map where an integer goes":       map[string]any{"ByID": map[int]any{-7: map[string]any{"count": map[string]any{}}}},
		"ByID[key]: a string where an integer goes":         map[string]any{"ByID": map[string]any{"x": nil}},
		"By[\"k\"]: an array of 3 where 2 fit":              map[string]any{"By": map[string]any{"k": []int{1, 2, 3}}},
		"At: an integer where a time goes":                  map[string]any{"At": 5},
		`At: "yesterday" is no time as RFC 3339 has it`:     map[string]any{"At": "yesterday"},
		"Names[1]: a float where a string or binary goes":   map[string]any{"Names": []any{"x", 0.5}},
		`Tags["a"]: an array where a string or binary goes`: map[string]any{"Tags": map[string]any{"a": []int{1}}},
		`Named["a"][0][key]: a []interface {} cannot be a key`: map[string]any{"Named": map[string]any{"a": []any{
			map[[1]int]int{{1}: 1},
		}}},
		"Items: a bool where an array goes": map[string]any{"Items": true},
	} {
		b, err := ts.Append(nil, v, room())
		if err != nil {
			t.Fatal(err)
		}
		if err := ts.Decode(b, new(order)); err == nil || err.Error() != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// What arrives in an any depends on what was sent, not on its size or place.
func TestOneRuleForAny(t *testing.T) {
	t.Parallel()
	ts := newTypes()
	at := time.Unix(5, 0)
	for _, c := range []struct{ v, want any }{
		{int64(127), int64(127)},
		{int64(128), int64(128)},
		{int64(-1), int64(-1)},
		{int8(5), int64(5)},
		{uint8(200), int64(200)},
		{uint64(math.MaxInt64), int64(math.MaxInt64)},
		{uint64(1 << 63), uint64(1 << 63)},
		{int64(math.MinInt64), int64(math.MinInt64)},
		{float32(0.5), 0.5},
		{math.Pi, math.Pi},
		{"", ""},
		{"text", "text"},
		{name("text"), "text"},
		{[]byte("\xff"), []byte("\xff")},
		{[]byte{}, []byte{}},
		{[2]byte{1, 2}, []byte{1, 2}},
		{[]byte(nil), nil},
		{nil, nil},
		{true, true},
		{[]int{1, 300}, []any{int64(1), int64(300)}},
		{[]any{}, []any{}},
		{[]string(nil), nil},
		{map[string]int{"a": 1}, map[string]any{"a": int64(1)}},
		{map[int]string{1: "x"}, map[any]any{int64(1): "x"}},
		{map[any]any{"a": 1, 2: "b"}, map[any]any{"a": int64(1), int64(2): "b"}},
		{map[bool][]byte{true: []byte("x")}, map[any]any{true: []byte("x")}},
		{map[int]int{}, map[string]any{}},
		{flat{ID: 300, Data: []byte("x")}, map[string]any{
			"id": int64(300), "n": "", "Score": 0.0, "data": []byte("x"), "On": false, "For": int64(0),
		}},
		{at, at},
		{&at, at},
		{time.Duration(5), int64(5)},
	} {
		nested := map[string]any{"list": []any{map[int]any{1: c.v}}}
		for _, v := range []any{c.v, nested} {
			b, err := ts.Append(nil, v, room())
			if err != nil {
				t.Fatal(err)
			}
			var got any
			if err := ts.Decode(b, &got); err != nil {
				t.Fatalf("%T %v: %v", v, v, err)
			}
			if m, ok := v.(map[string]any); ok && m["list"] != nil {
				got = got.(map[string]any)["list"].([]any)[0].(map[any]any)[int64(1)]
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%T %v arrives as %T %v, want %T", c.v, c.v, got, got, c.want)
			}
			again, err := ts.Append(nil, got, Bounds{Size: 1 << 20, Sorted: true})
			if m, ok := v.(map[string]any); !ok || m["list"] == nil {
				if b, _ = ts.Append(nil, v, Bounds{Size: 1 << 20, Sorted: true}); err != nil || len(again) < len(b) {
					t.Errorf("%T %v comes back as % x, %v, was sent as % x", c.v, c.v, again, err, b)
				}
			}
		}
	}
	var byKey map[any]any
	if err := ts.Decode([]byte("\x82\xc4\x01k\x01\x02\x03"), &byKey); err != nil || !reflect.DeepEqual(byKey, map[any]any{"k": int64(1), int64(2): int64(3)}) {
		t.Errorf("binary as a key: %v, %v", byKey, err)
	}
}

type (
	shout  string // text both ways
	packed struct{ A, B byte }
	onlyIn int // reads text, and writes an integer
)

func (s shout) MarshalText() ([]byte, error) { return []byte(strings.ToUpper(string(s))), nil }
func (s *shout) UnmarshalText(b []byte) error {
	*s = shout(strings.ToLower(string(b)))
	return nil
}
func (p *packed) MarshalBinary() ([]byte, error) { return []byte{p.A, p.B}, nil }
func (p *packed) UnmarshalBinary(b []byte) error {
	if len(b) != 2 {
		return errors.New("not two bytes")
	}
	p.A, p.B = b[0], b[1]
	return nil
}
func (o *onlyIn) UnmarshalText(b []byte) error { *o = onlyIn(len(b)); return nil }

// Types with methods of package encoding: what they send, and what they accept.
func TestOwnEncodings(t *testing.T) {
	t.Parallel()
	type all struct {
		Addr netip.Addr
		Text shout
		Pack packed
		In   onlyIn
		Big  *big.Int
		By   map[shout]packed
		Nets []netip.Prefix
	}
	ts := newTypes()
	v := all{netip.MustParseAddr("192.0.2.1"), "abc", packed{1, 2}, 7, big.NewInt(1 << 40), map[shout]packed{"k": {3, 4}}, nil}
	v.Nets = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	b, err := ts.Append(nil, &v, room())
	if err != nil {
		t.Fatal(err)
	}
	var back all
	if err := ts.Decode(b, &back); err == nil || err.Error() != "In: an integer where a string or binary goes" {
		t.Error(err)
	}
	v.In = 0
	text := func(s string) []byte { return wire.AppendStr(nil, s) }
	bin := func(s string) []byte { return appendBytes(nil, []byte(s)) }
	for _, c := range []struct {
		into any
		b    []byte
		want any // or the text of an error
	}{
		{new(netip.Addr), bin("\xc0\x00\x02\x01"), v.Addr},
		{new(netip.Addr), text("192.0.2.1"), v.Addr},
		{new(netip.Addr), []byte{0xc0}, netip.Addr{}},
		{new(netip.Addr), text("x"), "ParseAddr(\"x\"): unable to parse IP"},
		{new(netip.Addr), []byte{5}, "an integer where a string or binary goes"},
		{new(shout), text("ABC"), shout("abc")},
		{new(shout), bin("ABC"), shout("abc")},
		{new(packed), bin("\x01\x02"), packed{1, 2}},
		{new(packed), text("\x01\x02"), packed{1, 2}},
		{new(packed), text("\x01"), "not two bytes"},
		{new(onlyIn), text("four"), onlyIn(4)},
		{new(big.Int), text("1099511627776"), *v.Big},
		{new(map[shout]packed), append([]byte("\x81\xa1K"), bin("\x03\x04")...), v.By},
	} {
		err := ts.Decode(c.b, c.into)
		got := reflect.ValueOf(c.into).Elem().Interface()
		if want, ok := c.want.(string); ok {
			if err == nil || err.Error() != want {
				t.Errorf("% x in a %T: %v, want %q", c.b, c.into, err, want)
			}
		} else if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("% x in a %T is %v, %v; want %v", c.b, c.into, got, err, c.want)
		}
	}
	if got, err := ts.Append(nil, shout("abc"), room()); err != nil || !bytes.Equal(got, text("ABC")) {
		t.Errorf("text is sent as % x, %v", got, err)
	}
	if got, err := ts.Append(nil, &packed{1, 2}, room()); err != nil || !bytes.Equal(got, bin("\x01\x02")) {
		t.Errorf("binary is sent as % x, %v", got, err)
	}
}

// Equal values are equal bytes when maps are sorted, whatever the types of keys.
func TestSorted(t *testing.T) {
	t.Parallel()
	type all struct {
		A map[string]string
		B map[int]map[string]int
		C map[string]any
		D map[any]any
		E []map[bool]string
	}
	ts := newTypes()
	v := all{map[string]string{}, map[int]map[string]int{}, map[string]any{}, map[any]any{}, []map[bool]string{{true: "t", false: "f"}}}
	for i := range 20 {
		k := fmt.Sprint("key ", i)
		v.A[k], v.B[i], v.C[k], v.D[i], v.D[k] = k, map[string]int{"x": i, "y": i, k: i}, map[string]any{k: i, "z": i}, k, i
	}
	first, err := ts.Append(nil, &v, Bounds{Size: 1 << 20, Sorted: true})
	if err != nil {
		t.Fatal(err)
	}
	c := codecOf[all](t)
	for range 20 {
		b, err := ts.Append([]byte("head"), v, Bounds{Size: 1 << 20, Sorted: true})
		if err != nil || !bytes.Equal(b[4:], first) {
			t.Fatalf("another time other bytes, %v", err)
		}
		if b, err = c.Append(nil, &v, Bounds{Size: 1 << 20, Sorted: true}); err != nil || !bytes.Equal(b, first) {
			t.Fatalf("by its own codec other bytes, %v", err)
		}
	}
	var back all
	if err := ts.Decode(first, &back); err != nil || !reflect.DeepEqual(back.B, v.B) || !reflect.DeepEqual(back.A, v.A) {
		t.Errorf("%+v, %v", back, err)
	}
}

// Options of tags that the msgpack library has.
func TestTags(t *testing.T) {
	t.Parallel()
	type list struct {
		_msgpack struct{} `msgpack:",as_array"`
		A        int
		*Base
		B string
	}
	type odd struct {
		New   int `msgpack:"new,alias:old,alias:'older'"`
		Comma int `msgpack:"'a,b',omitempty"`
		Space int `json:"a b,string"`
		Dash  int `msgpack:"-,"`
		Base  `msgpack:",noinline"`
		Inner struct{ X int } `msgpack:",inline"`
	}
	ts := newTypes()
	_ = list{}._msgpack
	b, err := ts.Append(nil, &list{A: 1, B: "x"}, room())
	if err != nil || string(b) != "\x94\x01\xc0\xc0\xa1x" {
		t.Errorf("as an array: % x, %v", b, err)
	}
	var l list
	if err := ts.Decode(b, &l); err != nil || l.A != 1 || l.B != "x" || l.Base != nil {
		t.Errorf("%+v, %v", l, err)
	}
	b, err = ts.Append(nil, list{A: 1, Base: &Base{2, "n"}}, room())
	if err != nil || string(b) != "\x94\x01\x02\xa1n\xa0" {
		t.Errorf("as an array: % x, %v", b, err)
	}
	if err := ts.Decode(b, &l); err != nil || l.Base == nil || l.ID != 2 {
		t.Errorf("%+v, %v", l, err)
	}
	v := odd{1, 2, 3, 4, Base{5, "n"}, struct{ X int }{6}}
	if b, err = ts.Append(nil, v, room()); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	want := map[string]any{
		"new": int64(1), "a,b": int64(2), "a b": int64(3), "-": int64(4),
		"Base": map[string]any{"id": int64(5), "Name": "n"}, "Inner": map[string]any{"X": int64(6)},
	}
	if err := ts.Decode(b, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, alias := range []string{"old", "older", "new"} {
		var o odd
		if err := ts.Decode(append(wire.AppendStr([]byte{0x81}, alias), 9), &o); err != nil || o.New != 9 {
			t.Errorf("%s: %+v, %v", alias, o, err)
		}
	}
}
