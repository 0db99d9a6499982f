package rpc

import (
	"fmt"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/internal/wire"
)

// MaxDepth is how deep arrays and maps may nest in a request or reply.
const MaxDepth = 64

// fallbackTag names fields that have no msgpack tag.
const fallbackTag = "json"

// encoder is a msgpack encoder with the buffer that it appends to. A decoder
// is the same for reading. They are pooled together because the library would
// otherwise allocate the one for the other on each use.
type encoder struct {
	enc *msgpack.Encoder
	buf []byte
}

type decoder struct {
	dec *msgpack.Decoder
	in  guarded
}

var (
	encoders = sync.Pool{New: func() any { return &encoder{enc: msgpack.NewEncoder(nil)} }}
	decoders = sync.Pool{New: func() any { return &decoder{dec: msgpack.NewDecoder(nil)} }}
)

func (e *encoder) Write(b []byte) (int, error) {
	e.buf = append(e.buf, b...)
	return len(b), nil
}

func (e *encoder) WriteByte(b byte) error {
	e.buf = append(e.buf, b)
	return nil
}

// encode appends v to dst as msgpack. A panic in a value's own marshaller is
// an error like any other.
func encode(dst []byte, v any) (out []byte, err error) { return encodeWith(dst, v, false) }

// encodeWith is encode; sorted has maps of strings go by their keys, so that equal
// values are equal bytes.
func encodeWith(dst []byte, v any, sorted bool) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = dst, fmt.Errorf("encoding %T panicked: %v", v, p)
		}
	}()
	e := encoders.Get().(*encoder)
	e.buf = dst
	// A value's own marshaller may have changed the settings.
	e.enc.Reset(e)
	e.enc.UseCompactInts(true)
	e.enc.SetCustomStructTag(fallbackTag)
	e.enc.SetSortMapKeys(sorted)
	err = e.enc.Encode(v)
	out, e.buf = e.buf, nil
	encoders.Put(e)
	if err != nil {
		return dst, fmt.Errorf("encoding %T: %w", v, err)
	}
	return out, nil
}

// decode reads exactly one msgpack value from b into v. Declared lengths and
// depth are checked before the decoder sees b, because it allocates from them;
// a panic in a value's own unmarshaller is an error like any other.
func decode(b []byte, v any) (err error) {
	if err := wire.Scan(b, MaxDepth); err != nil {
		return fmt.Errorf("body is no valid msgpack: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoding %T panicked: %v", v, p)
		}
	}()
	d := decoders.Get().(*decoder)
	d.in.Reset(b)
	d.in.payloads = extensions(d.in.payloads[:0], b)
	d.dec.Reset(&d.in)
	d.dec.UseLooseInterfaceDecoding(true)
	d.dec.SetCustomStructTag(fallbackTag)
	if err = d.dec.Decode(v); err != nil {
		// The decoder keeps what it was recording when it failed: no reuse.
		return fmt.Errorf("body does not fit %T: %w", v, err)
	}
	if cap(d.in.payloads) <= keepPayloads {
		d.in.Reset(nil)
		decoders.Put(d)
	}
	return nil
}

// codec turns pointers to one type into bytes and back.
type codec struct {
	append func(dst []byte, v any) ([]byte, error)
	decode func(b []byte) (any, error)
	raw    bool // bytes pass through
}

// codecFor gives the codec of *T. []byte passes through; a decoded []byte is a
// copy, because the transport reuses its buffers, unless it is given away.
func codecFor[T any]() codec {
	if _, ok := any((*T)(nil)).(*[]byte); ok {
		return rawCodec()
	}
	return typedCodec[T]()
}

func rawCodec() codec {
	return codec{
		raw: true,
		append: func(dst []byte, v any) ([]byte, error) {
			switch p := v.(type) {
			case *[]byte:
				if p != nil {
					dst = append(dst, *p...)
				}
			case nil:
			default:
				return dst, fmt.Errorf("a %T where *[]byte goes", v)
			}
			return dst, nil
		},
		decode: func(b []byte) (any, error) { return copyOf(b), nil },
	}
}

// copyOf gives a pointer to a copy of b. A small copy and its slice share one
// allocation.
func copyOf(b []byte) *[]byte {
	switch n := len(b); {
	case n <= 64:
		c := new(struct {
			slice []byte
			data  [64]byte
		})
		c.slice = c.data[:copy(c.data[:], b):n]
		return &c.slice
	case n <= 488: // with the slice, a size class of the allocator
		c := new(struct {
			slice []byte
			data  [488]byte
		})
		c.slice = c.data[:copy(c.data[:], b):n]
		return &c.slice
	default:
		c := make([]byte, n)
		copy(c, b)
		return &c
	}
}

// Encode appends v to dst as this package encodes requests and replies.
func Encode(dst []byte, v any) ([]byte, error) { return encode(dst, v) }

// Decode reads one value that Encode wrote into v, a pointer. It is safe on
// bytes from strangers: memory is bounded by their length times the size of
// the largest element in v's type.
func Decode(b []byte, v any) error { return decode(b, v) }
