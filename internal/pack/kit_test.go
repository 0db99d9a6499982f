package pack

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"github.com/meshnode/meshnode/internal/wire"
)

const maxDepth = 64

type (
	name  string
	blob  []byte
	small int8
	flag  bool
	flat  struct {
		ID    uint64 `msgpack:"id"`
		Name  string `msgpack:"n" json:"wrong"`
		Score float64
		Data  []byte `json:"data"`
		On    bool
		For   time.Duration
	}
	numbers struct {
		I   int
		I8  int8
		I16 int16
		I32 int32
		I64 int64
		U   uint
		U8  uint8
		U16 uint16
		U32 uint32
		U64 uint64
		F32 float32
		F64 float64
	}
	nest struct {
		Inner  flat
		Ptr    *flat
		PtrPtr **int
		List   []flat
		Ptrs   []*numbers
		Lists  [][]int
		Fixed  [3]int16
		Hash   [4]byte
		Names  []string
		Named  []name
		Empty  []struct{}
		None   struct{}
		Blobs  []blob
		hidden int
		Left   chan int `msgpack:"-"`
	}
	maps struct {
		Strings map[string]string
		Ints    map[string]int
		Flats   map[name]flat
		Bytes   map[int32][]byte
		Deep    map[uint8]map[string]string
		Lists   map[string][]string
		Ptrs    map[string]*flat
		Arrays  map[string][2]byte
		Named   map[string]name
	}
	omits struct {
		A int               `msgpack:"a,omitempty"`
		B string            `json:"b,omitempty"`
		C []byte            `json:",omitempty"`
		D *flat             `msgpack:",omitempty"`
		E struct{ X int }   `msgpack:",omitempty"`
		F inner             `msgpack:",omitempty"`
		G map[string]string `msgpack:",omitempty"`
		H map[string]int    `msgpack:",omitempty"`
		I [2]int            `msgpack:",omitempty"`
		J [0]int            `msgpack:",omitempty"`
		K float32           `msgpack:",omitempty"`
		L float64           `msgpack:",omitempty,string"`
		M bool              `msgpack:",omitempty"`
		N []int16           `msgpack:",omitempty"`
		O uint16            `msgpack:",omitempty"`
		P uint32            `msgpack:",omitempty"`
		Q []string          `msgpack:",omitempty"`
		R struct{}          `msgpack:",omitempty"`
		S int
		T [0]byte `msgpack:",omitempty"`
	}
	inner struct {
		X uint8 `msgpack:"x,omitempty"`
		Y *int  `msgpack:"y,omitempty"`
	}
)

// kit is what a test needs to know of a type: how both codecs decode it, and
// how a value is checked.
type kit struct {
	name   string
	ours   func(b []byte) (any, error)
	theirs func(b []byte) (any, error)
	check  func(t *rapid.T)
}

func codecOf[T any](t testing.TB) *Codec[T] {
	t.Helper()
	c, err := For[T](Config{Tag: "msgpack", Fallback: "json", MaxDepth: maxDepth})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func kitOf[T any](t testing.TB, draw *rapid.Generator[T]) kit {
	c := codecOf[T](t)
	return kit{
		name: reflect.TypeFor[T]().String(),
		ours: func(b []byte) (any, error) {
			v, err := c.Decode(b)
			if err != nil && v != nil {
				t.Errorf("%x gives both %v and %v", b, v, err)
			}
			return v, err
		},
		theirs: func(b []byte) (any, error) {
			v := new(T)
			return v, theirDecode(b, v)
		},
		check: func(t *rapid.T) {
			v := new(T)
			if !rapid.Bool().Draw(t, "zero") {
				*v = draw.Draw(t, "value")
			}
			checkValue(t, c, v)
		},
	}
}

// fataler is the part of testing.TB that rapid has as well.
type fataler interface{ Fatalf(string, ...any) }

// checkValue encodes and decodes v in all ways.
func checkValue[T any](t fataler, c *Codec[T], v *T) {
	want, err := theirEncode(v)
	if err != nil {
		t.Fatalf("the library cannot encode %+v: %v", v, err)
	}
	got := c.Append([]byte("head"), v)[4:]
	if !sameBytes(got, want) {
		t.Fatalf("%+v is encoded as\n%x, by the library as\n%x", v, got, want)
	}
	var reference T
	if err := theirDecode(got, &reference); err != nil {
		t.Fatalf("the library refuses %x: %v", got, err)
	}
	for _, b := range [][]byte{got, want} {
		in := bytes.Clone(b)
		back, err := c.Decode(in)
		clear(in)
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if !alike(reflect.ValueOf(*back), reflect.ValueOf(reference)) {
			t.Fatalf("%x arrives as\n%+v, by the library as\n%+v", b, *back, reference)
		}
	}
}

// sameBytes allows for the order of pairs in maps.
func sameBytes(a, b []byte) bool {
	if !bytes.Equal(a, b) {
		a, b = bytes.Clone(a), bytes.Clone(b)
		slices.Sort(a)
		slices.Sort(b)
	}
	return bytes.Equal(a, b)
}

func theirEncode(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := msgpack.NewEncoder(&buf)
	e.UseCompactInts(true)
	e.SetCustomStructTag("json")
	err := e.Encode(v)
	return buf.Bytes(), err
}

func theirDecode(b []byte, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panicked: %v", p)
		}
	}()
	if err := wire.Scan(b, maxDepth); err != nil {
		return err
	}
	d := msgpack.NewDecoder(bytes.NewReader(b))
	d.SetCustomStructTag("json")
	return d.Decode(v)
}

