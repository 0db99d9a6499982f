package pack

import (
	"bytes"
	"reflect"
	"slices"
	"unsafe"

	"github.com/meshnode/meshnode/internal/wire"
)

// linksMost is how many pointers and interfaces may be followed on the way to a
// value. Those that lead around in a circle need not open any array or map.
const linksMost = 1 << 10

// writer encodes what is not plain, or what is to be sorted.
//
// Invariants: dst is longer than end by one value at most. depth is how many
// arrays and maps that are not empty are open, at most maxDepth.
type writer struct {
	types    *Types
	dst      []byte
	end      int // the most bytes that dst may have
	depth    int
	maxDepth int
	links    int // pointers and interfaces on the way here
	sorted   bool
}

func (ts *Types) writer(dst []byte, b Bounds) writer {
	depth := ts.cfg.MaxDepth
	if b.Depth > 0 {
		depth = min(depth, b.Depth)
	}
	return writer{types: ts, dst: dst, end: len(dst) + b.Size, maxDepth: depth, sorted: b.Sorted}
}

// value appends the value that p points to.
func (w *writer) value(n *node, p unsafe.Pointer) error {
	if n.plain && w.depth+n.height <= w.maxDepth && !(w.sorted && n.maps) {
		w.dst = n.append(w.dst, p, w.end)
		return w.fits()
	}
	var err error
	switch n.op {
	case opStruct:
		err = w.structure(n, p)
	case opPointer:
		if to := *(*unsafe.Pointer)(p); to != nil {
			return w.follow(func() error { return w.value(n.elem, to) })
		}
		w.dst = append(w.dst, 0xc0)
	case opSlice:
		s := (*sliceHeader)(p)
		if s.data != nil {
			return w.elems(n, s.data, s.len)
		}
		w.dst = append(w.dst, 0xc0)
	case opArray:
		return w.elems(n, p, n.count)
	case opStrings:
		if err := w.open(len(*(*[]string)(p))); err != nil {
			return err
		}
		w.dst = n.append(w.dst, p, w.end)
		w.close(len(*(*[]string)(p)))
	case opStringMap, opMap:
		err = w.pairs(n, p)
	case opAny, opInterface, opError:
		err = w.held(n, p)
	case opOwn:
		err = w.encodeOwn(n, p)
	default:
		w.dst = n.append(w.dst, p, w.end)
	}
	if err != nil {
		return err
	}
	return w.fits()
}

func (w *writer) fits() error {
	if len(w.dst) > w.end {
		return wire.ErrTooLarge
	}
	return nil
}

// open goes into an array or map of count elements, close comes out of it.
func (w *writer) open(count int) error {
	if count == 0 {
		return nil
	}
	if w.depth == w.maxDepth {
		return wire.ErrTooDeep
	}
	w.depth++
	return nil
}

func (w *writer) close(count int) {
	if count > 0 {
		w.depth--
	}
}

// follow encodes what a pointer or an interface holds.
func (w *writer) follow(encode func() error) error {
	if w.links == linksMost {
		return wire.ErrTooDeep
	}
	w.links++
	err := encode()
	w.links--
	return err
}

func (w *writer) elems(n *node, first unsafe.Pointer, count int) error {
	if err := w.open(count); err != nil {
		return err
	}
	w.dst = appendArrayHead(w.dst, count)
	for i := range count {
		if err := w.value(n.elem, unsafe.Add(first, uintptr(i)*n.size)); err != nil {
			return atIndex(err, i)
		}
	}
	w.close(count)
	return w.fits()
}

func (w *writer) structure(n *node, p unsafe.Pointer) error {
	count := len(n.fields)
	if n.asArray {
		w.dst = appendArrayHead(w.dst, count)
	} else {
		count = n.present(p)
		w.dst = wire.AppendMapHeader(w.dst, count)
	}
	if err := w.open(count); err != nil {
		return err
	}
	for i := range n.fields {
		f := &n.fields[i]
		at := f.at(p)
		switch {
		case n.asArray && at == nil:
			w.dst = append(w.dst, 0xc0)
			continue
		case n.asArray:
		case f.left(at):
			continue
		default:
			w.dst = append(w.dst, f.head...)
		}
		if err := w.value(f.node, at); err != nil {
			return atField(err, f.name)
		}
	}
	w.close(count)
	return nil
}

// pair is where a map's pair lies in dst.
type pair struct{ key, value, end int }

