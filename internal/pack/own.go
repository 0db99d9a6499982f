package pack

import (
	"encoding"
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"github.com/meshnode/meshnode/internal/wire"
)

// way is how a type encodes itself in one direction. It is no function: what a
// function is given escapes to the heap.
type way uint8

const (
	byKind    way = iota // it does not
	byLibrary            // by code that the library calls
	byBinary             // by methods of package encoding
	byText
	byEither // decoding: text from strings, else binary
)

// own is how a type encodes itself.
type own struct {
	encode, decode way
	under          *node // its kind's plan; nil: that cannot travel
}

// ownOf returns how t encodes itself, or nil. Methods for the library count
// before those for any encoding, as they do for the library.
func (c *compiler) ownOf(t reflect.Type) *own {
	if k := t.Kind(); k == reflect.Interface || k == reflect.Pointer || t == reflect.TypeFor[time.Time]() {
		return nil
	}
	if lib := c.types.cfg.Library; lib != nil {
		encodes, decodes := lib.Methods(t)
		if encodes || decodes {
			var o own
			if encodes {
				o.encode = byLibrary
			}
			if decodes {
				o.decode = byLibrary
			}
			o.standard(t)
			return &o
		}
		if !c.trusting && lib.Registered(t) {
			return byItself()
		}
	}
	var o own
	o.standard(t)
	if o.encode == byKind && o.decode == byKind {
		return nil
	}
	return &o
}

// byItself is for types that the library was told about.
func byItself() *own { return &own{encode: byLibrary, decode: byLibrary} }

// registered reports whether the library knows how to encode t.
func (c *compiler) registered(t reflect.Type) bool {
	k := t.Kind()
	return c.types.cfg.Library != nil && k != reflect.Interface && k != reflect.Pointer && c.types.cfg.Library.Registered(t)
}

// encodesItself reports whether an embedded struct is a value and no set of
// fields.
func (c *compiler) encodesItself(t reflect.Type) bool {
	return t == reflect.TypeFor[time.Time]() || c.ownOf(t) != nil
}

// standard adds the methods of package encoding for directions without any.
func (o *own) standard(t reflect.Type) {
	p := reflect.PointerTo(t)
	if o.encode == byKind {
		switch {
		case p.Implements(reflect.TypeFor[encoding.BinaryMarshaler]()):
			o.encode = byBinary
		case p.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
			o.encode = byText
		}
	}
	if o.decode == byKind {
		binary, text := p.Implements(reflect.TypeFor[encoding.BinaryUnmarshaler]()), p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
		switch {
		case binary && text:
			o.decode = byEither
		case binary:
			o.decode = byBinary
		case text:
			o.decode = byText
		}
	}
}

// nilValue reports whether p points to a value that can be nil and is.
func (n *node) nilValue(p unsafe.Pointer) bool {
	switch n.typ.Kind() {
	case reflect.Map, reflect.Chan, reflect.Func, reflect.Slice:
		return *(*unsafe.Pointer)(p) == nil
	}
	return false
}

// methods has w encode a value by methods of package encoding.
func (w *writer) methods(how way, v any) error {
	if how == byBinary {
		b, err := v.(encoding.BinaryMarshaler).MarshalBinary()
		if err == nil {
			w.dst = append(appendBinHead(w.dst, len(b)), b...)
		}
		return err
	}
	b, err := v.(encoding.TextMarshaler).MarshalText()
	if err == nil {
		w.dst = wire.AppendStr(w.dst, unsafe.String(unsafe.SliceData(b), len(b)))
	}
	return err
}

// methods takes binary for types that read it, and a string for those that read
// text. A type that reads one of the two gets either.
func (r *reader) methods(how way, v any) error {
	str := false
	if r.pos < len(r.buf) {
		c := r.buf[r.pos]
		str = c >= 0xa0 && c < 0xc0 || c >= 0xd9 && c <= 0xdb
	}
	b, err := r.text()
	if err != nil {
		return err
	}
	if how == byText || how == byEither && str {
		return v.(encoding.TextUnmarshaler).UnmarshalText(b)
	}
	return v.(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
}

// encodeOwn encodes a value of a type that encodes itself; nil stays nil.
func (w *writer) encodeOwn(n *node, p unsafe.Pointer) error {
	switch how := n.own.encode; {
	case n.nilValue(p):
		w.dst = append(w.dst, 0xc0)
		return nil
	case how == byLibrary:
		out, err := w.types.cfg.Library.Append(w.dst, reflect.NewAt(n.typ, p).Elem(), Bounds{
			Size: w.end - len(w.dst), Depth: w.maxDepth - w.depth, Sorted: w.sorted,
		})
		if err == nil {
			w.dst = out
		}
		return err
	case how != byKind:
		return w.methods(how, reflect.NewAt(n.typ, p).Interface())
	case n.own.under != nil:
		return w.value(n.own.under, p)
	}
	return fmt.Errorf("%v can be decoded only", n.typ)
}

// decodeOwn decodes one; nil is the zero value.
func (r *reader) decodeOwn(n *node, p unsafe.Pointer) error {
	if r.pos < len(r.buf) && r.buf[r.pos] == 0xc0 {
		r.pos++
		reflect.NewAt(n.typ, p).Elem().SetZero()
		return nil
	}
	switch how := n.own.decode; {
	case how == byLibrary:
		b, err := r.one()
		if err != nil {
			return err
		}
		return r.types.cfg.Library.Decode(b, reflect.NewAt(n.typ, p).Elem())
	case how != byKind:
		return r.methods(how, reflect.NewAt(n.typ, p).Interface())
	case n.own.under != nil:
		return r.decode(n.own.under, p)
	}
	return fmt.Errorf("%v can be encoded only", n.typ)
}

// one passes over one value of any kind and returns its bytes.
func (r *reader) one() ([]byte, error) {
	from := r.pos
	if err := r.skip(); err != nil {
		return nil, err
	}
	return r.buf[from:r.pos], nil
}
