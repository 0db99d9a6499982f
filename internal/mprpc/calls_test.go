package mprpc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// Where a call goes is what its options say.
func TestDestinations(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	self := rpc.Dest{Kind: rpc.ToPeer, Peer: "self"}
	key := rpc.Dest{Kind: rpc.ToKey, Key: "k"}
	cases := []struct {
		name    string
		method  any
		options any
		dest    rpc.Dest
		timeout time.Duration
	}{
		{"unknown here", "far.Method", m{}, rpc.Dest{}, 0},
		{"served here", "lab.Typed", m{}, self, 0},
		{"no options", "lab.Typed", nil, self, 0},
		{"key", "lab.Typed", m{"key": "k"}, key, 0},
		{"key as bin", "far.Method", m{"key": []byte("k")}, key, 0},
		{"empty key", "far.Method", m{"key": ""}, rpc.Dest{Kind: rpc.ToKey}, 0},
		{"peer", "lab.Typed", m{"peer": "p"}, rpc.Dest{Kind: rpc.ToPeer, Peer: "p"}, 0},
		{"timeout", "far.Method", m{"timeout_ms": 1500}, rpc.Dest{}, 1500 * time.Millisecond},
		{"all nil", "far.Method", m{"key": nil, "peer": nil, "timeout_ms": nil, "raw": nil}, rpc.Dest{}, 0},
		{"method as bin", []byte("far.Method"), m{}, rpc.Dest{}, 0},
		{"names as bin", "far.Method", map[[3]byte]any{{'k', 'e', 'y'}: "k"}, key, 0},
	}
	l := newLab(t, Limits{})
	c := l.connect()
	for i, one := range cases {
		c.ask(int64(i), one.method, m{"a": 1}, one.options).wantResult(t, one.name, m{"a": int64(1)})
		calls := l.invoked()
		got := calls[len(calls)-1]
		if got.For == nil || *got.For != visitor {
			t.Errorf("%s: on behalf of %v, want %v", one.name, got.For, visitor)
		}
		if got.Dest != one.dest || got.Timeout != one.timeout || got.OneWay {
			t.Errorf("%s: to %+v in %v, want %+v in %v", one.name, got.Dest, got.Timeout, one.dest, one.timeout)
		}
		local := got.Spec.Name() == typed.Name()
		if got.Spec.Idempotent() != local || local != (got.Spec.Timeout() == time.Minute) {
			t.Errorf("%s: the call promises idempotent %v, timeout %v", one.name, got.Spec.Idempotent(), got.Spec.Timeout())
		}
	}
}

// What is wrong with a request is its answer, and the stream lives on.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	cases := []struct {
		name   string
		method any
		params any
	}{
		{"method a number", 5, []any{}},
		{"method nil", nil, []any{}},
		{"method empty", "", []any{}},
		{"method with spaces", "a b", []any{}},
		{"method too long", strings.Repeat("x", 200), []any{}},
		{"params nil", "x", nil},
		{"params a map", "x", m{}},
		{"three params", "x", []any{1, m{}, 3}},
		{"options a string", "x", []any{1, "key"}},
		{"unknown option", "x", []any{1, m{"color": 1}}},
		{"option named by a number", "x", []any{1, map[int]any{1: 1}}},
		{"key a number", "x", []any{1, m{"key": 1}}},
		{"peer empty", "x", []any{1, m{"peer": ""}}},
		{"key and peer", "x", []any{1, m{"key": "a", "peer": "b"}}},
		{"timeout 0", "x", []any{1, m{"timeout_ms": 0}}},
		{"timeout negative", "x", []any{1, m{"timeout_ms": -1}}},
		{"timeout huge", "x", []any{1, m{"timeout_ms": uint64(1) << 63}}},
		{"timeout a string", "x", []any{1, m{"timeout_ms": "1s"}}},
		{"raw a number", "x", []any{1, m{"raw": 1}}},
		{"raw method, typed request", "lab.Raw", []any{m{"a": 1}}},
		{"raw asked for, typed request", "x", []any{1, m{"raw": true}}},
	}
	l := newLab(t, Limits{})
	c := l.connect()
	for i, one := range cases {
		c.send([]any{0, i, one.method, one.params})
		c.answer().wantCode(t, one.name, rpc.InvalidArgument)
	}
	c.ask(99, "x", "fine").wantResult(t, "afterwards", "fine")
	if n := len(l.invoked()); n != 1 {
		t.Errorf("%d calls went out", n)
	}
	l.wantCounts(map[string]uint64{
		"mprpc_conns": 1, "mprpc_calls": uint64(len(cases) + 1), "mprpc_errors": uint64(len(cases)),
	})
}

func TestErrorsArrive(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{})
	fails := map[string]error{
		"e.Code":   rpc.NotFound,
		"e.Detail": &rpc.Error{Code: rpc.FailedPrecondition, Message: "not now", Detail: []byte{1, 2}},
		"e.Plain":  errors.New("plain"),
		"e.Latin":  rpc.Errorf(rpc.Internal, "caf\xe9"),
		"e.Long":   rpc.Errorf(rpc.Internal, "%s", strings.Repeat("x", 100<<10)),
		"e.Future": rpc.Errorf(rpc.Code(99), "new"),
	}
	for name, err := range fails {
		l.do[name] = func(context.Context, *rpc.Call) ([]byte, error) { return nil, err }
	}
	l.do["e.Panic"] = func(context.Context, *rpc.Call) ([]byte, error) { panic("an interceptor") }
	c := l.connect()
	for name, want := range map[string]map[string]any{
		"e.Code":   {"code": "NotFound", "message": "", "detail": nil, "not_executed": false},
		"e.Detail": {"code": "FailedPrecondition", "message": "not now", "detail": []byte{1, 2}, "not_executed": false},
		"e.Plain":  {"code": "Internal", "message": "plain", "detail": nil, "not_executed": false},
		"e.Latin":  {"code": "Internal", "message": "caf\uFFFD", "detail": nil, "not_executed": false},
		"e.Long":   {"code": "Internal", "message": strings.Repeat("x", 8<<10-18) + "... (102400 bytes)", "detail": nil, "not_executed": false},
		"e.Future": {"code": "Code(99)", "message": "new", "detail": nil, "not_executed": false},
		"e.Panic":  {"code": "Internal", "message": "the call panicked; the log of node self has the stack", "detail": nil, "not_executed": false},
	} {
		if got := c.ask(7, name).Err; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %.200v, want %.200v", name, got, want)
		}
	}
}

