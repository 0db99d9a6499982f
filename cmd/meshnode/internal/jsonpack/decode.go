package jsonpack

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/meshnode/meshnode/rpc"
)

// ToJSON gives compact JSON of the one msgpack value in b, which may come from
// anybody. The error says why b is not one.
func ToJSON(b []byte) (json.RawMessage, error) {
	var d document
	if err := rpc.Decode(b, &d); err != nil {
		return nil, err
	}
	if d.text == nil { // the decoder does not ask about a nil
		return json.RawMessage("null"), nil
	}
	return d.text, nil
}

// document is a value of any kind that decodes into JSON.
type document struct{ text []byte }

// DecodeMsgpack implements msgpack.CustomDecoder.
func (d *document) DecodeMsgpack(dec *msgpack.Decoder) (err error) {
	r := reader{dec: dec}
	d.text, err = r.value(nil)
	return err
}

// reader appends to JSON what it reads. Depth and lengths have been checked.
type reader struct{ dec *msgpack.Decoder }

func (r *reader) value(dst []byte) ([]byte, error) {
	code, err := r.dec.PeekCode()
	if err != nil {
		return dst, err
	}
	switch {
	case msgpcode.IsFixedArray(code), code == msgpcode.Array16, code == msgpcode.Array32:
		return r.array(dst)
	case msgpcode.IsFixedMap(code), code == msgpcode.Map16, code == msgpcode.Map32:
		return r.object(dst)
	case msgpcode.IsString(code):
		s, err := r.dec.DecodeString()
		return appendString(dst, s), err
	case msgpcode.IsBin(code):
		b, err := r.dec.DecodeBytes()
		return appendBase64(dst, b), err
	case msgpcode.IsExt(code):
		return r.extension(dst)
	}
	return r.scalar(dst, code)
}

func (r *reader) scalar(dst []byte, code byte) ([]byte, error) {
	switch code {
	case msgpcode.Nil:
		return append(dst, "null"...), r.dec.DecodeNil()
	case msgpcode.True, msgpcode.False:
		b, err := r.dec.DecodeBool()
		return strconv.AppendBool(dst, b), err
	case msgpcode.Float:
		f, err := r.dec.DecodeFloat32()
		return appendFloat(dst, float64(f), 32), err
	case msgpcode.Double:
		f, err := r.dec.DecodeFloat64()
		return appendFloat(dst, f, 64), err
	case msgpcode.Uint8, msgpcode.Uint16, msgpcode.Uint32, msgpcode.Uint64:
		n, err := r.dec.DecodeUint64()
		return strconv.AppendUint(dst, n, 10), err
	}
	n, err := r.dec.DecodeInt64()
	return strconv.AppendInt(dst, n, 10), err
}

func (r *reader) array(dst []byte) ([]byte, error) {
	n, err := r.dec.DecodeArrayLen()
	if err != nil {
		return dst, err
	}
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = r.value(dst); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func (r *reader) object(dst []byte) ([]byte, error) {
	n, err := r.dec.DecodeMapLen()
	if err != nil {
		return dst, err
	}
	dst = append(dst, '{')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		key, err := r.value(nil)
		if err != nil {
			return dst, err
		}
		if key[0] != '"' {
			key = appendString(nil, string(key))
		}
		dst = append(append(dst, key...), ':')
		if dst, err = r.value(dst); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// extension reads an application's own type, or msgpack's timestamp.
func (r *reader) extension(dst []byte) ([]byte, error) {
	kind, size, err := r.dec.DecodeExtHeader()
	if err != nil {
		return dst, err
	}
	data := make([]byte, size)
	if err := r.dec.ReadFull(data); err != nil {
		return dst, err
	}
	if t, ok := timestamp(kind, data); ok {
		return appendString(dst, t.UTC().Format(time.RFC3339Nano)), nil
	}
	dst = fmt.Appendf(dst, `{"ext":%d,"data":`, kind)
	return append(appendBase64(dst, data), '}'), nil
}

// timestampExt is the type of msgpack's timestamps.
const timestampExt = -1

// timestamp reads the three forms of a timestamp. It is false for anything
// else, and for years that RFC 3339 cannot write.
func timestamp(kind int8, data []byte) (time.Time, bool) {
	var sec int64
	var nsec uint32
	switch {
	case kind != timestampExt:
		return time.Time{}, false
	case len(data) == 4:
		sec = int64(binary.BigEndian.Uint32(data))
	case len(data) == 8:
		both := binary.BigEndian.Uint64(data)
		nsec, sec = uint32(both>>34), int64(both&(1<<34-1))
	case len(data) == 12:
		nsec = binary.BigEndian.Uint32(data)
		sec = int64(binary.BigEndian.Uint64(data[4:]))
	default:
		return time.Time{}, false
	}
	const first, last = -62167219200, 253402300799 // the years 0 to 9999
	if nsec >= 1e9 || sec < first || sec > last {
		return time.Time{}, false
	}
	return time.Unix(sec, int64(nsec)), true
}

// appendString appends s as JSON; what is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return append(dst, `""`...) // strings always encode
	}
	return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

func appendBase64(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// appendFloat writes a float so that it reads as one.
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f), math.IsInf(f, 0):
		return strconv.AppendQuote(dst, strconv.FormatFloat(f, 'g', -1, bits))
	case f != 0 && (math.Abs(f) < 1e-6 || math.Abs(f) >= 1e21):
		return strconv.AppendFloat(dst, f, 'e', -1, bits)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
	if !bytes.ContainsRune(dst[start:], '.') {
		dst = append(dst, ".0"...)
	}
	return dst
}
