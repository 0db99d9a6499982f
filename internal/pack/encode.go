package pack

import (
	"encoding/binary"
	"math"
	"reflect"
	"time"
	"unsafe"

	"github.com/meshnode/meshnode/internal/wire"
)

// sliceHeader is how a slice of any type lies in memory. Assigning data tells
// the garbage collector, because it is an unsafe.Pointer and no uintptr.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// append appends the encoding of the value that p points to, of a plain type.
// Beyond end bytes of dst it may stop at any place.
func (n *node) append(dst []byte, p unsafe.Pointer, end int) []byte {
	switch {
	case n.op <= opBytes:
		return n.appendOne(dst, p)
	case n.op == opStruct:
		return n.appendStruct(dst, p, end)
	}
	return n.appendMany(dst, p, end)
}

// appendOne is append for what holds no other values.
func (n *node) appendOne(dst []byte, p unsafe.Pointer) []byte {
	switch n.op {
	case opBool:
		if *(*bool)(p) {
			return append(dst, 0xc3)
		}
		return append(dst, 0xc2)
	case opInt8:
		return appendInt(dst, int64(*(*int8)(p)))
	case opInt16:
		return appendInt(dst, int64(*(*int16)(p)))
	case opInt32:
		return appendInt(dst, int64(*(*int32)(p)))
	case opInt64:
		return appendInt(dst, *(*int64)(p))
	case opUint8:
		return wire.AppendUint(dst, uint64(*(*uint8)(p)))
	case opUint16:
		return wire.AppendUint(dst, uint64(*(*uint16)(p)))
	case opUint32:
		return wire.AppendUint(dst, uint64(*(*uint32)(p)))
	case opUint64:
		return wire.AppendUint(dst, *(*uint64)(p))
	case opFloat32:
		return binary.BigEndian.AppendUint32(append(dst, 0xca), math.Float32bits(*(*float32)(p)))
	case opFloat64:
		return appendFloat64(dst, *(*float64)(p))
	case opString:
		return wire.AppendStr(dst, *(*string)(p))
	default: // opBytes
		return appendBytes(dst, *(*[]byte)(p))
	}
}

// appendMany is append for what holds other values.
func (n *node) appendMany(dst []byte, p unsafe.Pointer, end int) []byte {
	switch n.op {
	case opPointer:
		to := *(*unsafe.Pointer)(p)
		if to == nil {
			return append(dst, 0xc0)
		}
		return n.elem.append(dst, to, end)
	case opByteArray:
		return append(appendBinHead(dst, n.count), unsafe.Slice((*byte)(p), n.count)...)
	case opStrings:
		return appendStrings(dst, *(*[]string)(p), end)
	case opSlice:
		s := (*sliceHeader)(p)
		if s.data == nil {
			return append(dst, 0xc0)
		}
		return n.appendElems(dst, s.data, s.len, end)
	case opArray:
		return n.appendElems(dst, p, n.count, end)
	case opStringMap:
		return appendStringMap(dst, *(*map[string]string)(p), end)
	case opTime:
		return appendTime(dst, (*time.Time)(p))
	default:
		return n.appendMap(dst, p, end)
	}
}

func appendStrings(dst []byte, s []string, end int) []byte {
	if s == nil {
		return append(dst, 0xc0)
	}
	dst = appendArrayHead(dst, len(s))
	for i := range s {
		if len(dst) > end {
			break
		}
		dst = wire.AppendStr(dst, s[i])
	}
	return dst
}

func appendStringMap(dst []byte, m map[string]string, end int) []byte {
	if m == nil {
		return append(dst, 0xc0)
	}
	dst = wire.AppendMapHeader(dst, len(m))
	for k, v := range m {
		if len(dst) > end {
			break
		}
		dst = wire.AppendStr(wire.AppendStr(dst, k), v)
	}
	return dst
}

