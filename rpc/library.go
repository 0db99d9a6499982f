package rpc

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/internal/pack"
	"github.com/meshnode/meshnode/internal/wire"
)

// library has the msgpack library encode and decode the types that say
// themselves how: by its interfaces, or by what was registered with it.
type library struct{}

// encoder is a msgpack encoder with the buffer that it appends to. A decoder
// is the same for reading. They are pooled together because the library would
// otherwise allocate the one for the other on each use.
//
// Invariant: once err is set, buf does not grow.
type encoder struct {
	enc  *msgpack.Encoder
	buf  []byte
	from int // where the value begins in buf
	scan wire.Scanner
	err  error
}

type decoder struct {
	dec *msgpack.Decoder
	in  guarded
}

var (
	encoders = sync.Pool{New: func() any { return &encoder{enc: msgpack.NewEncoder(nil)} }}
	decoders = sync.Pool{New: func() any { return &decoder{dec: msgpack.NewDecoder(nil)} }}
)

// Write appends, and looks at what has been written: a value that leads to itself
// must not be followed for ever.
func (e *encoder) Write(b []byte) (int, error) {
	if e.err == nil {
		e.buf = append(e.buf, b...)
		_, e.err = e.scan.Next(e.buf[e.from:])
	}
	if e.err != nil {
		return 0, e.err
	}
	return len(b), nil
}

// WriteByte implements io.ByteWriter.
func (e *encoder) WriteByte(b byte) error {
	_, err := e.Write([]byte{b})
	return err
}

var errNotOne = errors.New("its own marshaller did not write one value of msgpack")

// Append implements pack.Library.
func (library) Append(dst []byte, v reflect.Value, b pack.Bounds) ([]byte, error) {
	e := encoders.Get().(*encoder)
	e.buf, e.from, e.err = dst, len(dst), nil
	e.scan.Reset(b.Size, b.Depth)
	// A value's own marshaller may have changed the settings.
	e.enc.Reset(e)
	e.enc.UseCompactInts(true)
	e.enc.SetCustomStructTag(fallbackTag)
	e.enc.SetSortMapKeys(b.Sorted)
	err := e.enc.EncodeValue(v)
	out, failed := e.buf, e.err
	n, _ := e.scan.Next(out[len(dst):])
	e.buf = nil
	encoders.Put(e)
	switch {
	case failed != nil: // the library may have put it into other words
		return dst, failed
	case err != nil:
		return dst, err
	case n == 0 || n != len(out)-len(dst):
		return dst, fmt.Errorf("%v: %w", v.Type(), errNotOne)
	}
	return out, nil
}

// Decode implements pack.Library. b has been checked: the library allocates from
// declared lengths.
func (library) Decode(b []byte, v reflect.Value) error {
	return withDecoder(b, func(d *msgpack.Decoder) error { return d.DecodeValue(v) })
}

// Extension implements pack.Library.
func (library) Extension(b []byte) (v any, err error) {
	err = withDecoder(b, func(d *msgpack.Decoder) error {
		v, err = d.DecodeInterfaceLoose()
		return err
	})
	return v, err
}

func withDecoder(b []byte, decode func(*msgpack.Decoder) error) error {
	d := decoders.Get().(*decoder)
	d.in.Reset(b)
	d.in.payloads = extensions(d.in.payloads[:0], b)
	d.dec.Reset(&d.in)
	d.dec.UseLooseInterfaceDecoding(true)
	d.dec.SetCustomStructTag(fallbackTag)
	if err := decode(d.dec); err != nil {
		// The decoder keeps what it was recording when it failed: no reuse.
		return err
	}
	if cap(d.in.payloads) <= keepPayloads {
		d.in.Reset(nil)
		decoders.Put(d)
	}
	return nil
}

// Methods implements pack.Library.
func (library) Methods(t reflect.Type) (encodes, decodes bool) {
	p := reflect.PointerTo(t)
	encodes = p.Implements(reflect.TypeFor[msgpack.CustomEncoder]()) || p.Implements(reflect.TypeFor[msgpack.Marshaler]())
	decodes = p.Implements(reflect.TypeFor[msgpack.CustomDecoder]()) || p.Implements(reflect.TypeFor[msgpack.Unmarshaler]())
	return encodes, decodes
}
