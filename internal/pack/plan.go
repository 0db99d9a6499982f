package pack

import (
	"errors"
	"fmt"
	"reflect"
	"time"
)

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
	opStrings   // []string
	opSlice
	opArray
	opPointer
	opStruct
	opStringMap // map[string]string
	opMap
	opTime      // time.Time
	opAny       // any
	opInterface // an interface with methods
	opError     // error
	opOwn       // encoded by code of the type's own
)

// node is the plan of one type. Equal types share one node, and a type that
// contains itself has a node that leads to itself.
//
// Invariants: what op reads and writes through a pointer to a value of typ lies
// within that value. A plain node leads to no node that is not.
type node struct {
	op      op
	plain   bool // its values nest at most height levels and call no code of the program's
	bytes   bool // there are strings or byte slices within
	maps    bool // there are maps within
	fans    bool // a list or map whose encoding can be larger than its memory
	omits   bool // some of fields can be left out
	asArray bool // a struct that is sent as an array
	typ     reflect.Type
	elem    *node   // of slices, arrays, pointers and maps
	key     *node   // of maps
	size    uintptr // of elem's type
	count   int     // elements of an array
	height  int     // of a plain node: arrays and maps that a value nests, itself counted
	fields  []field // of structs, in order
	index   map[string]int
	own     *own
}

// compiler makes the plan of one type.
//
// Invariant: nodes in known that are being compiled are not plain.
type compiler struct {
	types    *Types
	known    map[reflect.Type]*node
	trusting bool // asks the library about registered types only where nothing else helps
}

// pointersMost is how many pointers may stand in a row: a type that is a
// pointer to itself has no end.
const pointersMost = 64

// compile returns the plan of t.
func (c *compiler) compile(t reflect.Type) (*node, error) {
	if n, ok := c.known[t]; ok {
		return n, nil
	}
	if !c.trusting {
		if n, ok := c.types.nodes.Load(t); ok {
			return n.(*node), nil
		}
	}
	n := &node{typ: t}
	c.known[t] = n
	planned, err := c.choose(t, n)
	if err != nil {
		delete(c.known, t)
		return nil, err
	}
	*n = *planned
	if n.height > c.types.cfg.MaxDepth {
		n.plain = false
	}
	return n, nil
}

// choose plans t by its own methods, if it has any, else by its kind. n is the
// node that t will have.
func (c *compiler) choose(t reflect.Type, n *node) (*node, error) {
	own := c.ownOf(t)
	if own == nil {
		planned, err := c.plan(t)
		if err == nil || !c.trusting || !c.registered(t) {
			return planned, err
		}
		own = byItself()
	}
	planned := &node{op: opOwn, typ: t, own: own, bytes: true, maps: true}
	if own.encode != byKind && own.decode != byKind {
		return planned, nil
	}
	// One direction is its own, the other goes by its kind, if that can travel.
	under := &compiler{types: c.types, known: make(map[reflect.Type]*node), trusting: c.trusting}
	for k, v := range c.known {
		under.known[k] = v
	}
	under.known[t] = n
	if kind, err := under.plan(t); err == nil {
		c.known, own.under = under.known, kind
	}
	return planned, nil
}

var errTravel = errors.New("cannot travel")

// plan plans t by its kind.
func (c *compiler) plan(t reflect.Type) (*node, error) {
	if t == reflect.TypeFor[time.Time]() {
		return &node{op: opTime, typ: t, plain: true}, nil
	}
	if o, ok := scalar(t); ok {
		return &node{op: o, typ: t, bytes: o == opString, plain: true}, nil
	}
	switch t.Kind() {
	case reflect.Slice:
		return c.planSlice(t)
	case reflect.Array:
		return c.planArray(t)
	case reflect.Pointer:
		return c.planPointer(t)
	case reflect.Struct:
		return c.planStruct(t)
	case reflect.Map:
		return c.planMap(t)
	case reflect.Interface:
		switch {
		case t == reflect.TypeFor[error]():
			return &node{op: opError, typ: t, bytes: true}, nil
		case t.NumMethod() == 0:
			return &node{op: opAny, typ: t, bytes: true, maps: true}, nil
		}
		return &node{op: opInterface, typ: t, bytes: true, maps: true}, nil
	}
	return nil, fmt.Errorf("%v %w", t.Kind(), errTravel)
}

