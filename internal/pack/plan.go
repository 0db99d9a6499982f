package pack

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"unsafe"
)

// Config says how types are read and who has a say in it.
type Config struct {
	Tag      string // of struct fields: a name and "omitempty", or "-"
	Fallback string // the tag of fields that have no Tag
	MaxDepth int    // how deep arrays and maps may nest in what is decoded; types that nest deeper don't qualify

	// Custom are interfaces of types that encode themselves; such a type doesn't qualify. Those of package encoding
	// need no mention.
	Custom []reflect.Type
	// Agrees, if not nil, is asked about each type within the type, with a value of it and its encoding. False says
	// that the encoding should be another: the type doesn't qualify.
	Agrees func(v reflect.Value, encoded []byte) bool
}

// Codec encodes and decodes values of one type.
type Codec[T any] struct {
	root     *node
	maxDepth int
}

// maxSize is the size of the largest type that qualifies, in bytes: a byte of
// input can make a decoder allocate as much.
const maxSize = 64 << 10

// op is what is done with a value.
type op uint8

const (
	opBool op = iota
	opInt8
	opInt16
	opInt32
	opInt64
	opUint8
	opUint16
	opUint32
	opUint64
	opFloat32
	opFloat64
	opString
	opBytes     // []byte
	opByteArray // [n]byte: a bin
	opStrings   // []string: nil leaves it as it is
	opSlice
	opArray
	opPointer
	opStruct
	opStringMap // map[string]string
	opMap
)

// node is the plan of one type. Nodes form a tree in which equal types share
// one node; a type that contains itself has none.
//
// Invariant: what op reads and writes through a pointer to a value of typ lies
// within that value.
type node struct {
	op     op
	bytes  bool // there are strings or byte slices within
	omits  bool // some of fields are omitempty
	typ    reflect.Type
	elem   *node   // of slices, arrays, pointers and maps
	key    *node   // of maps
	size   uintptr // of elem's type
	count  int     // elements of an array
	height int     // arrays and maps that a value nests, itself counted
	fields []field // of structs, in order
	index  map[string]int
}

// field is one exported field of a struct. head is its name, encoded.
type field struct {
	*node
	name   string
	head   string
	offset uintptr
	omit   bool
}

// For makes the codec of T, or says why T doesn't qualify. Types that do are
// bools, integers, floats, strings and byte slices, named ones too; pointers,
// slices and arrays of such, maps of such with strings or integers as keys, and
// structs of them. Types that don't: interfaces, those with a way of their own
// to be encoded (time.Time is one), structs with embedded fields, two fields of
// one name or other options in tags than omitempty, those that contain
// themselves, and those larger than 64 KiB.
func For[T any](cfg Config) (*Codec[T], error) {
	c := compiler{Config: cfg, known: make(map[reflect.Type]*node)}
	c.Custom = append(custom(), cfg.Custom...)
	root, err := c.compile(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	return &Codec[T]{root: root, maxDepth: cfg.MaxDepth}, nil
}

// Append appends the encoding of *v to dst.
func (c *Codec[T]) Append(dst []byte, v *T) []byte {
	return c.root.append(dst, unsafe.Pointer(v))
}

const (
	roomBytes = 64  // that a value's small strings find in its own allocation
	roomInput = 128 // the longest input, in bytes, whose value gets that room
)

// Decode gives the one value that b consists of. It does not refer to b. Errors
// are those of wire.Scan, or say what does not fit where.
func (c *Codec[T]) Decode(b []byte) (*T, error) {
	r := reader{buf: b, maxDepth: c.maxDepth}
	var v *T
	if c.root.bytes && len(b) <= roomInput {
		both := new(struct {
			value T
			room  [roomBytes]byte
		})
		v, r.room = &both.value, both.room[:0]
	} else {
		v = new(T)
	}
	if err := r.decode(c.root, unsafe.Pointer(v)); err != nil {
		return nil, err
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return v, nil
}

// custom are the interfaces of the standard library that change how a type is
// encoded.
func custom() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	}
}

// compiler makes nodes.
//
// Invariant: known has nil for types that are being compiled.
type compiler struct {
	Config
	known map[reflect.Type]*node
}

var (
	errItself = errors.New("contains itself")
	errCustom = errors.New("has its own encoding")
	errAgrees = errors.New("is encoded differently elsewhere")
)

