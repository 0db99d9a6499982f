package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/meshnode/meshnode/internal/admission"
	"github.com/meshnode/meshnode/rpc"
)

// shopError reads a field in Error, as many do: a nil one panics.
type shopError struct{ cart string }

func (e *shopError) Error() string { return "cart " + e.cart }

// loopError unwraps to itself, and its text is that of what it wraps.
type loopError struct{ in error }

func (e *loopError) Error() string { return "loop: " + e.in.Error() }
func (e *loopError) Unwrap() error { return e.in }

// exitError ends the goroutine that asks what it is.
type exitError struct{}

func (exitError) Error() string { return "exit" }
func (exitError) Unwrap() error { runtime.Goexit(); return nil }

// misbehave is code of the user's that does not return what it should.
func misbehave(how string) error {
	var e *shopError
	switch how {
	case "nil error":
		return e
	case "wrapped nil error":
		return errors.Join(errors.New("x"), &loopError{e})
	case "loop":
		l := &loopError{}
		l.in = l
		return l
	case "exit in error":
		return exitError{}
	case "exit":
		runtime.Goexit()
	case "panic":
		panic(map[string]any{"of": "a handler"})
	}
	return nil
}

// manners are what misbehave can be told. Each but loop is logged as a panic.
var manners = []string{"nil error", "wrapped nil error", "loop", "exit in error", "exit", "panic"}

var (
	misWork   = rpc.NewMethod[string, string]("mis.Work", rpc.Idempotent())
	misInline = rpc.NewMethod[string, string]("mis.Inline", rpc.Idempotent(), rpc.Inline())
	misStream = rpc.NewStream[string, string]("mis.Stream")
)

// handleMis serves them all. done counts handlers that were begun.
func handleMis(n *Node, done *atomic.Int64) {
	for _, m := range []rpc.Method[string, string]{misWork, misInline} {
		m.Handle(n, func(_ context.Context, req *string) (*string, error) {
			done.Add(1)
			return req, misbehave(*req)
		})
	}
	misStream.Handle(n, func(_ context.Context, s *rpc.ServerStream[string, string]) error {
		how, err := s.Recv()
		if err != nil {
			return err
		}
		done.Add(1)
		if err := s.Send(how); err != nil {
			return err
		}
		return misbehave(*how)
	})
}

// misCall makes a call, or opens a stream, and returns how it ended.
func misCall(t *testing.T, kind string, from *Node, how string, to rpc.CallOption) error {
	t.Helper()
	switch kind {
	case "inline":
		_, err := misInline.Call(t.Context(), from, &how, to, rpc.Timeout(patience))
		return err
	case "call":
		_, err := misWork.Call(t.Context(), from, &how, to, rpc.Timeout(patience))
		return err
	}
	s, err := misStream.Open(t.Context(), from, to)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Send(&how); err != nil {
		return err
	}
	if _, err := s.Recv(); err != nil {
		return err
	}
	if _, err = s.Recv(); err == io.EOF {
		return nil
	}
	return err
}

// Whatever a handler does, its caller learns of it at once, nobody else is affected, and all that
// the call took is given back.
func TestHandlersThatDoNotReturn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.Admission = Admission{Adaptive: true, Min: 2, Initial: 2, Max: 2} }
	var ran atomic.Int64
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		for _, n := range l.nodes {
			if n.handlers.find(misWork.Name()) == nil {
				handleMis(n, &ran)
			}
		}
		for _, kind := range []string{"call", "inline", "stream"} {
			for range 3 { // more often than there are slots
				for _, how := range manners {
					e := wantCode(t, misCall(t, kind, from, how, to), rpc.Internal)
					if rpc.NotExecuted(e) || strings.Contains(e.Message, "guard_test.go") {
						t.Errorf("%s %s: %v", kind, how, e)
					}
				}
				if err := misCall(t, kind, from, "fine", to); err != nil {
					t.Errorf("%s: after all these: %v", kind, err)
				}
			}
		}
	})
	for _, n := range l.nodes {
		eventually(t, "everything is given back", func() error {
			var held []string
			n.limiters.each(func(service string, limiter *admission.Limiter) {
				if limiter.InFlight() > 0 {
					held = append(held, service)
				}
			})
			if running := n.running.Load().state.Load(); running != 0 || n.endpoint.Serving() != 0 || len(held) > 0 {
				return fmt.Errorf("%s: %d handlers, %d calls, slots of %v", n.Name(), running, n.endpoint.Serving(), held)
			}
			return nil
		})
		// Three kinds, three times, in two subtests, and of the manners all but the loop.
		if got, want := n.Stats()["panics"], uint64(3*3*2*(len(manners)-1)); got != want {
			t.Errorf("%s counts %d panics, want %d", n.Name(), got, want)
		}
		log := l.log(n.Name())
		log.wait(t, "handler panicked", `"panic":"a value of type map[string]interface {}"`, "mis.Work", "guard_test.go")
		log.wait(t, "handler panicked", `"returned_error":"*node.shopError, a nil pointer"`, "mis.Inline", "guard_test.go")
		log.wait(t, "handler ended its goroutine", "mis.Stream", "guard_test.go")
	}
	if got := ran.Load(); got != 4*3*3*int64(len(manners)+1) {
		t.Errorf("%d handlers ran", got)
	}
}

