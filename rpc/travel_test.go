package rpc

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

type (
	cartReq struct {
		Items []struct {
			Count uint8
			Done  func() `msgpack:"-"`
		}
		Any  any
		Next *cartReq
	}
	badReq struct {
		Items []struct{ Done func() }
	}
)

func panicsWith(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		if got := fmt.Sprint(recover()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}()
	f()
}

// Types that cannot travel are refused when the method is declared.
func TestDeclarationsThatCannotTravel(t *testing.T) {
	t.Parallel()
	panicsWith(t, "rpc: cart.Add: request type badReq: field Items[].Done: func cannot travel", func() { NewMethod[badReq, string]("cart.Add") })
	panicsWith(t, "rpc: cart.Add: reply type badReq: field Items[].Done: func cannot travel", func() { NewMethod[string, badReq]("cart.Add") })
	panicsWith(t, "rpc: cart.Watch: request type chan int: chan cannot travel", func() { NewStream[chan int, string]("cart.Watch") })
	panicsWith(t, "rpc: cart.Watch: reply type []func(): field []: func cannot travel", func() { NewStream[string, []func()]("cart.Watch") })
	panicsWith(t, "<nil>", func() { NewMethod[cartReq, []byte]("cart.Add"); NewStream[any, map[any]any]("cart.Watch") })
}

// Requests and replies that cannot be encoded are errors with a code, and name
// the type.
func TestEncodingErrors(t *testing.T) {
	t.Parallel()
	spec := NewMethod[cartReq, cartReq]("cart.Add").Spec()
	ring, many, odd, list := &cartReq{}, &cartReq{Any: strings.Repeat("x", 10_000)}, &cartReq{Any: make(chan int)}, &cartReq{}
	ring.Next = ring
	for range 100_000 {
		list = &cartReq{Next: list}
	}
	for _, c := range []struct {
		v       *cartReq
		code    Code
		again   bool
		message string
	}{
		{ring, InvalidArgument, true, "rpc.cartReq nests deeper than 64 levels, or contains itself"},
		{list, InvalidArgument, true, "rpc.cartReq nests deeper than 64 levels, or contains itself"},
		{many, ResourceExhausted, false, "rpc.cartReq takes more than 9999 bytes"},
		{odd, InvalidArgument, true, "rpc.cartReq cannot be encoded: Any: chan cannot travel"},
	} {
		b, err := spec.EncodeRequest([]byte("x"), c.v, 9999)
		e, ok := err.(*Error)
		if !ok || e.Code != c.code || e.Message != "request of cart.Add: "+c.message || string(b) != "x" || (e.RetryAfter == NeverRetry) == c.again {
			t.Errorf("%q, %+v, want %v %s", b, err, c.code, c.message)
		}
		code := c.code
		if code == InvalidArgument {
			code = Internal
		}
		_, err = spec.EncodeReply(nil, c.v, 9999)
		if e, ok := err.(*Error); !ok || e.Code != code || e.Message != "reply of cart.Add: "+c.message {
			t.Errorf("reply: %v, want %v %s", err, code, c.message)
		}
	}
	if _, err := NewMethod[[]byte, string]("cart.Raw").Spec().EncodeRequest(nil, &[]byte{1, 2, 3}, 2); !errors.Is(err, ResourceExhausted) {
		t.Errorf("bytes that are too many: %v", err)
	}
	if _, err := spec.AppendRequest(nil, many); err != nil {
		t.Errorf("without a limit: %v", err)
	}
}

// What does not fit is refused with the path, whoever sent it, on both ways to
// decode.
func TestDecodingErrors(t *testing.T) {
	t.Parallel()
	b, err := Encode(nil, map[string]any{"Items": []any{nil, nil, nil, map[string]any{"Count": 300}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = "body does not fit rpc.cartReq: Items[3].Count: 300 does not fit uint8"
	if _, err := NewMethod[cartReq, string]("cart.Add").Spec().DecodeRequest(b); err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
	if err := Decode(b, new(cartReq)); err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}

// A nil in place of a time is the zero time.
func TestNilTime(t *testing.T) {
	t.Parallel()
	type event struct {
		Name string
		At   time.Time
	}
	for _, body := range []string{"\x92\xa1a\xc0", "\x82\xa4Name\xa1a\xa2At\xc0"} {
		e := event{At: time.Unix(5, 0)}
		if err := Decode([]byte(body), &e); err != nil || e != (event{Name: "a"}) {
			t.Errorf("% x decodes to %+v, %v", body, e, err)
		}
	}
}
