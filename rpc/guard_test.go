package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func panicHere(value any) { panic(value) }

// odd is an error whose methods do what they should not. A nil *odd panics in all of them.
type odd struct {
	text   string
	unwrap func(*odd) error
	is     func(error) bool
	as     func(any) bool
	fail   any // what Error panics with
}

func (o *odd) Error() string {
	if o.fail != nil {
		panic(o.fail)
	}
	return o.text
}

func (o *odd) Unwrap() error {
	if o.unwrap == nil {
		return nil
	}
	return o.unwrap(o)
}

func (o *odd) Is(target error) bool { return o.is != nil && o.is(target) }

func (o *odd) As(target any) bool { return o.as != nil && o.as(target) }

// lazy makes its text when it is asked for, of an error that may be itself.
type lazy struct{ in error }

func (l *lazy) Error() string { return "lazy " + l.in.Error() }
func (l *lazy) Unwrap() error { return l.in }

// forked unwraps to itself, twice.
type forked struct{}

func (f *forked) Error() string   { return "forked" }
func (f *forked) Unwrap() []error { return []error{f, f} }

// Errors with methods that panic, that end the goroutine or that lead in circles are Internal, and
// break nobody who asks what they are.
func TestErrorsWithOddMethods(t *testing.T) {
	t.Parallel()
	circle := &lazy{}
	circle.in = circle
	var nothing *odd
	own := &Error{Code: NotFound, Message: "no cart", Detail: []byte("d"), RetryAfter: 7}
	deep := error(own)
	for range 100 {
		deep = fmt.Errorf("%w", deep)
	}
	for _, c := range []struct {
		name    string
		err     error
		code    Code
		message string // a part of it
	}{
		{"typed nil", nothing, Internal, "(*rpc.odd, a nil pointer) panicked: runtime error: invalid memory address"},
		{"wrapped typed nil", &lazy{in: nothing}, Internal, "of the error that was returned (*rpc.lazy) panicked: runtime error"},
		{"Error panics", &odd{fail: "boom"}, Internal, "(*rpc.odd) panicked: boom"},
		{"Error panics with an error that panics", &odd{fail: nothing}, Internal, "a *rpc.odd whose methods panic"},
		{"Unwrap panics", &odd{unwrap: func(*odd) error { panic("no") }}, Internal, "panicked: no"},
		{"Is panics", &odd{is: func(error) bool { panic("no") }}, Internal, "panicked: no"},
		{"As panics", &odd{as: func(any) bool { panic("no") }}, Internal, "panicked: no"},
		{"unwraps to itself", &odd{text: "x", unwrap: func(o *odd) error { return o }}, Internal, "an error (*rpc.odd) that unwraps without end"},
		{"unwraps to new ones", &odd{text: "x", unwrap: func(o *odd) error { c := *o; return &c }}, Internal, "unwraps without end"},
		{"its text is without end, too", circle, Internal, "unwraps without end"},
		{"joined with such a one", errors.Join(own, circle), Internal, "unwraps without end"},
		{"forks without end", &forked{}, Internal, "unwraps without end"},
		{"deep", deep, NotFound, "no cart"},
		{"Is says that it is all", &odd{text: "all", is: func(error) bool { return true }}, Canceled, "all"},
		{"Is says that it is late", &odd{text: "late", is: func(t error) bool { return t == context.DeadlineExceeded }}, DeadlineExceeded, "late"},
		{"As gives an error", &odd{text: "as", as: func(t any) bool {
			e, ok := t.(**Error)
			if ok {
				*e = own
			}
			return ok
		}}, NotFound, "as"},
		{"As gives nothing", &odd{text: "as", as: func(any) bool { return true }}, Internal, "a nil *rpc.Error"},
		{"wrapped deadline", fmt.Errorf("read: %w", context.DeadlineExceeded), DeadlineExceeded, "read: context deadline exceeded"},
	} {
		e := AsError(c.err)
		if e.Code != c.code || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s: %v, want %v with %q", c.name, e, c.code, c.message)
		}
		if CodeOf(c.err) != c.code {
			t.Errorf("%s: CodeOf is %v", c.name, CodeOf(c.err))
		}
		if NotExecuted(c.err) {
			t.Errorf("%s: not executed", c.name)
		}
	}
}

