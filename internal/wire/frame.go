package wire

import (
	"encoding/binary"
	"math"
	"time"
)

// Kind is the first number of a header. 0, 1 and 2 are MessagePack-RPC's own.
type Kind uint8

// The kinds of frames.
const (
	KindCall Kind = iota
	KindReply
	KindNotify
	KindOpen
	KindData
	KindHalfClose
	KindCancel
	KindWindow
	KindPing
	KindPong
	KindGoAway
	KindHello
	kindCount
)

var kindNames = [kindCount]string{
	"call", "reply", "notify", "open", "data", "half-close",
	"cancel", "window", "ping", "pong", "goaway", "hello",
}

// String names the kind as the specification does.
func (k Kind) String() string {
	if k < kindCount {
		return kindNames[k]
	}
	return "unknown"
}

const (
	// Prefix is the length in bytes of the length that begins each frame.
	Prefix = 4
	// MaxHeader bounds a header in bytes.
	MaxHeader = 64 << 10
	// Chunk is the most bytes of a body in one data frame.
	Chunk = 64 << 10
	// MaxInline is the longest body in the frame of its header: a chunk, and
	// what an encoding puts around it. A longer one goes in data frames.
	MaxInline = Chunk + 1<<10
	// MaxFrame bounds a frame in bytes, its length not counted.
	MaxFrame = MaxHeader + MaxInline
	// Version is the protocol version that a hello names.
	Version = 1
	// Preface begins a connection, before the first frame. Its first byte
	// tells mesh connections from the others on the port.
	Preface = "mesh"
)

// Header is a parsed frame header. Which fields mean something depends on the
// kind; Method and the byte slices in Meta alias the frame.
type Header struct {
	Kind   Kind
	ID     uint64 // call, reply, open, data, half-close, cancel, window; goaway: last id accepted
	Code   uint64 // reply and cancel: status; goaway: reason; window: credit; ping and pong: number; hello: version
	More   bool   // data: the message goes on in the next data frame of the stream
	Method []byte // call, notify, open
	Meta   Meta   // call, reply, notify, open
}

// Begin reserves the length of a new frame in dst. at is where it begins.
func Begin(dst []byte) (buf []byte, at int) {
	return append(dst, 0, 0, 0, 0), len(dst)
}

// End fills in the length of the frame that begins at at and ends with buf.
func End(buf []byte, at int) []byte { return EndSplit(buf, at, 0) }

// EndSplit is End for a frame whose last extra bytes are not in buf but will
// be written right behind it.
func EndSplit(buf []byte, at, extra int) []byte {
	binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at-Prefix+extra))
	return buf
}

// Length reads a frame's length from the first Prefix bytes of b. It is never
// negative: lengths beyond 2 GiB all read as 2 GiB, more than any limit.
func Length(b []byte) int { return int(min(binary.BigEndian.Uint32(b), math.MaxInt32)) }

// AppendCall appends the header of a call.
func AppendCall(dst []byte, id uint64, method string, m *Meta) []byte {
	dst = AppendUint(append(dst, 0x94, byte(KindCall)), id)
	return appendMeta(AppendStr(dst, method), m)
}

// AppendRequest appends the header of a call, an open or a notify (which has no
// id) with another timeout and length than m has: many callers may share one m,
// and to copy it costs more than to write it.
func AppendRequest(dst []byte, k Kind, id uint64, method string, m *Meta, timeout time.Duration, length uint64) []byte {
	if k == KindNotify {
		dst = append(dst, 0x93, byte(k))
	} else {
		dst = AppendUint(append(dst, 0x94, byte(k)), id)
	}
	return appendMetaWith(AppendStr(dst, method), m, timeout, length)
}

// AppendReply appends the header of a reply; code 0 is success.
func AppendReply(dst []byte, id, code uint64, m *Meta) []byte {
	dst = AppendUint(append(dst, 0x94, byte(KindReply)), id)
	return appendMeta(AppendUint(dst, code), m)
}

// AppendNotify appends the header of a one-way call.
func AppendNotify(dst []byte, method string, m *Meta) []byte {
	return appendMeta(AppendStr(append(dst, 0x93, byte(KindNotify)), method), m)
}

// AppendOpen appends the header that opens a stream.
func AppendOpen(dst []byte, id uint64, method string, m *Meta) []byte {
	dst = AppendUint(append(dst, 0x94, byte(KindOpen)), id)
	return appendMeta(AppendStr(dst, method), m)
}

// AppendData appends the header of a data frame: a message of a stream, a part
// of one, or a part of a body. more says that the next data frame of id goes
// on with it.
func AppendData(dst []byte, id uint64, more bool) []byte {
	if more {
		return append(AppendUint(append(dst, 0x93, byte(KindData)), id), 1)
	}
	return AppendUint(append(dst, 0x92, byte(KindData)), id)
}

