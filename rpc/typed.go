package rpc

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/meshnode/meshnode/internal/pack"
)

// types holds the plans of all types that are encoded and decoded.
var types = sync.OnceValue(func() *pack.Types {
	return pack.New(pack.Config{Tag: "msgpack", Fallback: fallbackTag, MaxDepth: MaxDepth, Library: library{}})
})

// typed is the codec of one type with what its first use found out.
type typed[T any] struct {
	codec *pack.Codec[T]
	err   error // why there is none
}

// typedCodec returns the codec of *T. Its plan is made when it is first used, not
// when the method is declared: a program may tell the msgpack library about its
// types in an init.
func typedCodec[T any]() codec {
	plan := sync.OnceValue(func() typed[T] {
		c, err := pack.For[T](types())
		return typed[T]{c, err}
	})
	return codec{
		append: func(dst []byte, v any, b pack.Bounds) ([]byte, error) {
			// An interceptor may have left something else there.
			p, ok := v.(*T)
			if !ok || p == nil {
				return encode(dst, v, b)
			}
			if t := plan(); t.err == nil {
				return t.append(dst, p, b)
			}
			return encode(dst, v, b)
		},
		decode: func(b []byte) (any, error) {
			t := plan()
			if t.err != nil {
				return nil, fmt.Errorf("%v: %w", reflect.TypeFor[T](), t.err)
			}
			v, err := t.decode(b)
			if err != nil {
				return nil, err
			}
			return v, nil
		},
	}
}

func (t *typed[T]) append(dst []byte, v *T, b pack.Bounds) ([]byte, error) {
	if !t.codec.Plain() {
		return t.guardedAppend(dst, v, b)
	}
	out, err := t.codec.Append(dst, v, b)
	if err != nil {
		return dst, encodeError(v, b, err)
	}
	return out, nil
}

// guardedAppend is append for types whose own methods may panic.
func (t *typed[T]) guardedAppend(dst []byte, v *T, b pack.Bounds) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = dst, encodePanic(v, p)
		}
	}()
	if out, err = t.codec.Append(dst, v, b); err != nil {
		return dst, encodeError(v, b, err)
	}
	return out, nil
}

func (t *typed[T]) decode(b []byte) (*T, error) {
	if !t.codec.Plain() {
		return t.guardedDecode(b)
	}
	v, err := t.codec.Decode(b)
	if err != nil {
		return nil, explain(b, v, err)
	}
	return v, nil
}

// guardedDecode is decode for types whose own methods may panic.
func (t *typed[T]) guardedDecode(b []byte) (v *T, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("decoding %s panicked: %v", typeName(v), p)
		}
	}()
	if v, err = t.codec.Decode(b); err != nil {
		return nil, explain(b, v, err)
	}
	return v, nil
}

// mustTravel panics if values of T cannot travel, as a bad name does.
func mustTravel[T any](method, role string) {
	t := reflect.TypeFor[T]()
	err := types().Check(t)
	if err == nil {
		return
	}
	name := t.Name()
	if name == "" {
		name = t.String()
	}
	field := ""
	if _, ok := err.(*pack.PathError); ok {
		field = "field "
	}
	panic(fmt.Sprintf("rpc: %s: %s type %s: %s%v", method, role, name, field, err))
}
