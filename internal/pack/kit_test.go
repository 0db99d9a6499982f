package pack

import (
	"bytes"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
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

type (
	// chain contains itself in three ways.
	chain struct {
		Next *chain            `msgpack:"next,omitempty"`
		List []chain           `json:"list"`
		By   map[string]*chain `msgpack:",omitempty"`
		N    int
	}
	// embeds has fields of others as its own.
	embeds struct {
		Base
		*Extra
		Own int
	}
	Base struct {
		ID   int `msgpack:"id"`
		Name string
	}
	Extra struct {
		Note string
		Deep
	}
	Deep struct{ Level int8 }
	// anything holds values whose types are not known.
	anything struct {
		Any   any            `msgpack:"A"`
		Named map[string]any `msgpack:"B,omitempty"`
		Keyed map[any]any
		List  []any
	}
	moment struct {
		At  time.Time  `msgpack:"A"`
		Ptr *time.Time `msgpack:"B,omitempty"`
	}
	standards struct {
		Addr netip.Addr       `msgpack:"A"`
		Big  big.Int          `msgpack:"B"`
		Net  *netip.Prefix    `msgpack:"C"`
		Port []netip.AddrPort `msgpack:"D,omitempty"`
	}
)

func chains() *rapid.Generator[chain] {
	var of func(depth int) *rapid.Generator[chain]
	of = func(depth int) *rapid.Generator[chain] {
		return rapid.Custom(func(t *rapid.T) chain {
			c := chain{N: rapid.Int().Draw(t, "n")}
			if depth == 0 {
				return c
			}
			if rapid.Bool().Draw(t, "more") {
				next := of(depth-1).Draw(t, "next")
				c.Next = &next
				c.By = map[string]*chain{"x": nil, "y": &next}
			}
			c.List = rapid.SliceOfN(of(depth-1), -1, 2).Draw(t, "list")
			return c
		})
	}
	return of(3)
}

// anyValues draws values of the types that stand for their kinds.
func anyValues(depth int) *rapid.Generator[any] {
	simple := rapid.OneOf(
		rapid.Just[any](nil), rapid.Int64().AsAny(), rapid.Float64().AsAny(), rapid.String().AsAny(), rapid.Bool().AsAny(),
		rapid.SliceOf(rapid.Byte()).AsAny(), rapid.Uint64Min(1<<63).AsAny(), rapid.Uint8().AsAny(), rapid.Just[any](name("named")),
		rapid.Just[any](time.Unix(1<<40, 5)), rapid.Make[flat]().AsAny(), rapid.Just[any](map[int]string{1: "x", -1: "y"}),
	)
	if depth == 0 {
		return simple
	}
	return rapid.OneOf(
		simple, rapid.SliceOfN(anyValues(depth-1), -1, 3).AsAny(),
		rapid.MapOfN(rapid.String(), anyValues(depth-1), -1, 3).AsAny(),
		rapid.MapOfN(rapid.OneOf(rapid.Int64().AsAny(), rapid.String().AsAny()), anyValues(depth-1), -1, 3).AsAny(),
	)
}

func anyThings() *rapid.Generator[anything] {
	return rapid.Custom(func(t *rapid.T) anything {
		return anything{
			Any: anyValues(3).Draw(t, "any"), Named: rapid.MapOfN(rapid.String(), anyValues(2), -1, 3).Draw(t, "named"),
			Keyed: rapid.MapOfN(rapid.OneOf(rapid.Bool().AsAny(), rapid.Int8().AsAny()), anyValues(1), -1, 3).Draw(t, "keyed"),
			List:  rapid.SliceOfN(anyValues(2), -1, 3).Draw(t, "list"),
		}
	})
}

func moments() *rapid.Generator[moment] {
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64().Draw(t, "sec"), rapid.Int64Range(0, 999_999_999).Draw(t, "nsec"))
	})
	return rapid.Custom(func(t *rapid.T) moment { return moment{At: at.Draw(t, "at"), Ptr: rapid.Ptr(at, true).Draw(t, "ptr")} })
}

// kit is what a test needs to know of a type: how the codec and the model decode
// it, and how a value is checked.
type kit struct {
	name  string
	ours  func(b []byte) (any, error)
	model func(b []byte) (any, error)
	check func(t *rapid.T)
}

func newTypes() *Types { return New(Config{Tag: "msgpack", Fallback: "json", MaxDepth: maxDepth}) }

// room is bounds that nothing here exceeds.
func room() Bounds { return Bounds{Size: 1 << 28} }

// encoded is the encoding of a value that can be encoded.
func encoded[T any](t fataler, c *Codec[T], dst []byte, v *T) []byte {
	b, err := c.Append(dst, v, room())
	if err != nil {
		t.Fatalf("%+v: %v", v, err)
	}
	return b
}

func codecOf[T any](t testing.TB) *Codec[T] {
	t.Helper()
	c, err := For[T](newTypes())
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
		model: func(b []byte) (any, error) {
			v := new(T)
			return v, modelDecode(b, v)
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

// checkValue encodes and decodes v in all ways. A value that is the library's to
// encode too is the same bytes there, unless it leaves out other fields.
func checkValue[T any](t fataler, c *Codec[T], v *T) {
	got := encoded(t, c, []byte("head"), v)[4:]
	slow, err := c.types.Append(nil, v, Bounds{Size: 1 << 28, Sorted: true})
	if err != nil || !sameBytes(slow, got) {
		t.Fatalf("%+v is encoded as\n%x, sorted as\n%x, %v", v, got, slow, err)
	}
	if !c.root.differs() {
		want, err := theirEncode(v)
		if err != nil {
			t.Fatalf("the library cannot encode %+v: %v", v, err)
		}
		if !sameBytes(got, want) {
			t.Fatalf("%+v is encoded as\n%x, by the library as\n%x", v, got, want)
		}
	}
	reference := new(T)
	if err := modelDecode(got, reference); err != nil {
		t.Fatalf("the model refuses %x: %v", got, err)
	}
	for _, b := range [][]byte{got, slow} {
		in := bytes.Clone(b)
		back, err := c.Decode(in)
		clear(in)
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if !alike(reflect.ValueOf(*back), reflect.ValueOf(*reference)) {
			t.Fatalf("%x arrives as\n%+v, in the model as\n%+v", b, *back, *reference)
		}
	}
}

// differs reports whether the library encodes some values of the type otherwise.
func (n *node) differs() bool {
	return n.omits || !n.plain || n.elem != nil && n.elem.differs() ||
		slices.ContainsFunc(n.fields, func(f field) bool { return f.differs() })
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
		if a.CanInterface() && a.Comparable() && a.Type().PkgPath() != reflect.TypeFor[flat]().PkgPath() {
			if at, ok := a.Interface().(time.Time); ok {
				return at.Equal(b.Interface().(time.Time))
			}
			return a.Equal(b)
		}
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
	case reflect.Interface:
		return a.IsNil() == b.IsNil() && (a.IsNil() || alike(a.Elem(), b.Elem()))
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
		kitOf(t, chains()), kitOf(t, rapid.Make[embeds]()), kitOf(t, anyThings()), kitOf(t, moments()),
		kitOf(t, rapid.Just(standards{})), kitOf(t, rapid.Just([]netip.Addr(nil))), kitOf(t, rapid.Make[map[bool][2]string]()),
		kitOf(t, rapid.Make[map[[2]int8]float64]()), kitOf(t, rapid.Just(map[netip.Addr]int(nil))),
	}
}
