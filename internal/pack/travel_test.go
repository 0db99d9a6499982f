package pack

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/meshnode/meshnode/internal/wire"
)

// cannotTravel checks what is said of a type, when it is declared and when it is
// used.
func cannotTravel[T any](t *testing.T, want string) {
	t.Helper()
	ts := newTypes()
	if err := ts.Check(reflect.TypeFor[T]()); err == nil || err.Error() != want {
		t.Errorf("%v: %v, want %q", reflect.TypeFor[T](), err, want)
	}
	if _, err := For[T](ts); err == nil || err.Error() != want {
		t.Errorf("%v: used, %v, want %q", reflect.TypeFor[T](), err, want)
	}
	var v T
	if _, err := ts.Append(nil, any(&v), room()); err == nil || err.Error() != want {
		t.Errorf("%v: encoded, %v, want %q", reflect.TypeFor[T](), err, want)
	}
	if err := ts.Decode([]byte{0xc0}, &v); err == nil || err.Error() != want {
		t.Errorf("%v: decoded, %v, want %q", reflect.TypeFor[T](), err, want)
	}
}

type (
	endless  *endless
	withFunc struct {
		Items []struct{ Done func() }
	}
	twice struct {
		A int
		B int `msgpack:"A"`
	}
	left struct {
		ID int
	}
	right struct {
		ID int
	}
	ambiguous struct {
		left
		right
	}
	selfWithChan struct {
		Next *selfWithChan
		C    chan int
	}
	halfChan struct{ C chan int } // can be encoded by its own method, and no more
)

func (halfChan) MarshalText() ([]byte, error) { return []byte("chan"), nil }

func TestCannotTravel(t *testing.T) {
	t.Parallel()
	cannotTravel[func()](t, "func cannot travel")
	cannotTravel[withFunc](t, "Items[].Done: func cannot travel")
	cannotTravel[struct{ M map[string]chan int }](t, "M[]: chan cannot travel")
	cannotTravel[struct{ P **complex64 }](t, "P: complex64 cannot travel")
	cannotTravel[[2]complex128](t, "[]: complex128 cannot travel")
	cannotTravel[struct{ U unsafe.Pointer }](t, "U: unsafe.Pointer cannot travel")
	cannotTravel[struct{ E endless }](t, "E: a pointer to itself cannot travel")
	cannotTravel[map[*int]int](t, "a map with keys of type *int cannot travel")
	cannotTravel[struct{ M map[struct{ P *int }]int }](t, "M: a map with keys of type struct { P *int } cannot travel")
	cannotTravel[map[chan int]int](t, "[key]: chan cannot travel")
	cannotTravel[twice](t, `the fields B and A have one name, "A"`)
	cannotTravel[struct{ In []twice }](t, `In[]: the fields B and A have one name, "A"`)
	cannotTravel[ambiguous](t, `the fields left.ID and right.ID have one name, "ID"`)
	cannotTravel[selfWithChan](t, "C: chan cannot travel")
	cannotTravel[struct {
		A int `msgpack:"'a"`
	}](t, "A: its tag has a quote without an end: 'a")
}

// What is left out, hidden or encodes itself may be of any kind.
func TestCanTravel(t *testing.T) {
	t.Parallel()
	type fine struct {
		left
		Skipped  func() `msgpack:"-"`
		Also     func() `json:"-"`
		hidden   chan int
		Half     halfChan
		ID       string // hides left's
		List     []fine
		Iface    fmt.Stringer
		Err      error
		Any      any
		Addr     map[netip.Addr]uintptr
		AnyKey   map[any]int
		Times    map[time.Time]int
		Text     encoding.TextMarshaler
		Arrays   map[[2]struct{ X bool }]float32
		_        int
		Duration time.Duration
	}
	ts := newTypes()
	if err := ts.Check(reflect.TypeFor[fine]()); err != nil {
		t.Error(err)
	}
	v := fine{hidden: nil, Err: errors.New("a text"), Iface: netip.IPv4Unspecified()}
	b, err := ts.Append(nil, &v, room())
	if err != nil {
		t.Fatal(err)
	}
	var back fine
	err = ts.Decode(b, &back)
	var at *PathError
	if !errors.As(err, &at) || at.Path() != "Half" {
		t.Errorf("half a type that encodes itself: %v", err)
	}
	if err := ts.Decode([]byte("\x82\xa3Err\xa1x\xa5Iface\xc0"), &back); err != nil || back.Err.Error() != "x" {
		t.Errorf("%v, %v", back.Err, err)
	}
	if err := ts.Decode([]byte("\x81\xa5Iface\xa1x"), &back); err == nil || err.Error() != "Iface: a string, which is no fmt.Stringer" {
		t.Error(err)
	}
}

// Values in an any are looked at when they are encoded.
func TestCannotTravelInAny(t *testing.T) {
	t.Parallel()
	ts := newTypes()
	for _, c := range []struct {
		v    any
		want string
	}{
		{map[string]any{"x": []any{1, func() {}}}, `["x"][1]: func cannot travel`},
		{struct{ A any }{withFunc{}}, "A.Items[].Done: func cannot travel"},
		{map[any]any{5: make(chan int)}, "[5]: chan cannot travel"},
		{&struct{ List []any }{[]any{nil, complex(1, 2)}}, "List[1]: complex128 cannot travel"},
		{map[string]any{strings.Repeat("k", 100): func() {}}, `["` + strings.Repeat("k", 40) + `"]: func cannot travel`},
	} {
		if _, err := ts.Append(nil, c.v, room()); err == nil || err.Error() != c.want {
			t.Errorf("%T: %v, want %q", c.v, err, c.want)
		}
	}
}

type (
	node1 struct{ Next *node1 }
	rings struct {
		A any
		L []any
		M map[string]any
	}
	branch []branch
)