// appendElems looks at the bound only where a list can be encoded to more bytes
// than it has in memory: many strings may share their bytes.
func (n *node) appendElems(dst []byte, first unsafe.Pointer, count, end int) []byte {
	dst = appendArrayHead(dst, count)
	for i := range count {
		if n.fans && len(dst) > end {
			break
		}
		dst = n.elem.append(dst, unsafe.Add(first, uintptr(i)*n.size), end)
	}
	return dst
}

// appendMap needs reflection for each pair, the only way into a map whose type
// is not known here.
func (n *node) appendMap(dst []byte, p unsafe.Pointer, end int) []byte {
	m := reflect.NewAt(n.typ, p).Elem()
	if m.IsNil() {
		return append(dst, 0xc0)
	}
	dst = wire.AppendMapHeader(dst, m.Len())
	key, elem := reflect.New(n.key.typ), reflect.New(n.elem.typ)
	for pairs := m.MapRange(); pairs.Next(); {
		key.Elem().SetIterKey(pairs)
		elem.Elem().SetIterValue(pairs)
		if len(dst) > end {
			break
		}
		dst = n.key.append(dst, key.UnsafePointer(), end)
		dst = n.elem.append(dst, elem.UnsafePointer(), end)
	}
	return dst
}

func (n *node) appendStruct(dst []byte, p unsafe.Pointer, end int) []byte {
	if n.omits || n.asArray {
		return n.appendSome(dst, p, end)
	}
	dst = wire.AppendMapHeader(dst, len(n.fields))
	for i := range n.fields {
		f := &n.fields[i]
		dst = append(dst, f.head...)
		if at := unsafe.Add(p, f.offset); f.op <= opBytes { // append would be one call more
			dst = f.appendOne(dst, at)
		} else {
			dst = f.append(dst, at, end)
		}
	}
	return dst
}

// appendSome is appendStruct for structs whose fields can be left out, and for
// those that are sent as arrays.
func (n *node) appendSome(dst []byte, p unsafe.Pointer, end int) []byte {
	if n.asArray {
		dst = appendArrayHead(dst, len(n.fields))
	} else {
		dst = wire.AppendMapHeader(dst, n.present(p))
	}
	for i := range n.fields {
		f := &n.fields[i]
		at := f.at(p)
		switch {
		case n.asArray && at == nil:
			dst = append(dst, 0xc0)
		case n.asArray:
			dst = f.append(dst, at, end)
		case !f.left(at):
			dst = f.append(append(dst, f.head...), at, end)
		}
	}
	return dst
}

// present is how many fields of the struct that p points to are not left out.
func (n *node) present(p unsafe.Pointer) int {
	count := 0
	for i := range n.fields {
		if f := &n.fields[i]; !f.left(f.at(p)) {
			count++
		}
	}
	return count
}

// left reports whether the field, which lies at p, is left out.
func (f *field) left(p unsafe.Pointer) bool {
	return p == nil || f.omit && f.empty(p) || f.zero != nil && f.zero(p)
}

func appendFloat64(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(f))
}

func appendInt(dst []byte, v int64) []byte {
	switch {
	case v >= 0:
		return wire.AppendUint(dst, uint64(v))
	case v >= -32:
		return append(dst, byte(v))
	case v >= math.MinInt8:
		return append(dst, 0xd0, byte(v))
	case v >= math.MinInt16:
		return append(dst, 0xd1, byte(v>>8), byte(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xd2), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(v))
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 0xc0)
	}
	return append(appendBinHead(dst, len(b)), b...)
}

func appendBinHead(dst []byte, n int) []byte {
	switch {
	case n < 1<<8:
		return append(dst, 0xc4, byte(n))
	case n < 1<<16:
		return append(dst, 0xc5, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xc6), uint32(n))
}

func appendArrayHead(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, 0x90|byte(n))
	case n < 1<<16:
		return append(dst, 0xdc, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xdd), uint32(n))
}