// What wraps an error adds to its message and takes nothing away.
func TestWrappersKeepTheirText(t *testing.T) {
	t.Parallel()
	own := Errorf(NotFound, "no cart").After(7).MarkNotExecuted(true)
	own.Detail = []byte("d")
	for want, err := range map[string]error{
		"cart 7: no cart":             fmt.Errorf("cart 7: %w", own),
		"a: b: no cart (twice)":       fmt.Errorf("a: %w (twice)", fmt.Errorf("b: %w", own)),
		"first\nno cart":              errors.Join(errors.New("first"), own),
		"no cart":                     fmt.Errorf("%w", own),
		"something else":              &odd{text: "something else", unwrap: func(*odd) error { return own }},
		"a: no cart, NotFound: third": fmt.Errorf("a: %w, %w", own, Errorf(NotFound, "third")),
	} {
		e := AsError(err)
		if e.Message != want || e.Code != NotFound || string(e.Detail) != "d" || e.RetryAfter != 7 || !NotExecuted(e) || !NotExecuted(err) {
			t.Errorf("%q arrives as %q, %v %q %v", err, e.Message, e.Code, e.Detail, e.RetryAfter)
		}
	}
	if e := AsError(fmt.Errorf("door: %w", Errorf(PermissionDenied, ""))); e.Error() != "PermissionDenied: door: PermissionDenied" {
		t.Errorf("%v", e)
	}
}

// A text without end does not fill a reply.
func TestLongErrorsAreCut(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"text":    errors.New(strings.Repeat("ä", 1<<20)),
		"own":     Errorf(NotFound, "%s", strings.Repeat("ä", 1<<20)),
		"wrapped": fmt.Errorf("x%w", Errorf(NotFound, "%s", strings.Repeat("ä", 1<<20))),
		"code":    fmt.Errorf("%s %w", strings.Repeat("ä", 1<<20), NotFound),
		"context": fmt.Errorf("%s %w", strings.Repeat("ä", 1<<20), context.Canceled),
	} {
		e := AsError(err)
		if n := len(e.Message); n > MaxMessage || n < MaxMessage-4 || !strings.HasSuffix(e.Message, " bytes)") || strings.ContainsRune(e.Message, '\uFFFD') {
			t.Errorf("%s: %d bytes, ends in %q", name, n, e.Message[n-30:])
		}
	}
	exact := strings.Repeat("x", MaxMessage)
	if e := AsError(errors.New(exact)); e.Message != exact {
		t.Errorf("%d bytes became %d", len(exact), len(e.Message))
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	own := Errorf(NotFound, "x")
	if reply, err := Guard(func() (any, error) { return 1, own }); reply != nil || err != own {
		t.Errorf("of an error it makes %v, %v", reply, err)
	}
	if reply, err := Guard(func() (any, error) { return 1, nil }); reply != 1 || err != nil {
		t.Errorf("of a reply it makes %v, %v", reply, err)
	}
	if _, err := Guard(func() (any, error) { return 1, NotFound }); AsError(err) != err || CodeOf(err) != NotFound {
		t.Errorf("of a code it makes %#v", err)
	}
	cause := errors.New("cause")
	for _, value := range []any{"text", cause, 7, nil} {
		reply, err := Guard(func() (any, error) { panicHere(value); return 1, nil })
		p, panicked := err.(*PanicError)
		if !panicked || reply != nil || p.Exited || p.Of != "" {
			t.Fatalf("a panic with %v gives %v, %v", value, reply, err)
		}
		if value != nil && p.Value != value || p.Value == nil {
			t.Errorf("the value is %v, want %v", p.Value, value)
		}
		if !strings.Contains(string(p.Stack), "panicHere") {
			t.Errorf("the stack does not show where it happened:\n%s", p.Stack)
		}
		if CodeOf(err) != Internal || strings.Contains(AsError(err).Message, "panicHere") {
			t.Errorf("the caller sees %v", AsError(err))
		}
	}
	_, err := Guard(func() (any, error) { return 1, &odd{fail: "boom"} })
	if p, panicked := err.(*PanicError); !panicked || p.Of != "*rpc.odd" || p.Value != "boom" || !strings.Contains(string(p.Stack), "odd).Error") {
		t.Errorf("an error that panics gives %#v", err)
	}
}

// Values of panics are shown without anything of theirs breaking that.
func TestPanicText(t *testing.T) {
	t.Parallel()
	circle := map[string]any{}
	circle["self"] = circle
	list := []any{nil}
	list[0] = list
	loop := &lazy{}
	loop.in = loop
	type level int
	for want, value := range map[string]any{
		"text":     "text",
		"3":        level(3),
		"1.5":      1.5,
		"cause":    errors.New("cause"),
		"NotFound": NotFound, "NotFound: x": Errorf(NotFound, "x"),
		"Any": ToAny,
		"a value of type map[string]interface {}":       circle,
		"a value of type []interface {}":                list,
		"an error (*rpc.lazy) that unwraps without end": loop,
		"a *rpc.odd whose methods panic":                (*odd)(nil),
	} {
		if got := (&PanicError{Value: value}).Text(); got != want {
			t.Errorf("%T is shown as %q, want %q", value, got, want)
		}
	}
	if got := (&PanicError{Value: strings.Repeat("x", 1<<20)}).Text(); len(got) > MaxMessage {
		t.Errorf("a long text has %d bytes", len(got))
	}
}