// One-way calls have nobody to tell, and leave nothing behind.
func TestOneWayHandlersThatDoNotReturn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.Admission = Admission{Adaptive: true, Min: 1, Initial: 1, Max: 1} }
	var ran atomic.Int64
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		for _, n := range l.nodes {
			if n.handlers.find(misWork.Name()) == nil {
				handleMis(n, &ran)
			}
		}
		for _, m := range []rpc.Method[string, string]{misWork, misInline} {
			for _, how := range append(slices.Clone(manners), "fine") {
				before := ran.Load()
				eventually(t, "a one-way call", func() error {
					if err := m.Send(t.Context(), from, &how, to); err != nil && !errors.Is(err, rpc.ResourceExhausted) {
						t.Fatal(err)
					}
					if ran.Load() == before {
						return errors.New("it did not run")
					}
					return nil
				})
			}
		}
	})
	for _, n := range l.nodes {
		eventually(t, "everything is given back", func() error {
			if running := n.running.Load().state.Load(); running != 0 || n.endpoint.Serving() != 0 {
				return fmt.Errorf("%s: %d handlers, %d calls", n.Name(), running, n.endpoint.Serving())
			}
			return nil
		})
	}
}

// An inline handler that ends its goroutine takes the connection's reader with it. Calls that came
// in the same batch, and all later ones, are served all the same.
func TestReaderOutlivesInlineHandlers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	var ran atomic.Int64
	handleMis(nodes[1], &ran)
	const calls = 200
	answers := make(chan error, calls)
	for i := range calls {
		go func() {
			how := "exit"
			if i%2 == 0 {
				how = "fine"
			}
			_, err := misInline.Call(t.Context(), nodes[0], &how, rpc.Peer("b"), rpc.Timeout(patience))
			if how == "exit" && errors.Is(err, rpc.Internal) {
				err = nil
			}
			answers <- err
		}()
	}
	for range calls {
		if err := await(t, "an answer", answers); err != nil {
			t.Error(err)
		}
	}
	if got := ran.Load(); got != calls {
		t.Errorf("%d calls were served", got)
	}
}

// A server interceptor is guarded as a handler is, whether it runs before or after that.
func TestServerInterceptorsThatDoNotReturn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) {
		cfg.Server = append(cfg.Server, func(ctx context.Context, info *rpc.Info, req any, next rpc.ServerHandler) (any, error) {
			reply, err := next(ctx, req)
			if how := info.Metadata["mis"]; how != "" {
				return reply, misbehave(how)
			}
			return reply, err
		})
	}
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		for _, how := range manners {
			_, err := work.Call(t.Context(), from, &job{}, to, rpc.WithMetadata("mis", how), rpc.Timeout(patience))
			wantCode(t, err, rpc.Internal)
		}
	})
}

// A client interceptor that panics ends its own call, on whatever goroutine of the library.
func TestClientInterceptorsThatDoNotReturn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) {
		cfg.Client = append(cfg.Client, func(ctx context.Context, call *rpc.Call, next rpc.Invoker) error {
			if how := call.Metadata["before"]; how != "" {
				return misbehave(how)
			}
			err := next(ctx, call)
			if how := call.Metadata["after"]; how != "" {
				return misbehave(how)
			}
			return err
		})
	}
	nodes := l.cluster("a", "b")
	for _, n := range nodes {
		handleSums(n)
	}
	a, client := nodes[0], dial(t, nodes[0], ClientConfig{})
	for _, when := range []string{"before", "after"} {
		for _, how := range manners {
			mis := rpc.WithMetadata(when, how)
			calls := map[string]func() error{
				"Gather": func() error {
					results, err := work.Gather(t.Context(), a, &job{}, mis)
					for _, r := range results {
						err = r.Err
					}
					return err
				},
				"forwarded": func() error {
					_, err := work.Call(t.Context(), client, &job{}, rpc.Peer("b"), mis, rpc.Timeout(patience))
					return err
				},
			}
			if !strings.HasPrefix(how, "exit") { // that is the caller's own goroutine
				calls["Call"] = func() error { _, err := work.Call(t.Context(), a, &job{}, rpc.Peer("b"), mis); return err }
				calls["Send"] = func() error { return work.Send(t.Context(), a, &job{}, rpc.Peer("b"), mis) }
				calls["Open"] = func() error { _, err := sums.Open(t.Context(), a, rpc.Peer("b"), mis); return err }
				calls["local"] = func() error { _, err := work.Call(t.Context(), a, &job{}, rpc.Peer("a"), mis); return err }
			}
			for kind, call := range calls {
				err := call()
				wantCode(t, err, rpc.Internal)
				if kind != "forwarded" && !strings.HasPrefix(how, "exit") && rpc.NotExecuted(err) != (when == "before") {
					t.Errorf("%s, %s %s: not executed: %v", kind, how, when, rpc.NotExecuted(err))
				}
			}
		}
	}
	l.log("a").wait(t, "client interceptors panicked", "lab.Work", "guard_test.go")
	f := dialForeign(t, a)
	for _, how := range manners {
		// A foreign client has no metadata; another interceptor stands for its call.
		a.cfg.Client = []rpc.ClientInterceptor{func(context.Context, *rpc.Call, rpc.Invoker) error { return misbehave(how) }}
		a.invoker = rpc.ChainClient(a.cfg.Client, a.route)
		if code, _ := f.ask(work.Name(), &job{}); code != rpc.Internal.String() {
			t.Errorf("MessagePack-RPC, %s: %v", how, code)
		}
	}
}
