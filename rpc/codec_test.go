package rpc

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

type (
	tagged struct {
		A int    `msgpack:"alpha"`
		B string `msgpack:"beta" json:"wrong"`
	}
	jsonTagged struct {
		A int    `json:"alpha"`
		B string `json:"beta,omitempty"`
	}
	untagged struct {
		Alpha int
		Beta  string
	}
	blob   []byte
	nested struct {
		At      time.Time
		For     time.Duration
		Inner   *nested
		List    []untagged
		ByName  map[string]tagged
		ByID    map[uint32]*untagged
		Raw     []byte
		Named   blob
		Fixed   [4]byte
		Any     any
		Anys    map[string]any
		Float   float64
		Small   int8
		Large   uint64
		Neg     int64
		Yes     bool
		Dropped string `msgpack:"-"`
		Encoded msgpack.RawMessage
	}
)

// roundTrip encodes v and decodes the bytes into a new value of its type.
func roundTrip[T any](t testing.TB, v T) T {
	t.Helper()
	b, err := Encode(nil, &v)
	if err != nil {
		t.Fatalf("encoding %+v: %v", v, err)
	}
	var got T
	if err := Decode(b, &got); err != nil {
		t.Fatalf("decoding %x: %v", b, err)
	}
	return got
}

func same[T any](v T) func(*testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		if got := roundTrip(t, v); !reflect.DeepEqual(got, v) {
			t.Errorf("%#v arrives as %#v", v, got)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 3, 4, 5, 6, 7, time.Local)
	full := nested{
		At: at, For: time.Hour, Inner: &nested{Neg: -1, At: at.Add(time.Hour)}, List: []untagged{{1, "x"}, {}},
		ByName: map[string]tagged{"": {A: -5}, "k": {B: "v"}}, ByID: map[uint32]*untagged{7: {Alpha: 1}, 8: nil},
		Raw: []byte{0, 1, 255}, Named: blob("n"), Fixed: [4]byte{1, 2, 3, 4}, Any: "text",
		Anys:  map[string]any{"n": int64(-1), "u": uint64(1 << 63), "s": "x", "f": 0.5, "b": true, "nil": nil, "l": []any{int64(1)}},
		Float: -math.MaxFloat64, Small: math.MinInt8, Large: math.MaxUint64, Neg: math.MinInt64, Yes: true,
		Encoded: msgpack.RawMessage{0x93, 1, 2, 3},
	}
	t.Run("msgpack tag", same(tagged{1, "b"}))
	t.Run("json tag", same(jsonTagged{1, "b"}))
	t.Run("no tag", same(untagged{1, "b"}))
	t.Run("full", same(full))
	t.Run("zero", same(nested{Encoded: msgpack.RawMessage{1}}))
	t.Run("map", same(map[string]int{"a": 1, "b": -1}))
	t.Run("map of any", same(map[string]any{"a": []any{"x", nil}}))
	t.Run("nil map", same(map[string]int(nil)))
	t.Run("pointer", same(&untagged{Alpha: 3}))
	t.Run("nil pointer", same((*untagged)(nil)))
	t.Run("slice", same([]string{"", "a"}))
	t.Run("named bytes", same(blob("abc")))
	t.Run("string", same("text"))
	t.Run("int", same(-42))
	t.Run("time with the hour 0xde in front", same(time.Unix(0xde000000, 0)))
	t.Run("time", same(time.Unix(1, 935_000_000)))
	t.Run("empty struct", same(struct{}{}))
	t.Run("bool", same(true))
}

// Both sides may tag their fields differently as long as the names agree.
func TestFieldNames(t *testing.T) {
	t.Parallel()
	b, err := Encode(nil, &tagged{A: 1, B: "b"})
	if err != nil {
		t.Fatal(err)
	}
	var j jsonTagged
	if err := Decode(b, &j); err != nil || j != (jsonTagged{1, "b"}) {
		t.Errorf("msgpack tags arrive by json tags as %+v, %v", j, err)
	}
	var u struct{ Alpha int }
	if err := Decode(b, &u); err != nil || u.Alpha != 0 {
		t.Errorf("field alpha arrives as Alpha: %+v, %v", u, err)
	}
	var m map[string]any
	if err := Decode(b, &m); err != nil || !reflect.DeepEqual(m, map[string]any{"alpha": int64(1), "beta": "b"}) {
		t.Errorf("as a map it is %v, %v", m, err)
	}
	if b, err = Encode(nil, &jsonTagged{A: 1}); err != nil {
		t.Fatal(err)
	}
	var short map[string]any
	if err := Decode(b, &short); err != nil || len(short) != 1 {
		t.Errorf("omitempty of a json tag gives %v, %v", short, err)
	}
}

func TestEncodeAppends(t *testing.T) {
	t.Parallel()
	buf := append(make([]byte, 0, 64), "head"...)
	got, err := Encode(buf, &untagged{Alpha: 1})
	if err != nil || !bytes.HasPrefix(got, []byte("head")) || &got[0] != &buf[0] {
		t.Errorf("Encode does not append in place: %q, %v", got, err)
	}
	var u untagged
	if err := Decode(got[4:], &u); err != nil || u.Alpha != 1 {
		t.Errorf("what was appended gives %+v, %v", u, err)
	}
	bad := struct{ C chan int }{make(chan int)}
	if got, err := Encode(buf, &bad); err == nil || string(got) != "head" {
		t.Errorf("a channel is encoded as %x, %v; want an error and the buffer as it was", got, err)
	}
}