// compile gives the plan of t.
func (c *compiler) compile(t reflect.Type) (*node, error) {
	if n, ok := c.known[t]; ok {
		if n == nil {
			return nil, fmt.Errorf("%v %w", t, errItself)
		}
		return n, nil
	}
	for _, i := range c.Custom {
		if t.Implements(i) || reflect.PointerTo(t).Implements(i) {
			return nil, fmt.Errorf("%v %w", t, errCustom)
		}
	}
	if t.Size() > maxSize {
		return nil, fmt.Errorf("%v is larger than %d bytes", t, maxSize)
	}
	c.known[t] = nil
	n, err := c.plan(t)
	if err != nil {
		return nil, err
	}
	if n.height > c.MaxDepth {
		return nil, fmt.Errorf("%v nests deeper than %d", t, c.MaxDepth)
	}
	if !c.agrees(n) {
		return nil, fmt.Errorf("%v %w", t, errAgrees)
	}
	c.known[t] = n
	return n, nil
}

// agrees asks Agrees about n, with a zero value or a pointer to one.
func (c *compiler) agrees(n *node) bool {
	if c.Agrees == nil {
		return true
	}
	v := reflect.New(n.typ)
	if n.op == opPointer {
		v.Elem().Set(reflect.New(n.typ.Elem()))
	}
	return c.Agrees(v.Elem(), n.append(nil, v.UnsafePointer()))
}

func (c *compiler) plan(t reflect.Type) (*node, error) {
	if o, ok := scalar(t); ok {
		return &node{op: o, typ: t, bytes: o == opString}, nil
	}
	switch t.Kind() {
	case reflect.Slice:
		switch t.Elem() {
		case reflect.TypeFor[byte]():
			return &node{op: opBytes, typ: t, bytes: true}, nil
		case reflect.TypeFor[string]():
			return &node{op: opStrings, typ: t, bytes: true, height: 1}, nil
		}
		return c.planElem(opSlice, t, 1)
	case reflect.Array:
		if t.Elem() == reflect.TypeFor[byte]() {
			return &node{op: opByteArray, typ: t, count: t.Len()}, nil
		}
		return c.planElem(opArray, t, 1)
	case reflect.Pointer:
		return c.planElem(opPointer, t, 0)
	case reflect.Struct:
		return c.planStruct(t)
	case reflect.Map:
		return c.planMap(t)
	}
	return nil, fmt.Errorf("%v has no plan", t)
}

// scalar gives the op of types that contain no others.
func scalar(t reflect.Type) (op, bool) {
	switch t.Kind() {
	case reflect.Bool:
		return opBool, true
	case reflect.Int8:
		return opInt8, true
	case reflect.Int16:
		return opInt16, true
	case reflect.Int32:
		return opInt32, true
	case reflect.Int64:
		return opInt64, true
	case reflect.Int:
		if t.Size() == 4 {
			return opInt32, true
		}
		return opInt64, true
	case reflect.Uint8:
		return opUint8, true
	case reflect.Uint16:
		return opUint16, true
	case reflect.Uint32:
		return opUint32, true
	case reflect.Uint64:
		return opUint64, true
	case reflect.Uint:
		if t.Size() == 4 {
			return opUint32, true
		}
		return opUint64, true
	case reflect.Float32:
		return opFloat32, true
	case reflect.Float64:
		return opFloat64, true
	case reflect.String:
		return opString, true
	}
	return 0, false
}

func (c *compiler) planElem(o op, t reflect.Type, levels int) (*node, error) {
	elem, err := c.compile(t.Elem())
	if err != nil {
		return nil, err
	}
	if o != opPointer && t.Elem().Kind() == reflect.Uint8 {
		return nil, fmt.Errorf("%v has bytes of another name", t)
	}
	n := &node{op: o, typ: t, elem: elem, size: elem.typ.Size(), bytes: elem.bytes, height: elem.height + levels}
	if o == opArray {
		n.count = t.Len()
	}
	return n, nil
}

func (c *compiler) planMap(t reflect.Type) (*node, error) {
	if t.Key() == reflect.TypeFor[string]() && t.Elem() == reflect.TypeFor[string]() {
		return &node{op: opStringMap, typ: t, bytes: true, height: 1}, nil
	}
	n, err := c.planElem(opMap, t, 1)
	if err != nil {
		return nil, err
	}
	if n.key, err = c.compile(t.Key()); err != nil {
		return nil, err
	}
	if o := n.key.op; o != opString && (o < opInt8 || o > opUint64) {
		return nil, fmt.Errorf("%v has keys other than strings and integers", t)
	}
	n.bytes = n.bytes || n.key.bytes
	return n, nil
}
