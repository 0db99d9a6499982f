package node

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/meshnode/meshnode/rpc"
)

// Interceptors see every call: on the caller before it is routed, on the one
// who serves after it has been taken, whether that is another node or not.
func TestInterceptors(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var mu sync.Mutex
	var steps []string
	note := func(step string) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, step)
	}
	l.edit = func(cfg *Config) {
		name := cfg.Name
		for _, which := range []string{"1", "2"} {
			cfg.Client = append(cfg.Client, func(ctx context.Context, call *rpc.Call, next rpc.Invoker) error {
				if call.Spec.Name() == work.Name() {
					call.SetMetadata("by", name)
					note(name + " client " + which)
				}
				return next(ctx, call)
			})
			cfg.Server = append(cfg.Server, func(ctx context.Context, info *rpc.Info, req any, next rpc.ServerHandler) (any, error) {
				if info.Method == work.Name() {
					note(name + " server " + which + " for " + info.Metadata["by"])
				}
				return next(ctx, req)
			})
		}
	}
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		mu.Lock()
		steps = nil
		mu.Unlock()
		got, err := work.Call(t.Context(), from, &job{}, to)
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		want := []string{"a client 1", "a client 2", got.Node + " server 1 for a", got.Node + " server 2 for a"}
		if !slices.Equal(steps, want) {
			t.Errorf("%q, want %q", steps, want)
		}
	})
}

// An interceptor of the server may give what is no reply; that is an error of
// this call and of nothing else.
func TestInterceptorsGiveAnything(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) {
		cfg.Server = append(cfg.Server, func(ctx context.Context, info *rpc.Info, req any, next rpc.ServerHandler) (any, error) {
			switch info.Metadata["give"] {
			case "nil":
				return nil, nil
			case "text":
				return "text", nil
			case "panic":
				panic("interceptor")
			}
			return next(ctx, req)
		})
	}
	raw := rpc.NewMethod[[]byte, []byte]("lab.Raw")
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		for _, n := range l.nodes {
			_ = n.Register(&rpc.Handler{Spec: raw.Spec(), Serve: func(context.Context, any) (any, error) { return new([]byte), nil }})
		}
		for give, want := range map[string]rpc.Code{"nil": rpc.OK, "text": rpc.Internal, "panic": rpc.Internal, "": rpc.OK} {
			if _, err := work.Call(t.Context(), from, &job{}, to, rpc.WithMetadata("give", give)); rpc.CodeOf(err) != want {
				t.Errorf("%q: %v, want %v", give, err, want)
			}
			if _, err := raw.Call(t.Context(), from, &[]byte{1}, to, rpc.WithMetadata("give", give)); rpc.CodeOf(err) != want {
				t.Errorf("%q of a raw method: %v, want %v", give, err, want)
			}
		}
	})
}
