package pack

import (
	"encoding"
	"encoding/binary"
	"math"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// modelDecode decodes b into the pointer v by the rules of the documentation, one
// case after another.
func modelDecode(b []byte, v any) error {
	if err := wire.Scan(b, maxDepth); err != nil {
		return err
	}
	t, _ := parse(b)
	return t.assign(reflect.ValueOf(v).Elem())
}

func (t tree) assign(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if t.isNil() {
			v.SetZero()
			return nil
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return t.assign(v.Elem())
	case reflect.Interface:
		value, err := t.value()
		if err == nil && value != nil {
			v.Set(reflect.ValueOf(value))
		} else if err == nil {
			v.SetZero()
		}
		return err
	}
	if at, ok := v.Addr().Interface().(*time.Time); ok {
		return t.time(at)
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return t.unmarshal(v, u)
	}
	switch v.Kind() {
	case reflect.Struct:
		return t.structure(v)
	case reflect.Slice, reflect.Array:
		return t.elements(v)
	case reflect.Map:
		return t.mapping(v)
	}
	return t.scalar(v)
}

func (t tree) unmarshal(v reflect.Value, u encoding.TextUnmarshaler) error {
	switch bin, ok := u.(encoding.BinaryUnmarshaler); {
	case t.isNil():
		v.SetZero()
		return nil
	case !t.isText():
		return errModel
	case ok && !t.isStr():
		return bin.UnmarshalBinary(t.b)
	}
	return u.UnmarshalText(t.b)
}

func (t tree) scalar(v reflect.Value) error {
	switch {
	case v.Kind() == reflect.String && t.isText():
		v.SetString(string(t.b))
	case v.Kind() == reflect.Bool && (t.code == 0xc2 || t.code == 0xc3):
		v.SetBool(t.code == 0xc3)
	case t.isNil():
		v.SetZero()
	case v.CanFloat() && t.isFloat():
		if v.OverflowFloat(t.f) && !math.IsInf(t.f, 0) || v.Kind() == reflect.Float32 && t.f != 0 &&
			math.IsInf(float64(float32(t.f)), 0) && !math.IsInf(t.f, 0) {
			return errModel
		}
		v.SetFloat(t.f)
	case v.CanFloat() && t.num != nil:
		f, _ := new(big.Float).SetInt(t.num).Float64()
		v.SetFloat(f)
		if back, _ := big.NewFloat(v.Float()).Int(nil); back.Cmp(t.num) != 0 {
			return errModel
		}
	case (v.CanInt() || v.CanUint()) && (t.num != nil || t.isFloat()):
		return t.integer(v)
	default:
		return errModel
	}
	return nil
}

func (t tree) integer(v reflect.Value) error {
	n := t.num
	if n == nil {
		if math.IsNaN(t.f) || math.IsInf(t.f, 0) || t.f != math.Trunc(t.f) {
			return errModel
		}
		n, _ = big.NewFloat(t.f).Int(nil)
	}
	switch {
	case v.CanInt() && n.IsInt64() && !v.OverflowInt(n.Int64()):
		v.SetInt(n.Int64())
	case v.CanUint() && n.IsUint64() && !v.OverflowUint(n.Uint64()):
		v.SetUint(n.Uint64())
	default:
		return errModel
	}
	return nil
}

func (t tree) elements(v reflect.Value) error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		switch {
		case t.isNil() && v.Kind() == reflect.Slice:
			v.SetZero()
		case t.isNil():
		case !t.isText() || v.Kind() == reflect.Array && len(t.b) > v.Len():
			return errModel
		case v.Kind() == reflect.Slice:
			v.SetBytes(append([]byte{}, t.b...))
		default:
			reflect.Copy(v, reflect.ValueOf(t.b).Convert(reflect.SliceOf(v.Type().Elem())))
		}
		return nil
	}
	switch {
	case t.isNil() && v.Kind() == reflect.Slice:
		v.SetZero()
		return nil
	case t.isNil():
		return nil
	case !t.isArray() || v.Kind() == reflect.Array && len(t.list) > v.Len():
		return errModel
	case v.Kind() == reflect.Array:
	case v.Type().Elem() == reflect.TypeFor[string]() || v.IsNil():
		v.Set(reflect.MakeSlice(v.Type(), len(t.list), len(t.list)))
	case len(t.list) > v.Cap(): // what lies behind the length comes back
		longer := reflect.MakeSlice(v.Type(), len(t.list), len(t.list))
		reflect.Copy(longer, v.Slice(0, v.Cap()))
		v.Set(longer)
	default:
		v.SetLen(len(t.list))
	}
	for i, e := range t.list {
		if err := e.assign(v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (t tree) mapping(v reflect.Value) error {
	if t.isNil() {
		v.SetZero()
		return nil
	}
	if !isMap(t.code) {
		return errModel
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for i := 0; i < len(t.list); i += 2 {
		key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if err := t.list[i].key(key); err != nil {
			return err
		}
		if err := t.list[i+1].assign(elem); err != nil {
			return err
		}
		v.SetMapIndex(key, elem)
	}
	return nil
}

// key is assign for a key of a map; in an any, bytes are a string.
func (t tree) key(v reflect.Value) error {
	if v.Kind() == reflect.Interface && t.isText() {
		v.Set(reflect.ValueOf(string(t.b)))
		return nil
	}
	if err := t.assign(v); err != nil {
		return err
	}
	if !v.Comparable() {
		return errModel
	}
	return nil
}

func (t tree) structure(v reflect.Value) error {
	fields := map[string][]int{}
	var order [][]int
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("msgpack"), ",")
		if f.Tag.Get("msgpack") == "" {
			name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
		}
		if name == "-" || !f.IsExported() || f.Anonymous && name == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields[name] = f.Index
		order = append(order, f.Index)
	}
	switch {
	case t.isNil(), t.isArray() && len(t.list) == 0:
		if v.SetZero(); isMap(t.code) {
			return nil
		}
	case isMap(t.code):
		for i := 0; i < len(t.list); i += 2 {
			if !t.list[i].isText() && !t.list[i].isNil() {
				return errModel
			}
			if index := fields[string(t.list[i].b)]; index != nil {
				if err := t.list[i+1].assign(reach(v, index)); err != nil {
					return err
				}
			}
		}
	case t.isArray() && len(t.list) == len(order):
		for i, index := range order {
			if err := t.list[i].assign(reach(v, index)); err != nil {
				return err
			}
		}
	default:
		return errModel
	}
	return nil
}

// reach is v.FieldByIndex, but makes embedded pointers.
func reach(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

// value is what the tree is in an any.
func (t tree) value() (any, error) {
	switch {
	case t.isNil():
		return nil, nil
	case t.code == 0xc2 || t.code == 0xc3:
		return t.code == 0xc3, nil
	case t.isFloat():
		return t.f, nil
	case t.num != nil && t.num.IsInt64():
		return t.num.Int64(), nil
	case t.num != nil:
		return t.num.Uint64(), nil
	case t.isStr():
		return string(t.b), nil
	case t.isText():
		return append([]byte{}, t.b...), nil
	case t.isArray():
		list := []any{}
		for _, e := range t.list {
			v, err := e.value()
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case isMap(t.code):
		m := map[any]any{}
		if err := t.mapping(reflect.ValueOf(&m).Elem()); err != nil {
			return nil, err
		}
		named := map[string]any{}
		for k, v := range m {
			if s, ok := k.(string); ok {
				named[s] = v
			}
		}
		if len(named) == len(m) {
			return named, nil
		}
		return m, nil
	case t.kind == -1:
		var at time.Time
		err := t.time(&at)
		return at, err
	}
	return nil, errModel
}

func (t tree) time(at *time.Time) error {
	var err error
	switch {
	case t.isNil():
		*at = time.Time{}
	case t.isStr():
		*at, err = time.Parse(time.RFC3339Nano, string(t.b))
	case !isExt(t.code) || t.kind != -1 && t.kind != 13:
		return errModel
	case len(t.b) == 4:
		*at = time.Unix(int64(binary.BigEndian.Uint32(t.b)), 0)
	case len(t.b) == 8:
		n := binary.BigEndian.Uint64(t.b)
		*at = time.Unix(int64(n%(1<<34)), int64(n>>34))
	case len(t.b) == 12:
		*at = time.Unix(int64(binary.BigEndian.Uint64(t.b[4:])), int64(binary.BigEndian.Uint32(t.b)))
	default:
		return errModel
	}
	return err
}
