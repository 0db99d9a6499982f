package pack

import (
	"encoding/json"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

type (
	A1 struct {
		X int
		Y int `msgpack:"y" json:"y"`
	}
	a2 struct {
		X, Z int
	}
	deep3 struct {
		A1
		W int
	}
	Ptr4 struct{ P int }
	Own5 struct {
		*Ptr4
		A1
		deep3
		X string // hides A1.X
	}
	tagged6 struct {
		A1
		a2  `json:"-" msgpack:"-"`
		Any int `json:"X" msgpack:"X"`
	}
	tagWins7 struct {
		Plain8
		Tagged9
	}
	Plain8  struct{ V string }
	Tagged9 struct {
		Other string `json:"V" msgpack:"V"`
	}
	named10 struct {
		A1    `json:"a1" msgpack:"a1"`
		*Ptr4 `json:"ptr,omitempty" msgpack:"ptr,omitempty"`
	}
	loop11 struct {
		*Loop12
		N int
	}
	Loop12 struct {
		*loop11
		M int
	}
	number   int
	embeds13 struct {
		number // not exported, and no struct
		N      int
	}
	Number14 int
	embeds15 struct {
		Number14
		M int
	}
	twoWays16 struct { // A1 on two levels: the upper one counts
		A1
		deep3
	}
	hidden17 struct {
		Deep
		*A1
	}
)

// viaJSON is a value as a reader of JSON without types sees it.
func viaJSON(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// asJSON checks that v has the fields in msgpack that it has in JSON, and that
// each form is read as the other.
func asJSON[T any](t *testing.T, v T) {
	t.Helper()
	ts := newTypes()
	b, err := ts.Append(nil, &v, room())
	if err != nil {
		t.Fatalf("%+v: %v", v, err)
	}
	var tree any
	if err := ts.Decode(b, &tree); err != nil {
		t.Fatal(err)
	}
	want := viaJSON(t, v)
	if got := viaJSON(t, tree); !reflect.DeepEqual(got, want) {
		t.Errorf("%T is\n%v, in JSON\n%v", v, got, want)
	}
	back, fromJSON := new(T), new(T)
	if err := ts.Decode(b, back); err != nil {
		t.Errorf("%T: %v", v, err)
		return
	}
	text, _ := json.Marshal(v)
	if err := json.Unmarshal(text, fromJSON); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, fromJSON) {
		t.Errorf("%T %+v arrives as\n%+v, from JSON as\n%+v", v, v, *back, *fromJSON)
	}
}

func TestFieldsAsJSON(t *testing.T) {
	t.Parallel()
	a := A1{1, 2}
	asJSON(t, Own5{})
	asJSON(t, Own5{Ptr4: &Ptr4{3}, A1: a, deep3: deep3{a, 4}, X: "x"})
	asJSON(t, tagged6{A1: a, Any: 5})
	asJSON(t, tagWins7{Plain8{"plain"}, Tagged9{"tagged"}})
	asJSON(t, named10{A1: a})
	asJSON(t, named10{a, &Ptr4{3}})
	asJSON(t, embeds13{1, 2})
	asJSON(t, embeds15{1, 2})
	asJSON(t, twoWays16{A1{1, 2}, deep3{A1{3, 4}, 5}})
	asJSON(t, struct{ *Own5 }{})
	asJSON(t, struct{ *Own5 }{&Own5{X: "x"}})
	asJSON(t, deep3{a, 4})
	asJSON(t, loop11{N: 1, Loop12: &Loop12{M: 2}})
}

// A nil embedded pointer is made only if a field arrives, and not if its type's
// name is not exported.
func TestEmbeddedPointers(t *testing.T) {
	t.Parallel()
	ts := newTypes()
	var v Own5
	if err := ts.Decode([]byte("\x81\xa1X\xa1x"), &v); err != nil || v.Ptr4 != nil || v.X != "x" {
		t.Errorf("%+v, %v", v, err)
	}
	if err := ts.Decode([]byte("\x81\xa1P\x05"), &v); err != nil || v.Ptr4 == nil || v.P != 5 {
		t.Errorf("%+v, %v", v, err)
	}
	type hides struct{ *a2 }
	var h hides
	const want = "Z: it is in an embedded pointer to pack.a2, whose name is not exported"
	if err := ts.Decode([]byte("\x81\xa1Z\x05"), &h); err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
	h.a2 = new(a2)
	if err := ts.Decode([]byte("\x81\xa1Z\x05"), &h); err != nil || h.Z != 5 {
		t.Errorf("%+v, %v", h, err)
	}
	var o hidden17
	if err := ts.Decode([]byte("\x81\xa1y\x05"), &o); err != nil || o.A1 == nil || o.Y != 5 {
		t.Errorf("%+v, %v", o, err)
	}
}

type (
	zeroDay struct{ Day int }
	ptrZero struct{ N int }
	omitAll struct {
		Bool   bool           `json:",omitempty" msgpack:",omitempty"`
		Int    int8           `json:",omitempty" msgpack:",omitempty"`
		Uint   uint64         `json:",omitempty" msgpack:",omitempty"`
		Float  float64        `json:",omitempty" msgpack:",omitempty"`
		F32    float32        `json:",omitempty" msgpack:",omitempty"`
		Str    string         `json:",omitempty" msgpack:",omitempty"`
		Slice  []int          `json:",omitempty" msgpack:",omitempty"`
		Map    map[string]int `json:",omitempty" msgpack:",omitempty"`
		Arr    [2]int         `json:",omitempty" msgpack:",omitempty"`
		None   [0]int         `json:",omitempty" msgpack:",omitempty"`
		Struct struct{ X int }
		Omit   struct{ X int } `json:",omitempty" msgpack:",omitempty"`
		Empty  struct{}        `json:",omitempty" msgpack:",omitempty"`
		Ptr    *int            `json:",omitempty" msgpack:",omitempty"`
		Any    any             `json:",omitempty" msgpack:",omitempty"`
		Addr   netip.Addr      `json:",omitempty" msgpack:",omitempty"`
		Port   netip.AddrPort  `json:",omitempty" msgpack:",omitempty"`
		Big    big.Int         `json:",omitempty" msgpack:",omitempty"`
		At     time.Time       `json:",omitempty" msgpack:",omitempty"`
		Day    zeroDay         `json:",omitempty" msgpack:",omitempty"`
		Zero   zeroDay         `json:",omitzero" msgpack:",omitzero"`
		ZPtr   *zeroDay        `json:",omitzero" msgpack:",omitzero"`
		ZTime  time.Time       `json:",omitzero" msgpack:",omitzero"`
		ZOwn   ptrZero         `json:",omitzero" msgpack:",omitzero"`
		ZStr   struct{ X int } `json:",omitzero" msgpack:",omitzero"`
		ZSlice []int           `json:",omitzero" msgpack:",omitzero"`
		ZArr   [2]string       `json:",omitzero" msgpack:",omitzero"`
		Both   []int           `json:",omitempty,omitzero" msgpack:",omitempty,omitzero"`
		ZAny   isZeroer        `json:",omitzero" msgpack:",omitzero"`
	}
)

func (z zeroDay) IsZero() bool  { return z.Day == 7 }
func (z *ptrZero) IsZero() bool { return z.N == 7 }

// Which fields are left out is what encoding/json leaves out.
func TestOmitAsJSON(t *testing.T) {
	t.Parallel()
	ts := newTypes()
	zero, minus := 0, math.Copysign(0, -1)
	for i, v := range []omitAll{
		{},
		{
			Bool: true, Int: 1, Uint: 1, Float: minus, F32: float32(minus), Str: "x", Slice: []int{}, Map: map[string]int{}, Ptr: &zero,
			Any: "", Addr: netip.MustParseAddr("192.0.2.1"), Zero: zeroDay{7}, ZPtr: &zeroDay{7}, ZOwn: ptrZero{7}, ZSlice: []int{},
		},
		{Slice: []int{0}, Map: map[string]int{"": 0}, Any: 0, Both: []int{}, ZArr: [2]string{"", "x"}, ZStr: struct{ X int }{1}},
		{Any: false, Zero: zeroDay{1}, ZPtr: new(zeroDay), ZTime: time.Unix(1, 0).UTC(), ZAny: zeroDay{7}},
		{Any: (*int)(nil), ZAny: (*zeroDay)(nil), Big: *big.NewInt(5)},
		{Any: []any(nil), ZAny: zeroDay{1}},
	} {
		b, err := ts.Append(nil, &v, room())
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := ts.Decode(b, &got); err != nil {
			t.Fatal(err)
		}
		want := viaJSON(t, &v).(map[string]any)
		for name := range want {
			if _, ok := got[name]; !ok {
				t.Errorf("%d: %s is left out", i, name)
			}
		}
		for name := range got {
			if _, ok := want[name]; !ok {
				t.Errorf("%d: %s is not left out", i, name)
			}
		}
	}
}