// Code that ends its goroutine is told from code that panics, and what comes after it runs.
func TestGuardToOutlivesGoexit(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func() (any, error){
		"itself":       func() (any, error) { runtime.Goexit(); return 1, nil },
		"in its error": func() (any, error) { return 1, &odd{unwrap: func(*odd) error { runtime.Goexit(); return nil }} },
	} {
		told := make(chan error, 2)
		over := make(chan bool)
		go func() {
			returned := false
			defer func() { over <- returned }()
			GuardTo(f, func(reply any, err error) {
				if reply != nil {
					err = fmt.Errorf("a reply: %v", reply)
				}
				told <- err
			})
			returned = true
		}()
		if <-over {
			t.Errorf("%s: the goroutine goes on", name)
		}
		p, ok := (<-told).(*PanicError)
		if !ok || !p.Exited || p.Value != nil || (p.Of != "") != (name != "itself") || !strings.Contains(string(p.Stack), "guard_test.go") {
			t.Errorf("%s: %#v", name, p)
		}
		if len(told) != 0 {
			t.Errorf("%s: told twice", name)
		}
	}
}

// cutter is a Caller whose calls do not return.
type cutter struct{ how string }

func (c cutter) Invoke(_ context.Context, call *Call) error {
	switch {
	case call.Dest.Peer != "b":
		return nil
	case c.how == "panic":
		panic("boom")
	}
	runtime.Goexit()
	return nil
}

func (c cutter) Targets(context.Context, Dest) ([]string, error) { return []string{"a", "b", "c"}, nil }

// In a Gather one call that does not return is one result.
func TestGatherOutlivesItsCalls(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"panic", "exit"} {
		results, err := hello().Gather(t.Context(), cutter{how}, &greeting{})
		if err != nil || len(results) != 3 {
			t.Fatalf("%v, %v", results, err)
		}
		for _, r := range results {
			if want := r.Peer == "b"; want != (CodeOf(r.Err) == Internal) || want == (r.Reply != nil) {
				t.Errorf("%s: %s gives %v, %v", how, r.Peer, r.Reply, r.Err)
			}
		}
	}
}

func TestMarkNotExecuted(t *testing.T) {
	t.Parallel()
	e := Errorf(Unavailable, "x")
	marked := e.MarkNotExecuted(true)
	if NotExecuted(e) || !NotExecuted(marked) || NotExecuted(marked.MarkNotExecuted(false)) || !NotExecuted(marked.After(1)) {
		t.Error("marks are not what was set")
	}
	if e.MarkNotExecuted(false) != e || marked.MarkNotExecuted(true) != marked {
		t.Error("what says so already is copied")
	}
	for _, err := range []error{nil, NotFound, errors.New("x"), context.Canceled, (*Error)(nil), &odd{fail: 1}} {
		if NotExecuted(err) {
			t.Errorf("%T says that nothing was executed", err)
		}
	}
	if !NotExecuted(fmt.Errorf("a: %w", fmt.Errorf("b: %w", marked))) || !NotExecuted(errors.Join(errors.New("x"), marked)) {
		t.Error("a wrapper hides it")
	}
	for what, call := range map[string]func() error{
		"timeout": func() error { _, err := hello().Call(t.Context(), cutter{}, nil, Timeout(-1)); return err },
		"many":    func() error { _, err := hello().Call(t.Context(), cutter{}, nil, All()); return err },
		"send":    func() error { return hello().Send(t.Context(), cutter{}, nil, All()) },
		"gather":  func() error { _, err := hello().Gather(t.Context(), cutter{}, nil, Key("k")); return err },
		"owners":  func() error { _, err := hello().Gather(t.Context(), cutter{}, nil, Owners("k", 0)); return err },
		"enqueue": func() error { _, err := hello().Enqueue(t.Context(), nil, nil); return err },
	} {
		if err := call(); CodeOf(err) != InvalidArgument || !NotExecuted(err) {
			t.Errorf("%s: %v, %v", what, err, NotExecuted(err))
		}
	}
}

// A call is reached once an attempt is, also at a copy that an interceptor has made.
func TestCallReached(t *testing.T) {
	t.Parallel()
	var plain, tracked Call
	tracked.TrackCopies()
	early, late := plain, tracked
	late.MarkReached()
	if plain.Reached() || early.Reached() || !tracked.Reached() || !late.Reached() {
		t.Error("copies are not tracked")
	}
	plain.MarkReached()
	if !plain.Reached() {
		t.Error("a call that was reached does not say so")
	}
}
