package rpc

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/meshnode/meshnode/internal/pack"
	"github.com/meshnode/meshnode/internal/wire"
)

// MaxDepth is how deep arrays and maps may nest in a request or reply.
const MaxDepth = 64

// MaxBody is the longest request or reply in bytes, whatever limits nodes have.
const MaxBody = 1 << 30

// fallbackTag names fields that have no msgpack tag.
const fallbackTag = "json"

// encode appends v to dst as msgpack, at most limit bytes. A panic in a value's
// own marshaller is an error like any other.
func encode(dst []byte, v any, b pack.Bounds) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = dst, encodePanic(v, p)
		}
	}()
	out, err = types().Append(dst, v, b)
	if err != nil {
		return dst, encodeError(v, b, err)
	}
	return out, nil
}

func encodePanic(v, p any) error {
	return Errorf(InvalidArgument, "encoding %s panicked: %v", typeName(v), p)
}

// encodeError says why v cannot be encoded: an *Error with ResourceExhausted for
// what is too large, InvalidArgument for all else.
func encodeError(v any, b pack.Bounds, err error) error {
	switch {
	case errors.Is(err, wire.ErrTooLarge):
		return Errorf(ResourceExhausted, "%s takes more than %d bytes", typeName(v), b.Size).After(NeverRetry)
	case errors.Is(err, wire.ErrTooDeep):
		return Errorf(InvalidArgument, "%s nests deeper than %d levels, or contains itself", typeName(v), MaxDepth)
	}
	return Errorf(InvalidArgument, "%s cannot be encoded: %v", typeName(v), err)
}

// typeName is the type of what v points to.
func typeName(v any) string {
	t := reflect.TypeOf(v)
	if t == nil {
		return "nil"
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.String()
}

// decode reads exactly one msgpack value from b into v, a pointer. A panic in a
// value's own unmarshaller is an error like any other.
func decode(b []byte, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoding %s panicked: %v", typeName(v), p)
		}
	}()
	if err := types().Decode(b, v); err != nil {
		return explain(b, v, err)
	}
	return nil
}

// explain says why b is no encoding of v's type: first of all, whether it is
// msgpack.
func explain(b []byte, v any, err error) error {
	if err := wire.Scan(b, MaxDepth); err != nil {
		return fmt.Errorf("body is no valid msgpack: %w", err)
	}
	return fmt.Errorf("body does not fit %s: %w", typeName(v), err)
}

// codec turns pointers to one type into bytes and back.
type codec struct {
	append func(dst []byte, v any, b pack.Bounds) ([]byte, error) // errors are *Error
	decode func(b []byte) (any, error)
	raw    bool // bytes pass through
}

// codecFor returns the codec of *T. []byte passes through; a decoded []byte is a
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
		append: func(dst []byte, v any, b pack.Bounds) ([]byte, error) {
			switch p := v.(type) {
			case *[]byte:
				if p != nil && len(*p) > b.Size {
					return dst, Errorf(ResourceExhausted, "%d bytes are more than %d", len(*p), b.Size).After(NeverRetry)
				}
				if p != nil {
					dst = append(dst, *p...)
				}
			case nil:
			default:
				return dst, Errorf(InvalidArgument, "a %T where *[]byte goes", v)
			}
			return dst, nil
		},
		decode: func(b []byte) (any, error) { return copyOf(b), nil },
	}
}

// copyOf returns a pointer to a copy of b. A small copy and its slice share one
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

// Encode appends v to dst as this package encodes requests and replies. Errors
// are *Error: InvalidArgument for what cannot travel or nests deeper than
// MaxDepth, ResourceExhausted for more than MaxBody bytes.
func Encode(dst []byte, v any) ([]byte, error) { return encode(dst, v, bounds(MaxBody)) }

// Decode reads one value that Encode wrote into v, a pointer. It is safe on
// bytes from strangers: memory is bounded by their length times the size of
// the largest element in v's type. What does not fit its place is an error with
// the path of the field.
func Decode(b []byte, v any) error { return decode(b, v) }

// bounds are those of a value of at most limit bytes; 0 or less: MaxBody.
func bounds(limit int) pack.Bounds {
	if limit <= 0 || limit > MaxBody {
		limit = MaxBody
	}
	return pack.Bounds{Size: limit}
}
