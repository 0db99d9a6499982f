package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

const (
	timeExt = 0xff // msgpack's timestamp, -1
	nodeExt = 13   // what some libraries of Node.js take for it
)

// appendTime appends msgpack's timestamp, in the shortest form that holds it. It
// has no zone.
func appendTime(dst []byte, t *time.Time) []byte {
	sec, nsec := uint64(t.Unix()), uint64(t.Nanosecond())
	switch {
	case sec>>32 == 0 && nsec == 0:
		return binary.BigEndian.AppendUint32(append(dst, 0xd6, timeExt), uint32(sec))
	case sec>>34 == 0:
		return binary.BigEndian.AppendUint64(append(dst, 0xd7, timeExt), nsec<<34|sec)
	}
	dst = binary.BigEndian.AppendUint32(append(dst, 0xc7, 12, timeExt), uint32(nsec))
	return binary.BigEndian.AppendUint64(dst, sec)
}

// time reads a timestamp, a string as RFC 3339 has it, or nil, which is the zero
// time.
func (r *reader) time(t *time.Time) error {
	if r.pos >= len(r.buf) {
		return wire.ErrTruncated
	}
	switch c := r.buf[r.pos]; {
	case c == 0xc0:
		r.pos++
		*t = time.Time{}
		return nil
	case c >= 0xa0 && c < 0xc0 || c >= 0xd9 && c <= 0xdb:
		b, err := r.text()
		if err != nil {
			return err
		}
		v, err := time.Parse(time.RFC3339Nano, string(b))
		if err != nil {
			return fmt.Errorf("%.40q is no time as RFC 3339 has it", b)
		}
		*t = v
		return nil
	case !isExt(c):
		return misfit(c, "a time")
	}
	v, err := r.timestamp()
	if err == nil {
		*t = v
	}
	return err
}

func isExt(c byte) bool { return c >= 0xc7 && c <= 0xc9 || c >= 0xd4 && c <= 0xd8 }

// extHead returns the type of an extension value, which must be well-formed, and
// its payload.
func extHead(b []byte) (kind byte, payload []byte) {
	head := 2
	if c := b[0]; c <= 0xc9 {
		head += 1 << (c - 0xc7)
	}
	return b[head-1], b[head:]
}

var errTimestamp = errors.New("an extension value that is no timestamp where a time goes")

// timestamp reads an extension value that must be a timestamp.
func (r *reader) timestamp() (time.Time, error) {
	b, err := r.one()
	if err != nil {
		return time.Time{}, err
	}
	kind, b := extHead(b)
	if kind != timeExt && kind != nodeExt {
		return time.Time{}, errTimestamp
	}
	var t time.Time
	switch len(b) {
	case 4:
		t = time.Unix(int64(binary.BigEndian.Uint32(b)), 0)
	case 8:
		both := binary.BigEndian.Uint64(b)
		t = time.Unix(int64(both&(1<<34-1)), int64(both>>34))
	case 12:
		t = time.Unix(int64(binary.BigEndian.Uint64(b[4:])), int64(binary.BigEndian.Uint32(b)))
	default:
		return time.Time{}, errTimestamp
	}
	if t.IsZero() {
		return time.Time{}, nil
	}
	return t, nil
}
