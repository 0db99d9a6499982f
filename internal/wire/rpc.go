package wire

import "encoding/binary"

// The kinds of messages of MessagePack-RPC, which share their numbers with
// KindCall, KindReply and KindNotify.
const (
	rpcRequest      = 0
	rpcResponse     = 1
	rpcNotification = 2
)

// RPCMessage is a message as a client of plain MessagePack-RPC sends it:
// [0,id,method,params] or [2,method,params]. Method and Params alias the
// message and hold one encoded value each, of any type: what is wrong with
// them is answered, not a violation of the protocol.
type RPCMessage struct {
	Notify bool // nobody waits for an answer
	ID     uint64
	Method []byte
	Params []byte
}

// ParseRPC reads one message. msg must have passed a Scanner or Scan.
// ErrUnknownKind tells of a first number that no client sends, a response's
// included; other errors of an array of the wrong shape or an id that is no
// unsigned integer.
func ParseRPC(msg []byte, m *RPCMessage) error {
	c := cursor{buf: msg}
	n, kind := c.array(), c.uint()
	switch {
	case c.err != nil:
		return c.err
	case kind == rpcRequest && n == 4:
		m.Notify, m.ID = false, c.uint()
	case kind == rpcNotification && n == 3:
		m.Notify, m.ID = true, 0
	case kind == rpcRequest || kind == rpcNotification:
		return ErrMalformed
	default:
		return ErrUnknownKind
	}
	m.Method, m.Params = c.value(), c.value()
	return c.err
}

// value gives the bytes of the next value, of any type and depth.
func (c *cursor) value() []byte {
	if c.err != nil {
		return nil
	}
	n, err := scanValue(c.buf[c.pos:], MaxDepth)
	if err != nil {
		c.fail(err)
		return nil
	}
	return c.next(n)
}

// Elements gives the encoded elements of an array in out and their number,
// which may exceed what fits into out: the rest is left away. ok is false if b
// is no array. b must have passed Scan.
func Elements(b []byte, out [][]byte) (n int, ok bool) {
	c := cursor{buf: b}
	if n = c.array(); c.err != nil {
		return 0, false
	}
	for i := range min(n, len(out)) {
		out[i] = c.value()
	}
	return n, c.err == nil
}

// Pairs calls each for every pair of a map with the encoded key and value until
// one fails. ok is false if b is no map. b must have passed Scan.
func Pairs(b []byte, each func(key, value []byte) error) (ok bool, err error) {
	c := cursor{buf: b}
	n := c.mapping()
	if c.err != nil {
		return false, nil
	}
	for range n {
		key, value := c.value(), c.value()
		if c.err != nil {
			return true, c.err
		}
		if err := each(key, value); err != nil {
			return true, err
		}
	}
	return true, nil
}

// Text gives the content of b if it is a string or binary value; it aliases b.
func Text(b []byte) (text []byte, ok bool) {
	c := cursor{buf: b}
	text = c.str()
	return text, c.err == nil
}

// Uint gives b's number if it is an integer that is not negative.
func Uint(b []byte) (u uint64, ok bool) {
	c := cursor{buf: b}
	u = c.uint()
	return u, c.err == nil
}

// IsNil tells whether b is nil.
func IsNil(b []byte) bool { return len(b) == 1 && b[0] == nilByte }

// IsBin tells whether b begins a binary value.
func IsBin(b []byte) bool { return len(b) > 0 && b[0] >= 0xc4 && b[0] <= 0xc6 }

const nilByte = 0xc0

// AppendNil appends nil.
func AppendNil(dst []byte) []byte { return append(dst, nilByte) }

// AppendBool appends a boolean.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 0xc3)
	}
	return append(dst, 0xc2)
}

// AppendBin appends b as a binary value.
func AppendBin(dst, b []byte) []byte {
	switch n := len(b); {
	case n < 1<<8:
		dst = append(dst, 0xc4, byte(n))
	case n < 1<<16:
		dst = append(dst, 0xc5, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xc6), uint32(n))
	}
	return append(dst, b...)
}

// AppendRPCResponse appends the head of a response, [1,id,error,result], of
// which the caller appends the last two values.
func AppendRPCResponse(dst []byte, id uint64) []byte {
	return AppendUint(append(appendArrayHeader(dst, 4), rpcResponse), id)
}

// Bool gives b's value if it is true or false.
func Bool(b []byte) (v, ok bool) {
	if len(b) != 1 {
		return false, false
	}
	return b[0] == 0xc3, b[0] == 0xc3 || b[0] == 0xc2
}