// scalar returns the op of types that contain no others.
func scalar(t reflect.Type) (op, bool) {
	switch k := t.Kind(); k {
	case reflect.Bool:
		return opBool, true
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		return sized(opInt8, t.Size()), true
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint, reflect.Uintptr:
		return sized(opUint8, t.Size()), true
	case reflect.Float32:
		return opFloat32, true
	case reflect.Float64:
		return opFloat64, true
	case reflect.String:
		return opString, true
	}
	return 0, false
}

// sized is first, the op of one byte, or one of those behind it, for a size in
// bytes.
func sized(first op, size uintptr) op {
	switch size {
	case 1:
		return first
	case 2:
		return first + 1
	case 4:
		return first + 2
	}
	return first + 3
}

func (c *compiler) planSlice(t reflect.Type) (*node, error) {
	if t.Elem() == reflect.TypeFor[string]() {
		return &node{op: opStrings, typ: t, bytes: true, plain: true, fans: true, height: 1}, nil
	}
	n, err := c.planElem(opSlice, t, 1)
	if err == nil && n.elem.op == opUint8 {
		return &node{op: opBytes, typ: t, bytes: true, plain: true}, nil
	}
	return n, err
}

func (c *compiler) planArray(t reflect.Type) (*node, error) {
	n, err := c.planElem(opArray, t, 1)
	if err != nil {
		return nil, err
	}
	n.count = t.Len()
	if n.elem.op == opUint8 {
		return &node{op: opByteArray, typ: t, count: n.count, plain: true}, nil
	}
	return n, nil
}

func (c *compiler) planPointer(t reflect.Type) (*node, error) {
	to := t.Elem()
	for range pointersMost {
		if to.Kind() != reflect.Pointer {
			return c.planElem(opPointer, t, 0)
		}
		to = to.Elem()
	}
	return nil, fmt.Errorf("a pointer to itself %w", errTravel)
}

func (c *compiler) planElem(o op, t reflect.Type, levels int) (*node, error) {
	elem, err := c.compile(t.Elem())
	if err != nil {
		if o != opPointer {
			err = at(err, "[]")
		}
		return nil, err
	}
	n := &node{
		op: o, typ: t, elem: elem, size: t.Elem().Size(), bytes: elem.bytes, plain: elem.plain, maps: elem.maps,
		height: elem.height + levels,
	}
	n.fans = o != opPointer && (n.size == 0 || !elem.flat())
	return n, nil
}

// flat reports whether all of a value lies in its own memory, so that each copy
// of its encoding has been paid for.
func (n *node) flat() bool {
	switch n.op {
	case opByteArray, opTime:
		return true
	case opArray:
		return n.size > 0 && n.elem.flat()
	case opStruct:
		for i := range n.fields {
			if f := &n.fields[i]; f.hops != nil || !f.plain || !f.flat() {
				return false
			}
		}
		return true
	}
	return n.op <= opFloat64
}

func (c *compiler) planMap(t reflect.Type) (*node, error) {
	if t.Key() == reflect.TypeFor[string]() && t.Elem() == reflect.TypeFor[string]() {
		return &node{op: opStringMap, typ: t, bytes: true, plain: true, maps: true, fans: true, height: 1}, nil
	}
	key, err := c.compile(t.Key())
	if err != nil {
		return nil, at(err, "[key]")
	}
	if !key.keys() {
		return nil, fmt.Errorf("a map with keys of type %v %w", t.Key(), errTravel)
	}
	n, err := c.planElem(opMap, t, 1)
	if err != nil {
		return nil, err
	}
	n.key, n.maps, n.fans = key, true, true
	n.bytes, n.plain = n.bytes || key.bytes, n.plain && key.plain
	n.height = max(n.height, key.height+1)
	return n, nil
}

// keys reports whether a key that arrives is equal to the one that was sent.
// Keys with pointers never are.
func (n *node) keys() bool {
	switch n.op {
	case opPointer, opError, opInterface:
		return false
	case opArray:
		return n.elem.keys()
	case opStruct:
		for i := range n.fields {
			if f := &n.fields[i]; f.hops != nil || !f.keys() {
				return false
			}
		}
	}
	return true
}