// AppendHalfClose appends the header that ends the caller's messages on a
// stream.
func AppendHalfClose(dst []byte, id uint64) []byte { return appendNumbers(dst, KindHalfClose, id) }

// AppendWindow appends a grant of so many more bytes in data frames: on the
// stream of id or, if id is 0, on the connection.
func AppendWindow(dst []byte, id, credit uint64) []byte {
	return appendNumbers(dst, KindWindow, id, credit)
}

// AppendCancel appends a cancel frame's header: the caller of id no longer
// waits, for the reason in code.
func AppendCancel(dst []byte, id, code uint64) []byte {
	return appendNumbers(dst, KindCancel, id, code)
}

// AppendPing appends a ping, AppendPong its answer with the same number.
func AppendPing(dst []byte, n uint64) []byte { return appendNumbers(dst, KindPing, n) }

// AppendPong appends the answer to a ping.
func AppendPong(dst []byte, n uint64) []byte { return appendNumbers(dst, KindPong, n) }

// AppendGoAway appends a goaway: calls above lastID were not and will not be
// executed. The body is a reason for people.
func AppendGoAway(dst []byte, lastID, code uint64) []byte {
	return appendNumbers(dst, KindGoAway, lastID, code)
}

func appendNumbers(dst []byte, k Kind, numbers ...uint64) []byte {
	dst = append(appendArrayHeader(dst, 1+len(numbers)), byte(k))
	for _, n := range numbers {
		dst = AppendUint(dst, n)
	}
	return dst
}

// Parse reads the header of one frame (without its length) into h and gives
// the body, which aliases frame. For a hello the body begins with its map;
// see ParseHello.
//
// Elements beyond those it knows are passed over: a later minor version may
// add them. Errors: ErrTruncated, ErrMalformed, ErrUnknownKind, ErrLength,
// ErrTooDeep, ErrHeaderTooLarge.
func Parse(frame []byte, h *Header) (body []byte, err error) {
	c := cursor{buf: frame[:min(len(frame), MaxHeader)]}
	n := c.array()
	kind := c.uint()
	if c.err == nil && kind >= uint64(kindCount) {
		return nil, ErrUnknownKind
	}
	h.Kind, h.ID, h.Code, h.Method, h.More = Kind(kind), 0, 0, nil, false
	used := 1
	switch h.Kind {
	case KindCall, KindOpen:
		h.ID, h.Method = c.uint(), c.str()
		c.meta(&h.Meta)
		used = 4
	case KindReply:
		h.ID, h.Code = c.uint(), c.uint()
		c.meta(&h.Meta)
		used = 4
	case KindNotify:
		h.Method = c.str()
		c.meta(&h.Meta)
		used = 3
	case KindCancel, KindWindow, KindGoAway:
		h.ID, h.Code = c.uint(), c.uint()
		used = 3
	case KindData:
		h.ID = c.uint()
		if used = 2; n > 2 {
			h.More, used = c.uint() != 0, 3
		}
	case KindHalfClose:
		h.ID = c.uint()
		used = 2
	case KindPing, KindPong:
		h.Code = c.uint()
		used = 2
	case KindHello: // its map, and what may follow, are left to ParseHello
		h.Code = c.uint()
		n, used = min(n, 3), 3
	}
	return c.finish(frame, n-used)
}

// finish passes over extra header elements and gives what follows.
func (c *cursor) finish(frame []byte, extra int) ([]byte, error) {
	if extra < 0 {
		c.fail(ErrMalformed)
	}
	for ; extra > 0 && c.err == nil; extra-- {
		c.skip()
	}
	if c.err == nil {
		return frame[c.pos:], nil
	}
	if c.err == ErrTruncated && len(frame) > MaxHeader {
		return nil, ErrHeaderTooLarge
	}
	return nil, c.err
}

// PeekKind reads only the kind of a frame.
func PeekKind(frame []byte) (Kind, error) {
	if len(frame) >= 2 && frame[0]&0xf0 == 0x90 && frame[1] < byte(kindCount) {
		return Kind(frame[1]), nil
	}
	c := cursor{buf: frame}
	c.array()
	kind := c.uint()
	if c.err == nil && kind >= uint64(kindCount) {
		return 0, ErrUnknownKind
	}
	return Kind(kind), c.err
}

// PeekID reads only the id of a frame whose second element is one.
func PeekID(frame []byte) (uint64, error) {
	c := cursor{buf: frame}
	c.array()
	c.uint()
	id := c.uint()
	return id, c.err
}
