package pack

import (
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"github.com/meshnode/meshnode/internal/wire"
)

// decode reads a value into what p points to. Where something is there already,
// because the input has a field twice, it goes on from that.
func (r *reader) decode(n *node, p unsafe.Pointer) error {
	switch n.op {
	case opString:
		s, err := r.string()
		if err == nil {
			*(*string)(p) = s
		}
		return err
	case opBytes:
		return r.bytes((*[]byte)(p))
	case opStruct:
		return r.structure(n, p)
	case opBool:
		v, err := r.bool()
		*(*bool)(p) = v
		return err
	case opFloat32:
		v, err := r.float32()
		*(*float32)(p) = v
		return err
	case opFloat64:
		v, err := r.float64()
		*(*float64)(p) = v
		return err
	}
	if n.op > opFloat64 {
		return r.many(n, p)
	}
	return r.integer(n, p)
}

// many is decode for what holds other values.
func (r *reader) many(n *node, p unsafe.Pointer) error {
	switch n.op {
	case opPointer:
		return r.pointer(n, (*unsafe.Pointer)(p))
	case opByteArray:
		return r.byteArray(n, unsafe.Slice((*byte)(p), n.count))
	case opStrings:
		return r.strings((*[]string)(p))
	case opSlice:
		return r.slice(n, p)
	case opArray:
		return r.fixed(n, p)
	case opStringMap:
		return r.stringMap((*map[string]string)(p))
	case opMap:
		return r.mapOf(n, p)
	case opTime:
		return r.time((*time.Time)(p))
	case opOwn:
		return r.decodeOwn(n, p)
	default:
		return r.held(n, p)
	}
}

// fixed reads an array of Go's; fewer elements leave the others as they are.
func (r *reader) fixed(n *node, p unsafe.Pointer) error {
	count, err := r.array()
	if err != nil || count == none {
		return err
	}
	if count > n.count {
		return fmt.Errorf("an array of %d where %d fit", count, n.count)
	}
	return r.elems(n, p, count)
}

func (r *reader) bytes(p *[]byte) error {
	b, err := r.text()
	switch {
	case err != nil:
		return err
	case b == nil:
		*p = nil
	case len(b) == 0:
		*p = []byte{}
	default:
		*p = r.keep(b)
	}
	return nil
}

func (r *reader) byteArray(n *node, into []byte) error {
	b, err := r.text()
	if err != nil {
		return err
	}
	if len(b) > n.count {
		return fmt.Errorf("%d bytes where %d fit", len(b), n.count)
	}
	copy(into, b)
	return nil
}

func (r *reader) pointer(n *node, p *unsafe.Pointer) error {
	if r.pos < len(r.buf) && r.buf[r.pos] == 0xc0 {
		r.pos++
		*p = nil
		return nil
	}
	if *p == nil {
		*p = reflect.New(n.elem.typ).UnsafePointer()
	}
	return r.decode(n.elem, *p)
}

// structure reads a struct: a map of its fields by name, or an array of all.
func (r *reader) structure(n *node, p unsafe.Pointer) error {
	c, err := r.code()
	if err != nil {
		return err
	}
	if !isMap(c) {
		return r.tuple(n, p, c)
	}
	count, err := r.mappingOf(c)
	if err != nil || count == 0 {
		return err
	}
	if err := r.open(); err != nil {
		return err
	}
	next := 0
	for range count {
		name, err := r.text()
		if err != nil {
			return err
		}
		if f := n.find(name, &next); f == nil {
			err = r.skip()
		} else {
			err = r.field(f, p)
		}
		if err != nil {
			return err
		}
	}
	r.depth--
	return nil
}

// open goes into an array or map that is not empty.
func (r *reader) open() error {
	if r.depth >= r.maxDepth {
		return wire.ErrTooDeep
	}
	r.depth++
	return nil
}

func (r *reader) field(f *field, p unsafe.Pointer) (err error) {
	if f.hops == nil {
		err = r.decode(f.node, unsafe.Add(p, f.offset))
	} else if p, err = f.make(p); err == nil {
		err = r.decode(f.node, p)
	}
	if err != nil {
		return atField(err, f.name)
	}
	return nil
}

