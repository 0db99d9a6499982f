package transport

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Inline calls, one-way calls and those of workers on one connection: each gets
// its own answer, and inline ones run one at a time.
func TestInlineHandlers(t *testing.T) {
	overAll(t, func(l *lab) {
		var running, oneWay atomic.Int32
		c, h := l.pair(inliner{methods{
			"inline": func(in *Incoming) {
				if running.Add(1) != 1 {
					l.Error("two inline calls of one connection at once")
				}
				same(l, "inline", in.Inline(), true)
				defer running.Add(-1)
				if in.OneWay() {
					oneWay.Add(1)
				}
				_ = in.Reply(CodeOK, nil, in.Body)
				_ = in.Reply(CodeInternal, nil, nil)
			},
			"inline none": func(*Incoming) {},
			"echo":        echo{}.ServeCall,
		}})
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for n := range 50 {
					body := fmt.Sprint(i, " ", n)
					same(l, "inline", string(call(l, c, "inline", []byte(body))), body)
					same(l, "worker", string(call(l, c, "echo", []byte(body))), body)
					if err := c.Notify(&Request{Method: "inline"}); err != nil {
						l.Error(err)
					}
				}
			})
		}
		wg.Wait()
		eventually(l, "one-way calls", func() bool { return oneWay.Load() == 1000 })
		r, err := c.Call(context.Background(), &Request{Method: "inline none"})
		if err != nil {
			l.Fatal(err)
		}
		same(l, "no reply", r.Code, CodeInternal)
		r.Release()
		eventually(l, "rest", h.far(l).serving.empty)
		same(l, "served", h.served.Load(), 0)
	})
}

// The context of an inline call has its deadline and ends with the call.
func TestInlineContext(t *testing.T) {
	overAll(t, func(l *lab) {
		contexts := make(chan context.Context, 2)
		serve := func(in *Incoming) {
			ctx := in.Context()
			if ctx.Err() != nil {
				l.Errorf("the context has ended: %v", ctx.Err())
			}
			contexts <- ctx
			_ = in.Reply(CodeOK, nil, nil)
		}
		c, _ := l.pair(inliner{methods{"inline": serve, "worker": serve}})
		for _, method := range []string{"inline", "worker"} {
			r, err := c.Call(context.Background(), &Request{Method: method, Deadline: time.Now().Add(time.Hour)})
			if err != nil {
				l.Fatal(err)
			}
			r.Release()
			ctx := receive(l, "context", contexts)
			if due, ok := ctx.Deadline(); !ok || time.Until(due) > time.Hour || time.Until(due) < time.Hour-time.Minute {
				l.Errorf("%s: deadline %v, %v", method, due, ok)
			}
			receive(l, "end of the context", ctx.Done())
			same(l, method, ctx.Err(), context.Canceled)
		}
	})
}

// A drain while an inline call runs waits for it, and for a long reply of it.
func TestDrainWhileInline(t *testing.T) {
	overAll(t, func(l *lab) {
		for _, size := range []int{10, wire.Chunk + 1, 2 * DefaultWindow} {
			started, release := make(chan struct{}), make(chan struct{})
			h := l.host(Config{Name: "b", Handler: inliner{methods{"inline": func(in *Incoming) {
				close(started)
				hold(release)
				_ = in.Reply(CodeOK, nil, make([]byte, size))
			}}}})
			c := l.dial(l.endpoint(Config{Name: "a"}), h)
			ended := goCall(context.Background(), c, &Request{Method: "inline"})
			receive(l, "call", started)
			drained := make(chan struct{})
			go func() { h.Drain(context.Background()); close(drained) }()
			eventually(l, "goaway", func() bool { return c.goaway.Load() })
			same(l, "drained before the call's end", len(drained), 0)
			close(release)
			same(l, "answer", receive(l, "answer", ended), answer{})
			receive(l, "end of Drain", drained)
			same(l, "served", h.served.Load(), 0)
		}
	})
}

// When much is queued, calls that could run inline go to workers, which wait
// for room; the reader never does.
func TestInlineWhileCrowded(t *testing.T) {
	l := &lab{t, newMemNet(1024)}
	h := l.host(Config{Name: "b", Limits: Limits{MaxQueued: 64 << 10, MaxCalls: 50, WriteTimeout: time.Hour}, Handler: inliner{methods{
		"inline": func(in *Incoming) { _ = in.Reply(CodeOK, nil, make([]byte, 10_000)) },
	}}})
	r := l.greeted(h)
	const calls = 40
	for id := range uint64(calls) {
		r.sendCall(2*id+1, "inline")
	}
	eventually(t, "all calls", func() bool { return h.stats.Get(CallsReceived) == calls })
	if queued := h.far(t).out.waiting(); queued > 2*64<<10 {
		t.Errorf("%d bytes are queued", queued)
	}
	answered := map[uint64]bool{}
	for range calls {
		answered[r.skipTo(wire.KindReply).ID] = true
	}
	same(t, "answers", len(answered), calls)
}

// A context that somebody has waited for is not reused: who waits may ask for
// its error at any time after its end.
func TestReusedContext(t *testing.T) {
	for range 1000 {
		ctx := &CallContext{due: time.Now().Add(20 * time.Microsecond)}
		_ = ctx.Err()
		same(t, "reusable", ctx.Reset(), true)
		same(t, "error of a reused one", ctx.Err(), nil)
		ctx.due = time.Now().Add(20 * time.Microsecond)
		child, cancel := context.WithCancel(ctx)
		if time.Now().UnixNano()%2 == 0 {
			<-child.Done()
		}
		cancel()
		same(t, "reusable", ctx.Reset(), false)
		if ctx.Err() == nil {
			t.Fatal("no error after the end")
		}
	}
}
