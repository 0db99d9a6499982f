package rpc

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

type (
	// ringed encodes itself with the library, and whatever it holds with it.
	ringed struct{ To any }
	// chatty writes more or less than one value.
	chatty struct{ Times int }
	// stubborn goes on writing whatever the encoder answers.
	stubborn struct{ Times int }
	// coded is registered as an extension, with its own marshallers.
	coded struct{ N byte }
	// sealed cannot travel but for its registration.
	sealed struct{ Done func() }
	// spelled has methods of package encoding, and is registered all the same.
	spelled struct{ A int }
	// proxied is registered to be sent as another struct.
	proxied struct{ A int }
	dto     struct{ B int }
)

func (r ringed) EncodeMsgpack(e *msgpack.Encoder) error { return e.Encode(map[string]any{"to": r.To}) }

func (r *ringed) DecodeMsgpack(d *msgpack.Decoder) error { _, err := d.DecodeInterface(); return err }

func (c *chatty) EncodeMsgpack(e *msgpack.Encoder) error {
	for i := range c.Times {
		if err := e.EncodeInt(int64(i)); err != nil {
			return err
		}
	}
	return nil
}

func (s *stubborn) EncodeMsgpack(e *msgpack.Encoder) error {
	for range s.Times {
		_ = e.EncodeArrayLen(1)
	}
	return nil
}
func (c *coded) MarshalMsgpack() ([]byte, error) { return []byte{c.N}, nil }
func (c *coded) UnmarshalMsgpack(b []byte) error { c.N = b[0]; return nil }
func (spelled) MarshalText() ([]byte, error)     { return []byte("text"), nil }
func (s *spelled) UnmarshalText(b []byte) error  { s.A = len(b); return nil }

// Types that the library encodes are held to the same bounds.
func TestBoundsOfTheLibrary(t *testing.T) {
	t.Parallel()
	ring := &ringed{}
	ring.To = ring
	inside := map[string]any{}
	inside["x"] = []any{ringed{inside}}
	wide := []any{"x"}
	for range 60 {
		wide = []any{wide, wide}
	}
	for _, c := range []struct {
		v    any
		code Code
		text string
	}{
		{ring, InvalidArgument, "rpc.ringed nests deeper than 64 levels, or contains itself"},
		{inside, InvalidArgument, "nests deeper than 64 levels, or contains itself"},
		{ringed{wide}, ResourceExhausted, "rpc.ringed takes more than 65536 bytes"},
		{&chatty{2}, InvalidArgument, "rpc.chatty cannot be encoded: rpc.chatty: its own marshaller did not write one value of msgpack"},
		{[]*chatty{{1}, {0}}, InvalidArgument, "[1]: rpc.chatty: its own marshaller did not write one value of msgpack"},
		{&stubborn{1 << 20}, InvalidArgument, "nests deeper than 64 levels"},
		{map[string]any{"a": ringed{make(chan int)}}, InvalidArgument, `["a"]: msgpack: Encode(unsupported chan int)`},
	} {
		b, err := encode([]byte("head"), c.v, bounds(64<<10))
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Message, c.text) || string(b) != "head" {
			t.Errorf("%T: %q, %v; want %v with %q", c.v, b, err, c.code, c.text)
		}
	}
	if b, err := Encode(nil, ringed{ringed{1}}); err != nil || string(b) != "\x81\xa2to\x81\xa2to\x01" {
		t.Errorf("% x, %v", b, err)
	}
	if b, err := Encode(nil, []chatty{{1}}); err != nil || string(b) != "\x91\x00" {
		t.Errorf("% x, %v", b, err)
	}
}