// Bytes pass through unchanged, and the decoded copy has no memory in common
// with what it was decoded from, at every bound of the copying.
func TestRawPassesThrough(t *testing.T) {
	t.Parallel()
	spec := NewMethod[[]byte, []byte]("raw").Spec()
	for _, size := range []int{0, 1, 63, 64, 65, 487, 488, 489, 512, 4096, 1 << 20} {
		in := bytes.Repeat([]byte{0xc1}, size) // no msgpack at all
		b, err := spec.AppendRequest([]byte{7}, &in)
		if err != nil || len(b) != size+1 || !bytes.Equal(b[1:], in) {
			t.Fatalf("%d bytes are encoded as %d: %v", size, len(b), err)
		}
		frame := bytes.Clone(in)
		v, err := spec.DecodeReply(frame)
		if err != nil {
			t.Fatal(err)
		}
		out := *v.(*[]byte)
		clear(frame)
		if !bytes.Equal(out, in) {
			t.Errorf("%d bytes: the copy changed with the frame", size)
		}
		if out == nil || cap(out) != len(out) && size < 489 {
			t.Errorf("%d bytes: nil %v, capacity %d", size, out == nil, cap(out))
		}
		if grown := append(out, 9); size > 0 && len(out) == cap(out) && &grown[0] == &out[0] {
			t.Errorf("%d bytes: appending writes behind the copy", size)
		}
	}
}

func TestRawOfOtherTypes(t *testing.T) {
	t.Parallel()
	spec, err := Untyped("raw")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{nil, (*[]byte)(nil), new([]byte)} {
		if b, err := spec.AppendReply([]byte("x"), v); err != nil || string(b) != "x" {
			t.Errorf("%T is encoded as %q, %v; want nothing", v, b, err)
		}
	}
	for _, v := range []any{"text", []byte("no pointer"), &untagged{}, new(string)} {
		if b, err := spec.AppendReply([]byte("x"), v); err == nil || string(b) != "x" {
			t.Errorf("%T is encoded as %q, %v; want an error", v, b, err)
		}
	}
}

// What was decoded may be kept though the frame is used again.
func TestDecodedDoesNotAlias(t *testing.T) {
	t.Parallel()
	in := nested{
		Raw: []byte("raw bytes"), Named: blob("named"), Any: "any", Encoded: msgpack.RawMessage{0xa3, 'a', 'b', 'c'},
		List: []untagged{{Beta: "string"}}, Anys: map[string]any{"key": "value", "list": []any{"x"}},
	}
	b, err := Encode(nil, &in)
	if err != nil {
		t.Fatal(err)
	}
	var got nested
	if err := Decode(b, &got); err != nil {
		t.Fatal(err)
	}
	clear(b)
	if !reflect.DeepEqual(got, in) {
		t.Errorf("after the frame was used again it is %+v, want %+v", got, in)
	}
}

// moody panics on both ways.
type moody struct{ Why string }

func (moody) MarshalMsgpack() ([]byte, error) { panic("marshaller") }
func (*moody) UnmarshalMsgpack([]byte) error  { panic(errors.New("unmarshaller")) }

func TestPanickingMarshallers(t *testing.T) {
	t.Parallel()
	for range 3 { // what is pooled must work afterwards
		if b, err := Encode([]byte("x"), &moody{}); err == nil || string(b) != "x" {
			t.Errorf("encoded as %q, %v", b, err)
		}
		if err := Decode([]byte{0xc3}, &moody{}); err == nil {
			t.Error("decoded")
		}
		var any map[any]any // a slice cannot be a key: the library panics
		if err := Decode([]byte{0x81, 0x91, 1, 1}, &any); err == nil {
			t.Errorf("a slice became a key: %v", any)
		}
		if got := roundTrip(t, untagged{1, "b"}); got != (untagged{1, "b"}) {
			t.Errorf("after a panic a value arrives as %+v", got)
		}
	}
}

func TestRoundTripProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := nested{
			At:  time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "sec"), rapid.Int64Range(0, 999_999_999).Draw(t, "nsec")),
			For: time.Duration(rapid.Int64().Draw(t, "for")), Raw: rapid.SliceOf(rapid.Byte()).Draw(t, "raw"),
			ByName: rapid.MapOf(rapid.String(), rapid.Custom(func(t *rapid.T) tagged {
				return tagged{rapid.Int().Draw(t, "a"), rapid.String().Draw(t, "b")}
			})).Draw(t, "by name"),
			Large: rapid.Uint64().Draw(t, "large"), Neg: rapid.Int64().Draw(t, "neg"), Float: rapid.Float64().Draw(t, "float"),
			Encoded: msgpack.RawMessage{1},
		}
		b, err := Encode(nil, &v)
		if err != nil {
			t.Fatal(err)
		}
		var got nested
		if err := Decode(b, &got); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if !reflect.DeepEqual(got, v) {
			t.Fatalf("%+v arrives as %+v", v, got)
		}
	})
}
