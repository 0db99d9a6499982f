package rpc

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
)

// Registered implements pack.Library. The library does not say what it was told,
// so it is watched: does it treat a zero value of t otherwise than one of a type
// that is the same but has no name?
func (library) Registered(t reflect.Type) bool {
	if marshaller(t) {
		return probe(t, false) != marshalled(t)
	}
	plain, ok := nameless(t)
	switch {
	case !ok: // an array is what a struct becomes if the library decides
		head := probe(t, true)
		return head == "" || (head[0] < 0x90 || head[0] >= 0xa0) && head[0] != 0xdc && head[0] != 0xdd
	case plain == t:
		return false
	}
	got, want := watch(t), watch(plain)
	if unmarshaller(t) {
		return got.encoded != want.encoded
	}
	return got != want
}

// observation is what the library makes of a type.
type observation struct {
	encoded string    // of a zero value; "error: " and more if it refuses
	decoded [3]string // how it refuses odd input; empty: it takes it
}

func watch(t reflect.Type) observation {
	o := observation{encoded: probe(t, false)}
	for i, b := range [...]byte{0x01, 0xc0, 0x80} {
		if err := probeDecode(t, b); err != nil {
			o.decoded[i] = textOf(err)
		}
	}
	return o
}

// textOf is an error's text without the name of a type, which differs in any case.
func textOf(err error) string {
	text, _, _ := strings.Cut(err.Error(), "(unsupported ")
	return text
}

// probeMost is how much of a value's encoding is looked at, in bytes.
const probeMost = 4 << 10

// short is a writer that takes no more than probeMost bytes.
type short struct{ buf []byte }

var errShort = errors.New("that is enough")

func (s *short) Write(b []byte) (int, error) {
	if len(s.buf)+len(b) > probeMost {
		return 0, errShort
	}
	s.buf = append(s.buf, b...)
	return len(b), nil
}

// probe returns how the library encodes a zero value.
func probe(t reflect.Type, arrays bool) (encoded string) {
	var s short
	defer func() {
		if p := recover(); p != nil { // registered functions may panic
			encoded = "error: panic"
		}
	}()
	e := msgpack.NewEncoder(&s)
	e.UseCompactInts(true)
	e.UseArrayEncodedStructs(arrays)
	e.SetCustomStructTag(fallbackTag)
	if err := e.EncodeValue(reflect.New(t).Elem()); err != nil && !errors.Is(err, errShort) {
		return "error: " + textOf(err)
	}
	return string(s.buf)
}

func probeDecode(t reflect.Type, b byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	d := msgpack.NewDecoder(strings.NewReader(string([]byte{b})))
	d.SetCustomStructTag(fallbackTag)
	return d.DecodeValue(reflect.New(t).Elem())
}

// marshaller and unmarshaller report whether the library finds methods of package
// encoding.
func marshaller(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[encoding.BinaryMarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

func unmarshaller(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[encoding.BinaryUnmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// marshalled returns what the library makes of such a type if it was told
// nothing about it.
func marshalled(t reflect.Type) (encoded string) {
	defer func() {
		if p := recover(); p != nil {
			encoded = "error: panic"
		}
	}()
	v := reflect.New(t)
	if k := t.Kind(); (k == reflect.Map || k == reflect.Slice || k == reflect.Func || k == reflect.Chan) && v.Elem().IsNil() {
		return "\xc0"
	}
	var b []byte
	var err error
	if m, ok := v.Interface().(encoding.BinaryMarshaler); ok {
		b, err = m.MarshalBinary()
	} else {
		b, err = v.Interface().(encoding.TextMarshaler).MarshalText()
	}
	if err != nil {
		return "error: " + textOf(err)
	}
	return binOf(b)
}

// binOf is b as the library encodes it.
func binOf(b []byte) string {
	var s short
	_ = msgpack.NewEncoder(&s).EncodeBytes(b) // more than is looked at is left out here as there
	return string(s.buf)
}

// nameless returns a type like t that nobody can have registered; false: there is
// none, for some structs.
func nameless(t reflect.Type) (like reflect.Type, ok bool) {
	defer func() {
		if recover() != nil { // not every struct can be made
			like, ok = nil, false
		}
	}()
	switch t.Kind() {
	case reflect.Struct:
		var fields []reflect.StructField
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous {
				return nil, false
			}
			if f.IsExported() || f.Name == "_msgpack" {
				f.Index, f.Offset = nil, 0
				fields = append(fields, f)
			}
		}
		return reflect.StructOf(fields), true
	case reflect.Slice:
		return reflect.SliceOf(t.Elem()), true
	case reflect.Array:
		return reflect.ArrayOf(t.Len(), t.Elem()), true
	case reflect.Map:
		return reflect.MapOf(t.Key(), t.Elem()), true
	case reflect.Chan:
		return reflect.ChanOf(t.ChanDir(), t.Elem()), true
	case reflect.Func:
		return reflect.TypeFor[func()](), true
	}
	return basic(t.Kind()), true
}

func basic(k reflect.Kind) reflect.Type {
	return map[reflect.Kind]reflect.Type{
		reflect.Bool: reflect.TypeFor[bool](), reflect.String: reflect.TypeFor[string](),
		reflect.Int: reflect.TypeFor[int](), reflect.Int8: reflect.TypeFor[int8](), reflect.Int16: reflect.TypeFor[int16](),
		reflect.Int32: reflect.TypeFor[int32](), reflect.Int64: reflect.TypeFor[int64](),
		reflect.Uint: reflect.TypeFor[uint](), reflect.Uint8: reflect.TypeFor[uint8](), reflect.Uint16: reflect.TypeFor[uint16](),
		reflect.Uint32: reflect.TypeFor[uint32](), reflect.Uint64: reflect.TypeFor[uint64](), reflect.Uintptr: reflect.TypeFor[uintptr](),
		reflect.Float32: reflect.TypeFor[float32](), reflect.Float64: reflect.TypeFor[float64](),
		reflect.Complex64: reflect.TypeFor[complex64](), reflect.Complex128: reflect.TypeFor[complex128](),
		reflect.UnsafePointer: reflect.TypeFor[complex128](), // as little as that
	}[k]
}
