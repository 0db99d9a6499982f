package rpc

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/internal/pack"
	"github.com/meshnode/meshnode/internal/wire"
)

// typedCodec gives the codec of *T: the quick one of package pack if T
// qualifies, else the library's. That is decided when the codec is first used,
// not when the method is declared: a program may tell the library about its
// types in an init.
func typedCodec[T any]() codec {
	plan := sync.OnceValue(planFor[T])
	return codec{
		append: func(dst []byte, v any) ([]byte, error) {
			// An interceptor may have left something else there.
			if p, ok := v.(*T); ok && p != nil {
				if quick := plan(); quick != nil {
					return quick.Append(dst, p), nil
				}
			}
			return encode(dst, v)
		},
		decode: func(b []byte) (any, error) {
			if quick := plan(); quick != nil {
				v, err := quick.Decode(b)
				if err != nil {
					return nil, explain(b, v, err)
				}
				return v, nil
			}
			v := new(T)
			if err := decode(b, v); err != nil {
				return nil, err
			}
			return v, nil
		},
	}
}

// planFor gives nil if T does not qualify.
func planFor[T any]() *pack.Codec[T] {
	quick, err := pack.For[T](pack.Config{
		Tag: "msgpack", Fallback: fallbackTag, MaxDepth: MaxDepth, Agrees: agrees,
		Custom: []reflect.Type{
			reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.CustomDecoder](),
			reflect.TypeFor[msgpack.Marshaler](), reflect.TypeFor[msgpack.Unmarshaler](),
		},
	})
	if err != nil {
		return nil
	}
	return quick
}

// agrees tells whether the library turns v into these bytes and back. It does
// not if the program has registered another encoding of v's type, which cannot
// be seen otherwise.
func agrees(v reflect.Value, encoded []byte) (yes bool) {
	defer func() { _ = recover() }() // registered functions may panic: no
	e := encoders.New().(*encoder)
	e.enc.Reset(e)
	e.enc.UseCompactInts(true)
	e.enc.SetCustomStructTag(fallbackTag)
	if err := e.enc.EncodeValue(v); err != nil || string(e.buf) != string(encoded) {
		return false
	}
	d := decoders.New().(*decoder)
	d.in.Reset(encoded)
	d.dec.Reset(&d.in)
	d.dec.SetCustomStructTag(fallbackTag)
	back := reflect.New(v.Type()).Elem()
	return d.dec.DecodeValue(back) == nil && reflect.DeepEqual(back.Interface(), v.Interface())
}

// explain says why b is no encoding of v's type, as decode does: first of all,
// whether it is msgpack.
func explain(b []byte, v any, err error) error {
	if err := wire.Scan(b, MaxDepth); err != nil {
		return fmt.Errorf("body is no valid msgpack: %w", err)
	}
	return fmt.Errorf("body does not fit %T: %w", v, err)
}
