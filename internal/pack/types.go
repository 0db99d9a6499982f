package pack

import (
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	"github.com/meshnode/meshnode/internal/wire"
)

// Config says how types are read and who has a say in it.
type Config struct {
	Tag      string // of struct fields: a name and options, or "-"
	Fallback string // the tag of fields that have no Tag
	MaxDepth int    // how deep arrays and maps may nest, in what is encoded and decoded; at most wire.MaxDepth
	Library  Library
}

// Library handles types whose encoding is code of the program's that only a
// msgpack library can call. nil: there are none.
type Library interface {
	// Methods reports whether t, or a pointer to it, has methods that encode and
	// decode it.
	Methods(t reflect.Type) (encodes, decodes bool)
	// Registered reports whether the program has told the library how to encode t.
	Registered(t reflect.Type) bool
	// Append appends one value within the bounds; v can be addressed.
	Append(dst []byte, v reflect.Value, b Bounds) ([]byte, error)
	// Decode reads b, which is one well-formed value, into v.
	Decode(b []byte, v reflect.Value) error
	// Extension returns what the program has registered for b, one well-formed
	// extension value.
	Extension(b []byte) (any, error)
}

// Bounds limit one encoding.
type Bounds struct {
	Size   int  // in bytes
	Depth  int  // how deep arrays and maps nest
	Sorted bool // maps go by their keys, so that equal values are equal bytes
}

// Types holds the plans of the types that were met. It is safe for concurrent
// use.
//
// Invariant: a plan in nodes is complete and never changes.
type Types struct {
	cfg   Config
	nodes sync.Map // of reflect.Type to *node
}

// New makes an empty set of plans.
func New(cfg Config) *Types { return &Types{cfg: cfg} }

// Check reports why values of type t cannot travel, with the path of the field
// in Go's names. It keeps no plan: what the program registers later still
// counts, unless the type cannot travel without it.
func (ts *Types) Check(t reflect.Type) error {
	c := &compiler{types: ts, known: make(map[reflect.Type]*node), trusting: true}
	_, err := c.compile(t)
	return err
}

// node returns the plan of t.
func (ts *Types) node(t reflect.Type) (*node, error) {
	if n, ok := ts.nodes.Load(t); ok {
		return n.(*node), nil
	}
	c := &compiler{types: ts, known: make(map[reflect.Type]*node)}
	n, err := c.compile(t)
	if err != nil {
		return nil, err
	}
	kept, _ := ts.nodes.LoadOrStore(t, n)
	return kept.(*node), nil
}

// Append appends the encoding of v, of any type that can travel. Errors are
// wire.ErrTooDeep, wire.ErrTooLarge, those of v's own methods, and kinds that
// cannot travel, with the path.
func (ts *Types) Append(dst []byte, v any, b Bounds) ([]byte, error) {
	w := ts.writer(dst, b)
	if err := w.any(v); err != nil {
		return dst, err
	}
	return w.dst, nil
}

// Decode reads the one value that b consists of into v, a pointer that is not
// nil. Errors are as Codec.Decode's.
func (ts *Types) Decode(b []byte, v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("decoding into %T, which is no pointer to anything", v)
	}
	n, err := ts.node(p.Type().Elem())
	if err != nil {
		return err
	}
	r := reader{buf: b, maxDepth: ts.cfg.MaxDepth, types: ts}
	if err := r.decode(n, p.UnsafePointer()); err != nil {
		return err
	}
	return r.end()
}

// Codec encodes and decodes values of one type.
type Codec[T any] struct {
	root  *node
	types *Types
}

// For makes the codec of T, or says why T cannot travel.
func For[T any](ts *Types) (*Codec[T], error) {
	root, err := ts.node(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	return &Codec[T]{root: root, types: ts}, nil
}

// Plain reports whether neither encoding nor decoding a value calls code of the
// program's, which might panic.
func (c *Codec[T]) Plain() bool { return c.root.plain }

// Append appends the encoding of *v to dst. Errors are as Types.Append's.
func (c *Codec[T]) Append(dst []byte, v *T, b Bounds) ([]byte, error) {
	if c.root.plain && !(b.Sorted && c.root.maps) {
		end := len(dst) + b.Size
		out := c.root.append(dst, unsafe.Pointer(v), end)
		if len(out) > end {
			return dst, wire.ErrTooLarge
		}
		return out, nil
	}
	w := c.types.writer(dst, b)
	if err := w.value(c.root, unsafe.Pointer(v)); err != nil {
		return dst, err
	}
	return w.dst, nil
}

const (
	roomBytes = 64  // that a value's small strings find in its own allocation
	roomInput = 128 // the longest input, in bytes, whose value gets that room
)

// Decode returns the one value that b consists of. It does not refer to b.
// Errors are those of wire.Scan, or say what does not fit where.
func (c *Codec[T]) Decode(b []byte) (*T, error) {
	r := reader{buf: b, maxDepth: c.types.cfg.MaxDepth, types: c.types}
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
