package pack

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"unsafe"

	"github.com/meshnode/meshnode/internal/wire"
)

// held reads a value into an interface.
func (r *reader) held(n *node, p unsafe.Pointer) error {
	if n.op == opAny {
		return r.any((*any)(p))
	}
	v := reflect.NewAt(n.typ, p).Elem()
	value, err := r.anything()
	if err != nil {
		return err
	}
	switch {
	case value == nil:
		v.SetZero()
	case n.op == opError:
		text, ok := value.(string)
		if !ok {
			return fmt.Errorf("a %T where the text of an error goes", value)
		}
		*(*error)(p) = errors.New(text)
	case !reflect.TypeOf(value).Implements(n.typ):
		return fmt.Errorf("a %T, which is no %v", value, n.typ)
	default:
		v.Set(reflect.ValueOf(value))
	}
	return nil
}

// any reads into an any. One that holds a pointer has the value put there.
func (r *reader) any(p *any) error {
	if *p != nil && r.pos < len(r.buf) && r.buf[r.pos] != 0xc0 {
		if held := reflect.ValueOf(*p); held.Kind() == reflect.Pointer && !held.IsNil() {
			to, err := r.types.node(held.Type().Elem())
			if err != nil {
				return err
			}
			return r.decode(to, held.UnsafePointer())
		}
	}
	value, err := r.anything()
	if err == nil {
		*p = value
	}
	return err
}

// named reports whether a map is a map[string]any.
func (n *node) named() bool {
	return n.elem.op == opAny && n.typ.Key() == reflect.TypeFor[string]()
}

// object reads a map[string]any.
func (r *reader) object(p *map[string]any) error {
	count, err := r.mapping()
	if err != nil {
		return err
	}
	if count == none {
		*p = nil
		return nil
	}
	if *p == nil {
		*p = make(map[string]any, count)
	}
	if count == 0 {
		return nil
	}
	if err := r.open(); err != nil {
		return err
	}
	r.owed += 2 * count
	for range count {
		r.owed--
		key, err := r.string()
		if err != nil {
			return at(err, "[key]")
		}
		r.owed--
		if (*p)[key], err = r.anything(); err != nil {
			return atKey(err, key)
		}
	}
	r.depth--
	return nil
}

// anything reads a value of any kind as the type that stands for the kind: nil,
// bool, int64 (uint64 beyond), float64, string, []byte, []any, map[string]any
// (map[any]any if a key is no string), time.Time, or what the program has
// registered for an extension.
func (r *reader) anything() (any, error) {
	c, err := r.code()
	if err != nil {
		return nil, err
	}
	switch {
	case c < 0x80 || c >= 0xe0:
		return int64(int8(c)), nil
	case isMap(c):
		return r.anyMap(c)
	case c < 0xa0 || c == 0xdc || c == 0xdd:
		return r.anyList(c)
	case c < 0xc0 || c >= 0xd9 && c <= 0xdb:
		r.pos--
		return r.string()
	case c >= 0xc4 && c <= 0xc6:
		r.pos--
		var b []byte
		err := r.bytes(&b)
		return b, err
	case isExt(c):
		r.pos--
		return r.extension()
	}
	switch c {
	case 0xc0:
		return nil, nil
	case 0xc2, 0xc3:
		return c == 0xc3, nil
	case 0xca, 0xcb:
		f, err := r.floating(c)
		return f, err
	case 0xc1:
		return nil, wire.ErrMalformed
	}
	v, neg, err := r.wide(c, "a value")
	if !neg && v > math.MaxInt64 {
		return v, err
	}
	return int64(v), err
}

func (r *reader) anyList(c byte) (any, error) {
	count, err := r.arrayOf(c, "an array")
	if err != nil {
		return nil, err
	}
	if count == 0 {
		return []any{}, nil
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	list := make([]any, count)
	r.owed += count
	for i := range list {
		r.owed--
		if list[i], err = r.anything(); err != nil {
			return nil, atIndex(err, i)
		}
	}
	r.depth--
	return list, nil
}

// anyMap reads a map. As long as all keys are strings, or bytes, it is a
// map[string]any.
func (r *reader) anyMap(c byte) (any, error) {
	count, err := r.mappingOf(c)
	if err != nil {
		return nil, err
	}
	if count == 0 {
		return map[string]any{}, nil
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	byName, byKey := make(map[string]any, count), map[any]any(nil)
	r.owed += 2 * count
	for range count {
		r.owed--
		key, err := r.anyKey()
		if err != nil {
			return nil, at(err, "[key]")
		}
		name, text := key.(string)
		if !text && byKey == nil {
			byKey = make(map[any]any, count)
			for k, v := range byName {
				byKey[k] = v
			}
		}
		r.owed--
		value, err := r.anything()
		if err != nil {
			return nil, atKey(err, key)
		}
		if byKey != nil {
			byKey[key] = value
		} else {
			byName[name] = value
		}
	}
	r.depth--
	if byKey != nil {
		return byKey, nil
	}
	return byName, nil
}

// anyKey reads the key of a map. Bytes, which Go has no keys of, become a string.
func (r *reader) anyKey() (any, error) {
	key, err := r.anything()
	if b, ok := key.([]byte); ok {
		return string(b), err
	}
	if err == nil && !reflect.ValueOf(&key).Elem().Comparable() {
		return nil, fmt.Errorf("a %T cannot be a key", key)
	}
	return key, err
}

// extension reads a timestamp, or what the program has registered.
func (r *reader) extension() (any, error) {
	from := r.pos
	b, err := r.one()
	if err != nil {
		return nil, err
	}
	kind, _ := extHead(b)
	switch {
	case kind == timeExt:
		r.pos = from
		return r.timestamp()
	case r.types.cfg.Library != nil:
		return r.types.cfg.Library.Extension(b)
	}
	return nil, fmt.Errorf("an extension value of type %d, which nobody knows", int8(kind))
}
