package jsonpack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/rpc"
)

// FromJSON gives the msgpack of the one JSON value in text. The error says in
// one line what is wrong and where.
func FromJSON(text []byte) ([]byte, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("the text is not UTF-8")
	}
	if err := wellFormed(text); err != nil {
		return nil, err
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	out := newWriter()
	if err := out.value(in, 0); err != nil {
		return nil, err
	}
	return out.buf.Bytes(), nil
}

// wellFormed checks the syntax as a whole: a Decoder's tokens alone do not.
func wellFormed(text []byte) error {
	var raw json.RawMessage
	err := json.Unmarshal(text, &raw)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%w (after byte %d)", err, syntax.Offset)
	}
	return err
}

// writer collects the msgpack of one container's values.
type writer struct {
	buf bytes.Buffer
	enc *msgpack.Encoder
}

func newWriter() *writer {
	w := &writer{}
	w.enc = msgpack.NewEncoder(&w.buf)
	return w
}

// value writes the next value of in, which lies in so many containers.
func (w *writer) value(in *json.Decoder, depth int) error {
	token, err := in.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case nil:
		return w.enc.EncodeNil()
	case bool:
		return w.enc.EncodeBool(t)
	case string:
		return w.enc.EncodeString(t)
	case json.Number:
		return w.number(t.String())
	}
	if depth == rpc.MaxDepth {
		return fmt.Errorf("it nests deeper than %d levels", rpc.MaxDepth)
	}
	if token == json.Delim('[') {
		return w.array(in, depth+1)
	}
	return w.object(in, depth+1)
}

// number writes an integer as such and anything else as a float.
func (w *writer) number(text string) error {
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("number %s does not fit a 64-bit float", text)
		}
		return w.enc.EncodeFloat64(f)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return w.enc.EncodeInt(n)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("number %s does not fit 64 bits; write %s.0 for a float", text, text)
	}
	return w.enc.EncodeUint(n)
}

// array writes what follows a bracket. The number of elements comes first in
// msgpack, so they are gathered.
func (w *writer) array(in *json.Decoder, depth int) error {
	inner, count := newWriter(), 0
	for ; in.More(); count++ {
		if err := inner.value(in, depth); err != nil {
			return err
		}
	}
	if err := w.enc.EncodeArrayLen(count); err != nil {
		return err
	}
	return w.close(in, inner)
}

func (w *writer) object(in *json.Decoder, depth int) error {
	inner := newWriter()
	seen := make(map[string]struct{})
	for in.More() {
		token, err := in.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the syntax allows nothing else
		if _, twice := seen[name]; twice {
			return fmt.Errorf("the name %q comes twice in one object", name)
		}
		seen[name] = struct{}{}
		if err := inner.enc.EncodeString(name); err != nil {
			return err
		}
		if err := inner.value(in, depth); err != nil {
			return err
		}
	}
	if err := w.enc.EncodeMapLen(len(seen)); err != nil {
		return err
	}
	return w.close(in, inner)
}

// close takes the closing bracket and adds what was inside.
func (w *writer) close(in *json.Decoder, inner *writer) error {
	if _, err := in.Token(); err != nil {
		return err
	}
	_, err := w.buf.Write(inner.buf.Bytes())
	return err
}