// Bytes that are not msgpack go and come as binary values.
func TestRawMethods(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	text := m{"Text": "x"}
	encoded := "\x81\xa4Text\xa1x"
	cases := []struct {
		name, method string
		params       []any
		sent         string // the body in the mesh
		answer       string // the one that comes back
		want         any
	}{
		{"typed", "lab.Typed", []any{text}, encoded, encoded, text},
		{"typed, nothing", "lab.Typed", nil, "\xc0", encoded, text},
		{"raw, bin", "lab.Raw", []any{[]byte("hi")}, "hi", "you", []byte("you")},
		{"raw, str", "lab.Raw", []any{"hi"}, "hi", "\x07", []byte("\x07")},
		{"raw, nothing", "lab.Raw", nil, "", "", []byte{}},
		{"raw, nil", "lab.Raw", []any{nil}, "", "x", []byte("x")},
		{"raw in, typed out", "lab.Mixed", []any{"hi"}, "hi", encoded, text},
		{"typed elsewhere", "far.M", []any{text}, encoded, encoded, text},
		{"str elsewhere", "far.M", []any{"hi"}, "\xa2hi", "\xa2yo", "yo"},
		{"bin elsewhere", "far.M", []any{[]byte("hi")}, "hi", "\x07", []byte("\x07")},
		{"no msgpack elsewhere", "far.M", nil, "\xc0", "\xc1\xc1", []byte("\xc1\xc1")},
		{"two values elsewhere", "far.M", nil, "\xc0", "\x01\x02", []byte("\x01\x02")},
		{"nothing elsewhere", "far.M", nil, "\xc0", "", []byte{}},
		{"said raw", "far.M", []any{"hi", m{"raw": true}}, "hi", "\x07", []byte("\x07")},
		{"said not raw", "far.M", []any{[]byte("hi"), m{"raw": false}}, "\xc4\x02hi", "\xa2yo", "yo"},
		{"said raw of a typed one", "lab.Typed", []any{[]byte(encoded), m{"raw": true}}, encoded, encoded, []byte(encoded)},
	}
	l := newLab(t, Limits{})
	c := l.connect()
	for i, one := range cases {
		var sent string
		l.do[one.method] = func(_ context.Context, call *rpc.Call) ([]byte, error) {
			sent = string(*call.Req.(*[]byte))
			return []byte(one.answer), nil
		}
		c.ask(int64(i), one.method, one.params...).wantResult(t, one.name, one.want)
		if sent != one.sent {
			t.Errorf("%s: sent %q, want %q", one.name, sent, one.sent)
		}
	}
}

// Requests run side by side, and answers come in the order in which they are
// ready; an id is the client's own business.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{})
	first := make(chan struct{})
	l.do["wait"] = func(ctx context.Context, _ *rpc.Call) ([]byte, error) {
		select {
		case <-first:
			return []byte("\xa4late"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c := l.connect()
	c.send([]any{0, 7, "wait", []any{}}, []any{0, 7, "echo", []any{"early"}})
	c.answer().wantResult(t, "the second", "early")
	close(first)
	late := c.answer()
	late.wantResult(t, "the first", "late")
	if late.ID != 7 {
		t.Errorf("id %d", late.ID)
	}
}

// A notification is never answered, whatever becomes of it.
func TestNotifications(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{})
	l.do["fail"] = func(context.Context, *rpc.Call) ([]byte, error) { return nil, rpc.NotFound }
	c := l.connect()
	c.send(
		[]any{2, "note", []any{"x", map[string]any{"key": "k"}}},
		[]any{2, "fail", []any{}},
		[]any{2, "note", "no array"},
		[]any{0, 1, "echo", []any{"x"}},
	)
	c.answer().wantResult(t, "the only answer", "x")
	eventually(t, "all ran", func() bool { return len(l.invoked()) == 3 && l.count(failures) == 2 })
	for _, call := range l.invoked() {
		if call.OneWay != (call.Spec.Name() != "echo") {
			t.Errorf("%s: one-way %v", call.Spec.Name(), call.OneWay)
		}
	}
	_ = c.Close()
	await(t, "end", c.done)
}

// Many requests in one write are all answered.
func TestPipelined(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{})
	c := l.connect()
	const n = 2000
	go func() {
		var all []any
		for i := range n {
			all = append(all, []any{0, i, "echo", []any{fmt.Sprint(i)}})
		}
		c.send(all...)
	}()
	seen := make(map[int64]bool)
	for range n {
		a := c.answer()
		a.wantResult(t, "one of many", fmt.Sprint(a.ID))
		seen[a.ID] = true
	}
	if len(seen) != n {
		t.Errorf("%d different ids", len(seen))
	}
}