// refused checks that a value is refused in bounded memory.
func refused(t *testing.T, what string, v any, want error) {
	t.Helper()
	ts := newTypes()
	_, _ = ts.Append(nil, new(node1), room()) // what types cost is another matter
	_, _ = ts.Append(nil, []any{map[string]any{}}, room())
	var err error
	const limit = 64 << 10
	used := allocated(func() { _, err = ts.Append(nil, v, Bounds{Size: limit}) })
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
	if used > 16*limit {
		t.Errorf("%s takes %d bytes to refuse", what, used)
	}
}

// Values that lead to themselves, or grow beyond all bounds while they are
// encoded. Not parallel: it measures what the process allocates.
func TestEndlessValues(t *testing.T) {
	ring := &node1{}
	ring.Next = ring
	refused(t, "a ring", ring, wire.ErrTooDeep)
	chainOf := &node1{}
	for range 3_000_000 {
		chainOf = &node1{chainOf}
	}
	refused(t, "a list of 3 million", chainOf, wire.ErrTooDeep)
	m := map[string]any{}
	m["m"] = m
	refused(t, "a map in itself", m, wire.ErrTooDeep)
	refused(t, "a map in itself, in a struct", &rings{M: m}, wire.ErrTooDeep)
	l := make([]any, 1)
	l[0] = l
	refused(t, "a slice in itself", l, wire.ErrTooDeep)
	var a any
	a = &a
	refused(t, "an any that points to itself", a, wire.ErrTooDeep)
	b := branch{nil}
	b[0] = b
	refused(t, "a slice of its own type in itself", b, wire.ErrTooDeep)
	wide := []any{"x"}
	for range 60 {
		wide = []any{wide, wide}
	}
	refused(t, "2^60 strings", wide, wire.ErrTooLarge)
	refused(t, "2^40 structs without memory", make([]struct{}, 1<<40), wire.ErrTooLarge)
	refused(t, "2^40 of them in an array", &[1 << 40]struct{}{}, wire.ErrTooLarge)
	long := strings.Repeat("x", 1<<10)
	many := make([]string, 1<<12)
	maps := make([]map[string]string, 1<<12)
	ptrs := make([]*string, 1<<12)
	lists := make([][]string, 1<<12)
	for i := range many {
		many[i], maps[i], ptrs[i], lists[i] = long, map[string]string{long: long}, &long, many
	}
	refused(t, "many times one string", many, wire.ErrTooLarge)
	refused(t, "many maps of one string", maps, wire.ErrTooLarge)
	refused(t, "many pointers to one string", ptrs, wire.ErrTooLarge)
	refused(t, "many times one list", lists, wire.ErrTooLarge)
	refused(t, "many lists in a struct", &struct{ L [][]string }{lists}, wire.ErrTooLarge)
}

// What is as deep as allowed arrives, and no deeper is sent, in all the ways that
// a value can be deep.
func TestDeepValues(t *testing.T) {
	t.Parallel()
	ts := newTypes()
	lists := func(n int) any {
		var v any
		for range n {
			v = []any{v}
		}
		return v
	}
	objects := func(n int) any {
		var v any = 1
		for range n {
			v = map[string]any{"x": v}
		}
		return v
	}
	nodes := func(n int) any {
		v := &node1{} // a level itself
		for range n - 1 {
			v = &node1{v}
		}
		return v
	}
	branches := func(n int) any {
		v := branch{} // none, because it is empty
		for range n {
			v = branch{v}
		}
		return v
	}
	inTyped := func(n int) any {
		return struct{ L map[int][]any }{map[int][]any{1: {lists(n - 3)}}}
	}
	for i, of := range []func(int) any{lists, objects, nodes, branches, inTyped} {
		v := of(maxDepth)
		b, err := ts.Append(nil, v, room())
		if err != nil {
			t.Errorf("%d: as deep as allowed: %v", i, err)
		}
		if err := wire.Scan(b, maxDepth); err != nil {
			t.Errorf("%d: as deep as allowed: %v", i, err)
		}
		back := reflect.New(reflect.TypeOf(v))
		if err := ts.Decode(b, back.Interface()); err != nil {
			t.Errorf("%d: as deep as allowed: %v", i, err)
		}
		if _, err := ts.Append(nil, of(maxDepth+1), room()); !errors.Is(err, wire.ErrTooDeep) {
			t.Errorf("%d: one level more: %v", i, err)
		}
	}
}

// A bound of n bytes is one of exactly n, for plain types and others.
func TestSizeBound(t *testing.T) {
	t.Parallel()
	ts := newTypes()
	for _, v := range []any{
		&flat{Name: strings.Repeat("x", 300)}, &chain{Next: &chain{N: 5}},
		[]string{"a", "b", strings.Repeat("c", 40)},
		map[string]any{"k": []any{1, "x", math.Pi}},
		"text", []byte("bytes"),
		map[string]string{"a": "b"},
		1 << 40, time.Unix(1<<40, 1),
		&standards{},
	} {
		b, err := ts.Append(nil, v, room())
		if err != nil {
			t.Fatal(err)
		}
		head := []byte("head")
		if got, err := ts.Append(head, v, Bounds{Size: len(b)}); err != nil || len(got) != len(b)+4 {
			t.Errorf("%T: %d bytes, %v, want %d", v, len(got), err, len(b))
		}
		for _, less := range []int{1, len(b) / 2, len(b) - 1} {
			if got, err := ts.Append(head, v, Bounds{Size: less}); !errors.Is(err, wire.ErrTooLarge) || string(got) != "head" {
				t.Errorf("%T of %d bytes within %d: %q, %v", v, len(b), less, got, err)
			}
		}
	}
}
