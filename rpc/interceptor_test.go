package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

// trace notes in which order interceptors are passed, on both sides.
type trace struct{ steps []string }

func (tr *trace) client(name string) ClientInterceptor {
	return func(ctx context.Context, call *Call, next Invoker) error {
		tr.steps = append(tr.steps, name+" in")
		call.SetMetadata(name, "was here")
		err := next(ctx, call)
		tr.steps = append(tr.steps, name+" out")
		return err
	}
}

func (tr *trace) server(name string) ServerInterceptor {
	return func(ctx context.Context, info *Info, req any, next ServerHandler) (any, error) {
		tr.steps = append(tr.steps, name+" in")
		if of, _ := InfoFrom(ctx); of != info {
			return nil, Errorf(Internal, "info is not that of the context")
		}
		reply, err := next(ctx, req)
		tr.steps = append(tr.steps, name+" out")
		return reply, err
	}
}

func TestInterceptorOrder(t *testing.T) {
	t.Parallel()
	tr := &trace{}
	m := &mesh{
		client: []ClientInterceptor{tr.client("c1"), tr.client("c2")},
		server: []ServerInterceptor{tr.server("s1"), tr.server("s2"), tr.server("s3")},
	}
	h := hello()
	h.Handle(m, func(ctx context.Context, _ *greeting) (*answer, error) {
		info, _ := InfoFrom(ctx)
		tr.steps = append(tr.steps, fmt.Sprintf("handler with %d", len(info.Metadata)))
		return &answer{}, nil
	})
	if _, err := h.Call(t.Context(), m, &greeting{}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"c1 in", "c2 in", "s1 in", "s2 in", "s3 in", "handler with 2",
		"s3 out", "s2 out", "s1 out", "c2 out", "c1 out",
	}
	if !slices.Equal(tr.steps, want) {
		t.Errorf("order %q, want %q", tr.steps, want)
	}
}

func TestInterceptorsChangeCalls(t *testing.T) {
	t.Parallel()
	m := &mesh{
		client: []ClientInterceptor{func(ctx context.Context, call *Call, next Invoker) error {
			switch call.Req.(*greeting).Name {
			case "refuse":
				return Errorf(PermissionDenied, "not this one")
			case "hide":
				_ = next(ctx, call)
				call.Reply = &answer{Text: "hidden"}
				return nil
			}
			return next(ctx, call)
		}},
		server: []ServerInterceptor{func(ctx context.Context, _ *Info, req any, next ServerHandler) (any, error) {
			switch g := req.(*greeting); g.Name {
			case "rename":
				return next(ctx, &greeting{Name: "renamed"})
			case "stop":
				return nil, Unauthenticated
			case "wrong type":
				return next(ctx, &answer{})
			}
			return next(ctx, req)
		}},
	}
	h := hello()
	h.Handle(m, greet)
	for name, want := range map[string]struct {
		text string
		code Code
	}{
		"x": {"hello x", OK}, "refuse": {"", PermissionDenied}, "hide": {"hidden", OK},
		"rename": {"hello renamed", OK}, "stop": {"", Unauthenticated}, "wrong type": {"", Internal},
	} {
		reply, err := h.Call(t.Context(), m, &greeting{Name: name})
		if CodeOf(err) != want.code || err == nil && reply.Text != want.text {
			t.Errorf("%s: %v, %v; want %q, %v", name, reply, err, want.text, want.code)
		}
	}
}

