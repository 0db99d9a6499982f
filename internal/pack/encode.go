package pack

import (
	"encoding/binary"
	"math"
	"reflect"
	"unsafe"

	"github.com/meshnode/meshnode/internal/wire"
)

// sliceHeader is how a slice of any type lies in memory. Assigning data tells
// the garbage collector, because it is an unsafe.Pointer and no uintptr.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// append appends the encoding of the value that p points to.
func (n *node) append(dst []byte, p unsafe.Pointer) []byte {
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
		return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(*(*float64)(p)))
	case opString:
		return wire.AppendStr(dst, *(*string)(p))
	case opBytes:
		return appendBytes(dst, *(*[]byte)(p))
	case opStruct:
		return n.appendStruct(dst, p)
	default:
		return n.appendMany(dst, p)
	}
}

// appendMany is append for what holds other values.
func (n *node) appendMany(dst []byte, p unsafe.Pointer) []byte {
	switch n.op {
	case opPointer:
		to := *(*unsafe.Pointer)(p)
		if to == nil {
			return append(dst, 0xc0)
		}
		return n.elem.append(dst, to)
	case opByteArray:
		return append(appendBinHead(dst, n.count), unsafe.Slice((*byte)(p), n.count)...)
	case opStrings:
		s := *(*[]string)(p)
		if s == nil {
			return append(dst, 0xc0)
		}
		dst = appendArrayHead(dst, len(s))
		for _, e := range s {
			dst = wire.AppendStr(dst, e)
		}
		return dst
	case opSlice:
		s := (*sliceHeader)(p)
		if s.data == nil {
			return append(dst, 0xc0)
		}
		return n.appendElems(dst, s.data, s.len)
	case opArray:
		return n.appendElems(dst, p, n.count)
	case opStringMap:
		m := *(*map[string]string)(p)
		if m == nil {
			return append(dst, 0xc0)
		}
		dst = wire.AppendMapHeader(dst, len(m))
		for k, v := range m {
			dst = wire.AppendStr(wire.AppendStr(dst, k), v)
		}
		return dst
	default:
		return n.appendMap(dst, p)
	}
}

func (n *node) appendElems(dst []byte, first unsafe.Pointer, count int) []byte {
	dst = appendArrayHead(dst, count)
	for i := range count {
		dst = n.elem.append(dst, unsafe.Add(first, uintptr(i)*n.size))
	}
	return dst
}

// appendMap needs reflection for each pair, the only way into a map whose type
// is not known here.
func (n *node) appendMap(dst []byte, p unsafe.Pointer) []byte {
	m := reflect.NewAt(n.typ, p).Elem()
	if m.IsNil() {
		return append(dst, 0xc0)
	}
	dst = wire.AppendMapHeader(dst, m.Len())
	key, elem := reflect.New(n.key.typ), reflect.New(n.elem.typ)
	for pairs := m.MapRange(); pairs.Next(); {
		key.Elem().SetIterKey(pairs)
		elem.Elem().SetIterValue(pairs)
		dst = n.key.append(dst, key.UnsafePointer())
		dst = n.elem.append(dst, elem.UnsafePointer())
	}
	return dst
}

func (n *node) appendStruct(dst []byte, p unsafe.Pointer) []byte {
	if n.omits {
		return n.appendSome(dst, p)
	}
	dst = wire.AppendMapHeader(dst, len(n.fields))
	for i := range n.fields {
		f := &n.fields[i]
		dst = f.append(append(dst, f.head...), unsafe.Add(p, f.offset))
	}
	return dst
}

// appendSome leaves out the fields that are omitempty and empty.
func (n *node) appendSome(dst []byte, p unsafe.Pointer) []byte {
	count := 0
	for i := range n.fields {
		if !n.fields[i].left(p) {
			count++
		}
	}
	dst = wire.AppendMapHeader(dst, count)
	for i := range n.fields {
		if f := &n.fields[i]; !f.left(p) {
			dst = f.append(append(dst, f.head...), unsafe.Add(p, f.offset))
		}
	}
	return dst
}

// left tells whether the field is left out of the struct that p points to.
func (f *field) left(p unsafe.Pointer) bool { return f.omit && f.empty(unsafe.Add(p, f.offset)) }

// empty tells whether omitempty leaves out the value that p points to: a zero
// number, no elements, a nil pointer, a struct without any fields left.
func (n *node) empty(p unsafe.Pointer) bool {
	switch n.op {
	case opBool, opInt8, opUint8:
		return *(*uint8)(p) == 0
	case opInt16, opUint16:
		return *(*uint16)(p) == 0
	case opInt32, opUint32:
		return *(*uint32)(p) == 0
	case opInt64, opUint64:
		return *(*uint64)(p) == 0
	case opFloat32:
		return *(*float32)(p) == 0
	case opFloat64:
		return *(*float64)(p) == 0
	case opString:
		return *(*string)(p) == ""
	case opBytes, opStrings, opSlice:
		return (*sliceHeader)(p).len == 0
	case opByteArray, opArray:
		return n.count == 0
	case opPointer:
		return *(*unsafe.Pointer)(p) == nil
	case opStringMap, opMap:
		return reflect.NewAt(n.typ, p).Elem().Len() == 0
	}
	for i := range n.fields {
		if !n.fields[i].left(p) {
			return false
		}
	}
	return true
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
