package pack

import (
	"fmt"
	"math"
	"unsafe"
)

// integer reads a number in any form into an integer of n's size. A float must be
// a whole number. What does not fit is an error.
func (r *reader) integer(n *node, p unsafe.Pointer) error {
	c, err := r.code()
	if err != nil {
		return err
	}
	v, neg := uint64(int8(c)), c >= 0xe0
	if c >= 0x80 && c < 0xe0 {
		if c == 0xca || c == 0xcb {
			v, neg, err = r.wholeFloat(c, n)
		} else {
			v, neg, err = r.wide(c, "an integer")
		}
		if err != nil {
			return err
		}
	}
	if !n.op.fits(v, neg) {
		return fmt.Errorf("%s does not fit %v", decimal(v, neg), n.typ.Kind())
	}
	switch n.op {
	case opInt8, opUint8:
		*(*uint8)(p) = uint8(v)
	case opInt16, opUint16:
		*(*uint16)(p) = uint16(v)
	case opInt32, opUint32:
		*(*uint32)(p) = uint32(v)
	default:
		*(*uint64)(p) = v
	}
	return nil
}

// fits reports whether an integer of this op can be v, 64 bits of two's
// complement if it is negative.
func (o op) fits(v uint64, neg bool) bool {
	if o >= opUint8 {
		return !neg && v>>(8<<(o-opUint8)) == 0
	}
	bits := 8 << (o - opInt8)
	if neg {
		return int64(v)>>(bits-1) == -1
	}
	return v>>(bits-1) == 0
}

func decimal(v uint64, neg bool) string {
	if neg {
		return fmt.Sprint(int64(v))
	}
	return fmt.Sprint(v)
}

// wide reads what follows the code of an integer of more than one byte; nil is 0.
func (r *reader) wide(c byte, want string) (v uint64, neg bool, err error) {
	switch c {
	case 0xc0:
		return 0, false, nil
	case 0xcc, 0xcd, 0xce, 0xcf:
		v, err = r.unsigned(1 << (c - 0xcc))
		return v, false, err
	case 0xd0, 0xd1, 0xd2, 0xd3:
		width := 1 << (c - 0xd0)
		v, err = r.unsigned(width)
		shift := 64 - 8*width
		signed := int64(v<<shift) >> shift
		return uint64(signed), signed < 0, err
	}
	return 0, false, misfit(c, want)
}

// wholeFloat reads what follows the code of a float that must be an integer.
func (r *reader) wholeFloat(c byte, n *node) (v uint64, neg bool, err error) {
	f, err := r.floating(c)
	switch {
	case err != nil:
		return 0, false, err
	case f != math.Trunc(f): // NaN as well
		return 0, false, fmt.Errorf("%v is no integer", f)
	case f < 0 && f >= math.MinInt64:
		return uint64(int64(f)), true, nil
	case f >= 0 && f < 1<<64:
		return uint64(f), false, nil
	}
	return 0, false, fmt.Errorf("%v does not fit %v", f, n.typ.Kind())
}

// floating reads what follows the code of a float.
func (r *reader) floating(c byte) (float64, error) {
	if c == 0xca {
		u, err := r.unsigned(4)
		return float64(math.Float32frombits(uint32(u))), err
	}
	u, err := r.unsigned(8)
	return math.Float64frombits(u), err
}

// float64 reads a number in any form; an integer must be one that a float64 can
// hold.
func (r *reader) float64() (float64, error) {
	c, err := r.code()
	if err != nil {
		return 0, err
	}
	if c == 0xcb || c == 0xca {
		return r.floating(c)
	}
	v, neg, err := r.whole(c)
	if err != nil {
		return 0, err
	}
	f := float64(v)
	if neg {
		f = float64(int64(v))
	}
	if !exact(f, v, neg) {
		return 0, fmt.Errorf("%s does not fit float64 exactly", decimal(v, neg))
	}
	return f, nil
}

// float32 reads a number in any form. A double is rounded but must be in range;
// an integer must be one that a float32 can hold.
func (r *reader) float32() (float32, error) {
	c, err := r.code()
	if err != nil {
		return 0, err
	}
	switch c {
	case 0xca:
		u, err := r.unsigned(4)
		return math.Float32frombits(uint32(u)), err
	case 0xcb:
		d, err := r.floating(c)
		f := float32(d)
		if math.IsInf(float64(f), 0) && !math.IsInf(d, 0) {
			return 0, fmt.Errorf("%v does not fit float32", d)
		}
		return f, err
	}
	v, neg, err := r.whole(c)
	if err != nil {
		return 0, err
	}
	f := float32(v)
	if neg {
		f = float32(int64(v))
	}
	if !exact(float64(f), v, neg) {
		return 0, fmt.Errorf("%s does not fit float32 exactly", decimal(v, neg))
	}
	return f, nil
}

// exact reports whether f is the integer v.
func exact(f float64, v uint64, neg bool) bool {
	if neg {
		return int64(f) == int64(v)
	}
	return f < 1<<64 && uint64(f) == v
}

// whole reads an integer by its code, or nil, where a float goes.
func (r *reader) whole(c byte) (v uint64, neg bool, err error) {
	if c < 0x80 || c >= 0xe0 {
		return uint64(int8(c)), c >= 0xe0, nil
	}
	return r.wide(c, "a number")
}