// Without interceptors the chains are what stands at their end.
func TestEmptyChains(t *testing.T) {
	t.Parallel()
	called := 0
	err := ChainClient(nil, func(context.Context, *Call) error { called++; return NotFound })(t.Context(), &Call{})
	if !errors.Is(err, NotFound) || called != 1 {
		t.Errorf("%v after %d calls", err, called)
	}
	h := &Handler{Serve: func(_ context.Context, req any) (any, error) { return req, nil }}
	if reply, err := ChainServer(t.Context(), nil, nil, h, 7); reply != 7 || err != nil {
		t.Errorf("%v, %v", reply, err)
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	if info, ok := InfoFrom(t.Context()); ok || info != nil {
		t.Errorf("outside of a handler there is %+v", info)
	}
	type (
		key   struct{}
		other struct{}
	)
	parent := context.WithValue(t.Context(), key{}, "value")
	ctx, info := WithInfo(parent, Info{Method: "a", Peer: "b", Keyed: true, Partition: 7, Attempt: 2})
	derived, cancel := context.WithCancel(context.WithValue(ctx, other{}, 1))
	defer cancel()
	if got, ok := InfoFrom(derived); !ok || got != info || got.Partition != 7 {
		t.Errorf("a derived context has %+v, %v", got, ok)
	}
	if derived.Value(key{}) != "value" {
		t.Error("the parent's values are lost")
	}
	inner, its := WithInfo(ctx, Info{Method: "inner"})
	if got, _ := InfoFrom(inner); got != its {
		t.Errorf("a call within a call has the info %+v", got)
	}
}

// A key that was borrowed is copied when somebody asks, so that it outlasts its memory.
func TestInfoKey(t *testing.T) {
	t.Parallel()
	var info Info
	if info.Key() != "" {
		t.Errorf("without a key: %q", info.Key())
	}
	memory := []byte("alice")
	info.BorrowKey(memory)
	got := info.Key()
	copy(memory, "xxxxx")
	if got != "alice" {
		t.Errorf("the key became %q", got)
	}
	info.SetKey("bob")
	if got := info.Key(); got != "bob" {
		t.Errorf("%q, want bob", got)
	}
	info.BorrowKey(nil)
	if info.Key() != "" {
		t.Errorf("no key is %q", info.Key())
	}
}

// A context derived from a handler's ends with it, for the same reason, and
// needs no goroutine for that, whatever the parent is made of.
func TestServerContextEnds(t *testing.T) {
	t.Parallel()
	parents := map[string]func() (context.Context, context.CancelFunc){
		"cancel":   func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) },
		"deadline": func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), time.Hour) },
		"own type": func() (context.Context, context.CancelFunc) { c := newOwnContext(); return c, c.cancel },
	}
	for name, parent := range parents {
		t.Run(name, func(t *testing.T) {
			outer, cancel := parent()
			defer cancel()
			ctx, _ := WithInfo(outer, Info{})
			derived, done := context.WithTimeout(ctx, time.Hour)
			defer done()
			ran, stopped := make(chan struct{}), false
			context.AfterFunc(ctx, func() { close(ran) })
			stop := context.AfterFunc(ctx, func() { stopped = true })
			if !stop() {
				t.Error("an AfterFunc cannot be stopped")
			}
			cancel()
			for what, ch := range map[string]<-chan struct{}{"derived": derived.Done(), "AfterFunc": ran} {
				select {
				case <-ch:
				case <-time.After(10 * time.Second):
					t.Fatalf("%s did not end with the parent", what)
				}
			}
			if derived.Err() != context.Canceled || ctx.Err() != context.Canceled || stopped {
				t.Errorf("ended with %v, %v; a stopped AfterFunc ran: %v", derived.Err(), ctx.Err(), stopped)
			}
		})
	}
}

// ownContext is no context of package context, as the transport's is none.
type ownContext struct {
	context.Context
	mu    chan struct{} // one slot
	done  chan struct{}
	after map[*func()]bool
}

func newOwnContext() *ownContext {
	return &ownContext{
		Context: context.Background(), mu: make(chan struct{}, 1), done: make(chan struct{}), after: map[*func()]bool{},
	}
}

func (c *ownContext) Done() <-chan struct{} { return c.done }

func (c *ownContext) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

func (c *ownContext) AfterFunc(f func()) func() bool {
	c.mu <- struct{}{}
	defer func() { <-c.mu }()
	c.after[&f] = true
	return func() bool {
		c.mu <- struct{}{}
		defer func() { <-c.mu }()
		waiting := c.after[&f]
		delete(c.after, &f)
		return waiting
	}
}

func (c *ownContext) cancel() {
	c.mu <- struct{}{}
	defer func() { <-c.mu }()
	select {
	case <-c.done:
		return
	default:
		close(c.done)
	}
	for f := range c.after {
		go (*f)()
	}
	clear(c.after)
}

// A thousand derived contexts cost no goroutine each.
func TestServerContextNeedsNoGoroutines(t *testing.T) {
	outer := newOwnContext()
	ctx, _ := WithInfo(outer, Info{})
	before := runtime.NumGoroutine()
	var ends []context.CancelFunc
	for range 1000 {
		_, end := context.WithCancel(ctx)
		ends = append(ends, end)
	}
	if extra := runtime.NumGoroutine() - before; extra > 100 {
		t.Errorf("%d goroutines for 1000 contexts", extra)
	}
	for _, end := range ends {
		end()
	}
	if left := len(outer.after); left != 0 {
		t.Errorf("%d functions are left with the parent", left)
	}
}
