package transport

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/meshnode/meshnode/internal/wire"
)

// A Handler that ends its goroutine ends its call and nothing else: workers and the reader are
// replaced, and all that the call took is given back.
func TestHandlersThatEndTheirGoroutine(t *testing.T) {
	t.Parallel()
	overAll(t, func(l *lab) {
		c, h := l.pair(inliner{methods{
			"inline": func(in *Incoming) {
				if len(in.Body) == 0 {
					_ = in.Reply(CodeOK, nil, nil) // answered, and then it ends
				}
				runtime.Goexit()
			},
			"inline fine": echo{}.ServeCall,
			"worker":      func(in *Incoming) { _ = in.Context(); runtime.Goexit() },
			"stream": func(in *Incoming) {
				in.Stream().Accept()
				_ = in.Stream().Send([]byte("first"))
				runtime.Goexit()
			},
		}})
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		want := func(method string, size int, code uint64) {
			r, err := c.Call(ctx, &Request{Method: method, Body: make([]byte, size)})
			if err != nil {
				l.Errorf("%s: %v", method, err)
				return
			}
			same(l, method, r.Code, code)
			r.Release()
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 5 {
					want("inline", 1, CodeInternal)
					want("inline", 0, CodeOK)
					want("inline fine", 9, CodeOK)
					want("worker", 1, CodeInternal)
					want("worker", 2*wire.MaxInline, CodeInternal)
					for _, method := range []string{"inline", "worker"} {
						if err := c.Notify(&Request{Method: method, Body: []byte{1}}); err != nil {
							l.Error(err)
						}
					}
					s, refusal, err := c.Open(ctx, &Request{Method: "stream"})
					if err != nil || refusal != nil {
						l.Errorf("stream: %v", err)
						return
					}
					msg, err := s.Recv()
					same(l, "message", string(msg), "first")
					same(l, "receive", err, nil)
					_, _ = s.Recv()
					status, err := s.Status()
					if err != nil {
						l.Errorf("status: %v", err)
						return
					}
					same(l, "status", status.Code, CodeInternal)
					s.Close()
				}
			})
		}
		wg.Wait()
		eventually(l, "rest", h.far(l).serving.empty)
		eventually(l, "calls given back", func() bool { return h.served.Load() == 0 && h.incomplete.Load() == 0 })
		want("inline fine", 1, CodeOK)
	})
}