// tuple reads a struct that comes as an array or nil, by its code. None of the
// former has the zero value too.
func (r *reader) tuple(n *node, p unsafe.Pointer, c byte) error {
	count, err := r.arrayOf(c, "a map or array")
	if err != nil {
		return err
	}
	if count <= 0 {
		reflect.NewAt(n.typ, p).Elem().SetZero()
		return nil
	}
	if count != len(n.fields) {
		return fmt.Errorf("an array of %d where %d fields go", count, len(n.fields))
	}
	if err := r.open(); err != nil {
		return err
	}
	for i := range n.fields {
		f := &n.fields[i]
		if r.pos < len(r.buf) && r.buf[r.pos] == 0xc0 && f.hops != nil && f.at(p) == nil {
			r.pos++ // of an embedded pointer that was nil
			continue
		}
		if err := r.field(f, p); err != nil {
			return err
		}
	}
	r.depth--
	return nil
}

func (r *reader) strings(p *[]string) error {
	count, err := r.array()
	if err != nil {
		return err
	}
	if count == none {
		*p = nil
		return nil
	}
	s := make([]string, count)
	if count > 0 && r.depth >= r.maxDepth {
		return wire.ErrTooDeep
	}
	r.owed += count
	for i := range s {
		r.owed--
		if s[i], err = r.string(); err != nil {
			return atIndex(err, i)
		}
	}
	*p = s
	return nil
}

// slice reads into a slice of any element. What lies behind the length of one
// that is there already comes back when it grows.
func (r *reader) slice(n *node, p unsafe.Pointer) error {
	count, err := r.array()
	if err != nil {
		return err
	}
	s := (*sliceHeader)(p)
	switch {
	case count == none:
		*s = sliceHeader{}
		return nil
	case count == 0 && s.data == nil:
		*s = sliceHeader{data: unsafe.Pointer(new([0]byte))}
	case count > s.cap:
		s.len = s.cap
		reflect.NewAt(n.typ, p).Elem().Grow(count - s.len)
	}
	s.len = count
	return r.elems(n, s.data, count)
}

func (r *reader) elems(n *node, first unsafe.Pointer, count int) error {
	if count == 0 {
		return nil
	}
	if err := r.open(); err != nil {
		return err
	}
	r.owed += count
	for i := range count {
		r.owed--
		if err := r.decode(n.elem, unsafe.Add(first, uintptr(i)*n.size)); err != nil {
			return atIndex(err, i)
		}
	}
	r.depth--
	return nil
}

func (r *reader) stringMap(p *map[string]string) error {
	count, err := r.mapping()
	if err != nil {
		return err
	}
	if count == none {
		*p = nil
		return nil
	}
	if *p == nil {
		*p = make(map[string]string, count)
	}
	if count > 0 && r.depth >= r.maxDepth {
		return wire.ErrTooDeep
	}
	m := *p
	r.owed += 2 * count
	for range count {
		r.owed--
		key, err := r.string()
		if err != nil {
			return err
		}
		r.owed--
		if m[key], err = r.string(); err != nil {
			return atKey(err, key)
		}
	}
	return nil
}

// mapOf reads a map of any type, by reflection unless it is a map[string]any.
func (r *reader) mapOf(n *node, p unsafe.Pointer) error {
	if n.named() {
		return r.object((*map[string]any)(p))
	}
	count, err := r.mapping()
	if err != nil {
		return err
	}
	m := reflect.NewAt(n.typ, p).Elem()
	if count == none {
		m.SetZero()
		return nil
	}
	if m.IsNil() {
		m.Set(reflect.MakeMapWithSize(n.typ, count))
	}
	if count == 0 {
		return nil
	}
	if err := r.open(); err != nil {
		return err
	}
	key, elem := reflect.New(n.key.typ), reflect.New(n.elem.typ)
	r.owed += 2 * count
	for range count {
		key.Elem().SetZero()
		elem.Elem().SetZero()
		r.owed--
		if err := r.keyOf(n.key, key); err != nil {
			return at(err, "[key]")
		}
		r.owed--
		if err := r.decode(n.elem, elem.UnsafePointer()); err != nil {
			return atKey(err, key.Elem().Interface())
		}
		m.SetMapIndex(key.Elem(), elem.Elem())
	}
	r.depth--
	return nil
}

// keyOf reads a map's key, which must be one that can be compared.
func (r *reader) keyOf(n *node, into reflect.Value) error {
	if n.op == opAny {
		key, err := r.anyKey()
		*(*any)(into.UnsafePointer()) = key
		return err
	}
	if err := r.decode(n, into.UnsafePointer()); err != nil {
		return err
	}
	if n.op >= opByteArray && !into.Elem().Comparable() {
		return fmt.Errorf("a %v cannot be a key", n.typ)
	}
	return nil
}
