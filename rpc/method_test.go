package rpc

import (
	"context"
	"strings"
	"testing"
	"time"
)

type (
	greeting struct{ Name string }
	answer   struct{ Text string }
)

// hello declares a method of its own for each test.
func hello(opts ...MethodOption) Method[greeting, answer] {
	return NewMethod[greeting, answer]("greeter.Hello", opts...)
}

func greet(_ context.Context, req *greeting) (*answer, error) {
	return &answer{Text: "hello " + req.Name}, nil
}

// panics gives what f panicked with, or fails.
func panics(t *testing.T, f func()) (value any) {
	t.Helper()
	defer func() {
		if value = recover(); value == nil {
			t.Error("no panic")
		}
	}()
	f()
	return nil
}

func TestMethodNames(t *testing.T) {
	t.Parallel()
	bad := map[string]string{
		"empty": "", "space": "a b", "tab": "a\tb", "newline": "a\n", "NUL": "a\x00", "DEL": "a\x7f",
		"beyond ASCII": "grüße", "too long": strings.Repeat("x", 129),
	}
	for what, name := range bad {
		value := panics(t, func() { NewMethod[greeting, answer](name) })
		if text, ok := value.(string); !ok || !strings.Contains(text, "bad method name") {
			t.Errorf("%s: panic with %v", what, value)
		}
		if _, err := Untyped(name); CodeOf(err) != InvalidArgument {
			t.Errorf("%s: Untyped gives %v", what, err)
		}
	}
	for _, name := range []string{"a", "greeter.Hello", strings.Repeat("x", 128), "~!\"/"} {
		if got := NewMethod[greeting, answer](name); got.Name() != name || got.Spec().Name() != name {
			t.Errorf("%q is named %q", name, got.Name())
		}
		if spec, err := Untyped(name); err != nil || spec.Name() != name {
			t.Errorf("Untyped %q: %v", name, err)
		}
	}
}

func TestMethodOptions(t *testing.T) {
	t.Parallel()
	plain, full := hello().Spec(), hello(Idempotent(), DefaultTimeout(time.Minute)).Spec()
	if plain.Idempotent() || plain.Timeout() != 0 {
		t.Errorf("defaults are %v, %v", plain.Idempotent(), plain.Timeout())
	}
	if !full.Idempotent() || full.Timeout() != time.Minute {
		t.Errorf("options give %v, %v", full.Idempotent(), full.Timeout())
	}
	if spec, err := Untyped("a", Idempotent()); err != nil || !spec.Idempotent() {
		t.Errorf("Untyped with options: %v", err)
	}
}

func TestHandle(t *testing.T) {
	t.Parallel()
	m := &mesh{}
	h := hello()
	h.Handle(m, greet)
	value := panics(t, func() { h.Handle(m, greet) })
	if err, ok := value.(error); !ok || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second handler panics with %v", value)
	}
	reply, err := h.Call(t.Context(), m, &greeting{Name: "alice"})
	if err != nil || reply.Text != "hello alice" {
		t.Errorf("reply %v, %v", reply, err)
	}
	reply, err = h.Call(t.Context(), m, nil)
	if err != nil || reply.Text != "hello " {
		t.Errorf("a nil request gives %v, %v; want what the zero request gives", reply, err)
	}
}

func TestHandleNilReply(t *testing.T) {
	t.Parallel()
	m := &mesh{}
	h := hello()
	h.Handle(m, func(context.Context, *greeting) (*answer, error) { return nil, nil })
	reply, err := h.Call(t.Context(), m, &greeting{})
	if err != nil || reply == nil || *reply != (answer{}) {
		t.Errorf("a nil reply arrives as %v, %v; want the zero reply", reply, err)
	}
}

// Interceptors of both sides can put anything where a reply belongs.
func TestRepliesByInterceptors(t *testing.T) {
	t.Parallel()
	leaves := func(reply any) *mesh {
		return &mesh{client: []ClientInterceptor{func(_ context.Context, call *Call, _ Invoker) error {
			call.Reply = reply
			return nil
		}}, targets: func(Dest) ([]string, error) { return []string{"a"}, nil }}
	}
	cases := []struct {
		name string
		left any
		want string
		code Code
	}{
		{"the reply", &answer{Text: "made up"}, "made up", OK},
		{"nothing", nil, "", OK},
		{"a nil reply", (*answer)(nil), "", OK},
		{"another type", &greeting{}, "", Internal},
		{"no pointer", answer{}, "", Internal},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := leaves(c.left)
			reply, err := hello().Call(t.Context(), m, &greeting{})
			if CodeOf(err) != c.code || err == nil && reply.Text != c.want {
				t.Errorf("Call gives %v, %v; want %q, %v", reply, err, c.want, c.code)
			}
			all, err := hello().Gather(t.Context(), m, &greeting{})
			if err != nil || len(all) != 1 {
				t.Fatalf("Gather gives %v, %v", all, err)
			}
			if one := all[0]; CodeOf(one.Err) != c.code || one.Err == nil && one.Reply.Text != c.want {
				t.Errorf("Gather gives %+v; want %q, %v", one, c.want, c.code)
			}
		})
	}
}