// pairs appends a map of any type, by its keys if that is wanted.
func (w *writer) pairs(n *node, p unsafe.Pointer) error {
	if n.op == opMap && n.named() && !w.sorted {
		return w.object(*(*map[string]any)(p))
	}
	m := reflect.NewAt(n.typ, p).Elem()
	if m.IsNil() {
		w.dst = append(w.dst, 0xc0)
		return nil
	}
	count := m.Len()
	w.dst = wire.AppendMapHeader(w.dst, count)
	if err := w.open(count); err != nil {
		return err
	}
	keyNode, elemNode, err := w.partsOf(n)
	if err != nil {
		return err
	}
	var order []pair
	key, elem := reflect.New(n.typ.Key()), reflect.New(n.typ.Elem())
	for pairs := m.MapRange(); pairs.Next(); {
		key.Elem().SetIterKey(pairs)
		elem.Elem().SetIterValue(pairs)
		at := pair{key: len(w.dst)}
		if err := w.value(keyNode, key.UnsafePointer()); err != nil {
			return atKey(err, key.Elem().Interface())
		}
		at.value = len(w.dst)
		if err := w.value(elemNode, elem.UnsafePointer()); err != nil {
			return atKey(err, key.Elem().Interface())
		}
		if at.end = len(w.dst); w.sorted {
			order = append(order, at)
		}
	}
	w.sort(order)
	w.close(count)
	return nil
}

// partsOf returns the plans of a map's keys and elements.
func (w *writer) partsOf(n *node) (key, elem *node, err error) {
	if n.op == opMap {
		return n.key, n.elem, nil
	}
	text, err := w.types.node(reflect.TypeFor[string]())
	return text, text, err
}

// sort puts pairs into the order of their keys' bytes.
func (w *writer) sort(order []pair) {
	if len(order) < 2 {
		return
	}
	from := order[0].key
	old := bytes.Clone(w.dst[from:])
	slices.SortFunc(order, func(a, b pair) int {
		return bytes.Compare(old[a.key-from:a.value-from], old[b.key-from:b.value-from])
	})
	w.dst = w.dst[:from]
	for _, at := range order {
		w.dst = append(w.dst, old[at.key-from:at.end-from]...)
	}
}

// held appends what an interface holds.
func (w *writer) held(n *node, p unsafe.Pointer) error {
	if n.op == opAny {
		return w.any(*(*any)(p))
	}
	v := reflect.NewAt(n.typ, p).Elem()
	if v.IsNil() {
		w.dst = append(w.dst, 0xc0)
		return nil
	}
	if n.op == opError {
		w.dst = wire.AppendStr(w.dst, v.Interface().(error).Error())
		return nil
	}
	return w.any(v.Interface())
}

// any appends a value by the type that it has.
func (w *writer) any(v any) error {
	switch v := v.(type) {
	case nil:
		w.dst = append(w.dst, 0xc0)
	case string:
		w.dst = wire.AppendStr(w.dst, v)
	case bool:
		w.dst = append(w.dst, 0xc2+b2i(v))
	case int:
		w.dst = appendInt(w.dst, int64(v))
	case int64:
		w.dst = appendInt(w.dst, v)
	case float64:
		w.dst = appendFloat64(w.dst, v)
	case []byte:
		w.dst = appendBytes(w.dst, v)
	case []any:
		return w.follow(func() error { return w.list(v) })
	case map[string]any:
		if !w.sorted {
			return w.follow(func() error { return w.object(v) })
		}
		return w.copied(v)
	default:
		return w.copied(v)
	}
	return w.fits()
}

// copied appends a copy of v: a value in an interface has no address, and is not
// to be changed.
func (w *writer) copied(v any) error {
	n, err := w.types.node(reflect.TypeOf(v))
	if err != nil {
		return err
	}
	to := reflect.New(n.typ)
	to.Elem().Set(reflect.ValueOf(v))
	return w.follow(func() error { return w.value(n, to.UnsafePointer()) })
}

func b2i(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func (w *writer) list(l []any) error {
	if l == nil {
		w.dst = append(w.dst, 0xc0)
		return w.fits()
	}
	if err := w.open(len(l)); err != nil {
		return err
	}
	w.dst = appendArrayHead(w.dst, len(l))
	for i, v := range l {
		if err := w.any(v); err != nil {
			return atIndex(err, i)
		}
	}
	w.close(len(l))
	return w.fits()
}

func (w *writer) object(m map[string]any) error {
	if m == nil {
		w.dst = append(w.dst, 0xc0)
		return w.fits()
	}
	if err := w.open(len(m)); err != nil {
		return err
	}
	w.dst = wire.AppendMapHeader(w.dst, len(m))
	for k, v := range m {
		w.dst = wire.AppendStr(w.dst, k)
		if err := w.any(v); err != nil {
			return atKey(err, k)
		}
	}
	w.close(len(m))
	return w.fits()
}