// What was registered with the library counts, in typed fields and in any. Not
// parallel: the library's registry has no lock.
func TestExtensions(t *testing.T) {
	msgpack.RegisterExt(7, (*coded)(nil))
	t.Cleanup(func() { msgpack.UnregisterExt(7) })
	msgpack.RegisterExtEncoder(8, sealed{}, func(*msgpack.Encoder, reflect.Value) ([]byte, error) { return []byte("s"), nil })
	msgpack.RegisterExtDecoder(8, sealed{}, func(d *msgpack.Decoder, _ reflect.Value, n int) error { return d.ReadFull(make([]byte, n)) })
	msgpack.Register(spelled{}, func(e *msgpack.Encoder, _ reflect.Value) error { return e.EncodeInt(5) },
		func(d *msgpack.Decoder, v reflect.Value) error {
			n, err := d.DecodeInt()
			v.Field(0).SetInt(int64(n))
			return err
		})
	msgpack.Register(proxied{}, func(e *msgpack.Encoder, v reflect.Value) error { return e.Encode(dto{int(v.Field(0).Int())}) },
		func(d *msgpack.Decoder, v reflect.Value) error {
			var o dto
			err := d.Decode(&o)
			v.Field(0).SetInt(int64(o.B))
			return err
		})
	type all struct {
		C    coded
		P    *coded
		S    []sealed
		T    spelled
		X    proxied
		Any  any
		Time any
	}
	m := NewMethod[all, all]("test.Extensions") // sealed can travel since it is registered
	in := all{C: coded{1}, P: &coded{2}, S: []sealed{{}}, T: spelled{5}, X: proxied{9}, Any: &coded{3}, Time: time.Unix(9, 0)}
	b, err := m.Spec().AppendRequest(nil, &in)
	if err != nil {
		t.Fatal(err)
	}
	const want = "\x87\xa1C\xd4\x07\x01\xa1P\xd4\x07\x02\xa1S\x91\xd4\x08s\xa1T\x05\xa1X\x81\xa1B\x09\xa3Any\xd4\x07\x03\xa4Time\xd6\xff\x00\x00\x00\x09"
	if string(b) != want {
		t.Errorf("encoded as\n% x, want\n% x", b, want)
	}
	got, err := m.Spec().DecodeRequest(b)
	if err != nil || !reflect.DeepEqual(*got.(*all), in) {
		t.Errorf("%+v, %v; want %+v", got, err, in)
	}
	if err := Decode([]byte("\xd4\x09x"), new(any)); err == nil || !strings.Contains(err.Error(), "ext id=9") {
		t.Errorf("an extension that nobody knows: %v", err)
	}
	if err := Decode([]byte("\x81\xa1C\xd4\x08x"), new(all)); err == nil || !strings.Contains(err.Error(), "body does not fit rpc.all: C: ") {
		t.Errorf("another extension: %v", err)
	}
}

// TestNotRegistered holds the guess of what is registered against types that are
// not, of every kind.
func TestNotRegistered(t *testing.T) {
	t.Parallel()
	type (
		emb   struct{ plain }
		emp   struct{}
		named map[string]int
		fixed [3]plain
		omit  struct {
			A int `msgpack:"a,omitempty"`
			b int
			C map[string]emb
		}
		list struct {
			_msgpack struct{} `msgpack:",as_array"`
			A        int
		}
		flag   bool
		onlyIn struct{ A int }
	)
	_, _ = list{}._msgpack, omit{}.b
	for _, typ := range []reflect.Type{
		reflect.TypeFor[plain](), reflect.TypeFor[nested](), reflect.TypeFor[emb](), reflect.TypeFor[emp](), reflect.TypeFor[named](),
		reflect.TypeFor[fixed](), reflect.TypeFor[omit](), reflect.TypeFor[list](), reflect.TypeFor[flag](), reflect.TypeFor[onlyIn](),
		reflect.TypeFor[int](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[blob](), reflect.TypeFor[Code](),
		reflect.TypeFor[time.Duration](), reflect.TypeFor[chan int](), reflect.TypeFor[func()](),
		reflect.TypeFor[struct{ A chan int }](), reflect.TypeFor[[1 << 20]plain](), reflect.TypeFor[complex128](),
		reflect.TypeFor[struct{ In onlyRead }](), reflect.TypeFor[onlyRead](), reflect.TypeFor[onlyWrite](),
	} {
		if (library{}).Registered(typ) {
			t.Errorf("%v counts as registered", typ)
		}
	}
}

type (
	onlyRead  struct{ A int }
	onlyWrite struct{ A int }
)

func (*onlyRead) UnmarshalText([]byte) error     { return nil }
func (onlyWrite) MarshalBinary() ([]byte, error) { return nil, errors.New("never") }