// alike is reflect.DeepEqual but for NaN, which is like itself.
func alike(a, b reflect.Value) bool {
	if a.IsValid() != b.IsValid() || a.IsValid() && a.Type() != b.Type() {
		return false
	}
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		x, y := a.Float(), b.Float()
		return math.IsNaN(x) && math.IsNaN(y) || math.Float64bits(x) == math.Float64bits(y)
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() || a.Kind() == reflect.Slice && a.IsNil() != b.IsNil() {
			return false
		}
		for i := range a.Len() {
			if !alike(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() || a.IsNil() != b.IsNil() {
			return false
		}
		for _, k := range a.MapKeys() {
			if !alike(a.MapIndex(k), b.MapIndex(k)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		for i := range a.NumField() {
			if !alike(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return alike(a.Elem(), b.Elem())
	default:
		return a.Equal(b)
	}
}

// nests draws what rapid.Make can't, because of the hidden field.
func nests() *rapid.Generator[nest] {
	return rapid.Custom(func(t *rapid.T) nest {
		return nest{
			Inner: rapid.Make[flat]().Draw(t, "inner"), Ptr: rapid.Make[*flat]().Draw(t, "ptr"),
			PtrPtr: rapid.Make[**int]().Draw(t, "ptrptr"), List: rapid.Make[[]flat]().Draw(t, "list"),
			Ptrs: rapid.Make[[]*numbers]().Draw(t, "ptrs"), Lists: rapid.Make[[][]int]().Draw(t, "lists"),
			Fixed: rapid.Make[[3]int16]().Draw(t, "fixed"), Hash: rapid.Make[[4]byte]().Draw(t, "hash"),
			Names: rapid.Make[[]string]().Draw(t, "names"), Named: rapid.Make[[]name]().Draw(t, "named"),
			Empty: make([]struct{}, rapid.IntRange(0, 3).Draw(t, "empty")), Blobs: rapid.Make[[]blob]().Draw(t, "blobs"),
			hidden: 1, Left: make(chan int), // not encoded
		}
	})
}

func kits(t testing.TB) []kit {
	return []kit{
		kitOf(t, rapid.Make[flat]()), kitOf(t, rapid.Make[numbers]()), kitOf(t, nests()), kitOf(t, rapid.Make[maps]()),
		kitOf(t, rapid.Make[omits]()), kitOf(t, rapid.Make[*flat]()), kitOf(t, rapid.Make[[]flat]()),
		kitOf(t, rapid.Make[[]string]()), kitOf(t, rapid.Make[map[string]string]()), kitOf(t, rapid.Make[map[string]inner]()),
		kitOf(t, rapid.Make[map[int]bool]()), kitOf(t, rapid.Make[blob]()), kitOf(t, rapid.Make[string]()),
		kitOf(t, rapid.Make[int8]()), kitOf(t, rapid.Make[small]()), kitOf(t, rapid.Make[uint32]()),
		kitOf(t, rapid.Make[float32]()), kitOf(t, rapid.Make[float64]()), kitOf(t, rapid.Make[flag]()),
		kitOf(t, rapid.Make[time.Duration]()), kitOf(t, rapid.Make[[3]name]()), kitOf(t, rapid.Make[[5]byte]()),
		kitOf(t, rapid.Just(struct{}{})), kitOf(t, rapid.Make[[][]string]()), kitOf(t, rapid.Make[[]map[string][]inner]()),
	}
}
