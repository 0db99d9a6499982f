package transport

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ends is a handler that waits for its context to end, tells how it did, and
// returns when it is released.
type ends struct {
	started chan Incoming // its Due and context
	ended   chan error
	release chan struct{} // close it, or nothing returns
}

func newEnds() *ends {
	return &ends{make(chan Incoming, 100), make(chan error, 100), make(chan struct{})}
}

func (e *ends) ServeCall(in *Incoming) {
	ctx := in.Context()
	e.started <- Incoming{Due: in.Due, ctx: in.ctx}
	<-ctx.Done()
	e.ended <- ctx.Err()
	hold(e.release)
}

func TestDeadlineTravels(t *testing.T) {
	overAll(t, func(l *lab) {
		e := newEnds()
		c, h := l.pair(e)
		due := time.Now().Add(50 * time.Millisecond)
		_, err := c.Call(context.Background(), &Request{Method: "m", Deadline: due})
		is(l, "caller", err, context.DeadlineExceeded, false)
		if time.Now().Before(due) {
			l.Error("the call ended before its deadline")
		}
		in := receive(l, "call", e.started)
		if off := in.Due.Sub(due); off < -time.Millisecond || off > 5*time.Second {
			l.Errorf("the deadline arrived %v off", off)
		}
		if got, ok := in.ctx.Deadline(); !ok || got != in.Due {
			l.Errorf("context's deadline %v, %v, want %v", got, ok, in.Due)
		}
		same(l, "handler's context", receive(l, "end", e.ended), context.DeadlineExceeded)
		close(e.release)
		same(l, "calls canceled", c.ep.stats.Get(CallsCanceled), 1)
		same(l, "waiting", c.pend.count(), 0)
		eventually(l, "late reply", func() bool { return c.ep.stats.Get(RepliesUnexpected) == 1 })
		eventually(l, "rest at the server", h.far(l).serving.empty)
	})
}

// Deadlines in any order end in order, none early, none forgotten.
func TestManyDeadlines(t *testing.T) {
	r := seeded(t)
	l := &lab{t, System()}
	e := newEnds()
	c, h := l.pair(e)
	var wg sync.WaitGroup
	var told atomic.Uint64 // by the peer that the deadline had passed
	const calls = 60
	for range calls {
		left := time.Duration(1+r.IntN(60)) * time.Millisecond
		wg.Go(func() {
			due := time.Now().Add(left)
			reply, err := c.Call(context.Background(), &Request{Method: "m", Deadline: due})
			if err == nil { // a worker came so late that the peer's word was first
				same(t, "code", reply.Code, CodeDeadlineExceeded)
				told.Add(1)
				reply.Release()
			} else {
				is(t, "caller", err, context.DeadlineExceeded, false)
			}
			if time.Now().Before(due) {
				t.Errorf("a call with %v ended early", left)
			}
		})
	}
	wg.Wait()
	close(e.release)
	if expired := h.stats.Get(CallsExpired); told.Load() > expired {
		t.Errorf("%d calls were told that they came too late, %d did", told.Load(), expired)
	}
	eventually(t, "end of every handler's context", func() bool {
		return len(e.ended)+int(h.stats.Get(CallsExpired)) == int(c.ep.stats.Get(CallsSent))
	})
}

// A deadline that has passed costs no frame.
func TestPastDeadline(t *testing.T) {
	l := &lab{t, System()}
	c, _ := l.pair(echo{})
	req := &Request{Method: "echo", Deadline: time.Now().Add(-time.Second)}
	_, err := c.Call(context.Background(), req)
	is(t, "call", err, context.DeadlineExceeded, true)
	is(t, "one-way", c.Notify(req), context.DeadlineExceeded, true)
	same(t, "calls sent", c.ep.stats.Get(CallsSent), 0)
	call(t, c, "echo", nil)
}

// Deadlines that nanoseconds since 1970 cannot express are no deadlines.
func TestDeadlineOfTheFarFuture(t *testing.T) {
	l := &lab{t, System()}
	c, _ := l.pair(echo{})
	for _, due := range []time.Time{
		time.Now().Add(math.MaxInt64), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		r, err := c.Call(context.Background(), &Request{Method: "echo", Deadline: due})
		if err != nil {
			t.Errorf("deadline %v: %v", due, err)
			continue
		}
		r.Release()
	}
	same(t, "canceled", c.ep.stats.Get(CallsCanceled), 0)
}

func TestCancel(t *testing.T) {
	overAll(t, func(l *lab) {
		e := newEnds()
		c, h := l.pair(e)
		ctx, cancel := context.WithCancel(context.Background())
		ended := goCall(ctx, c, &Request{Method: "m"})
		other := goCall(context.Background(), c, &Request{Method: "m"})
		receive(l, "call", e.started)
		receive(l, "call", e.started)
		cancel()
		is(l, "caller", receive(l, "end of the call", ended).err, context.Canceled, false)
		same(l, "handler's context", receive(l, "end", e.ended), context.Canceled)
		close(e.release)
		same(l, "calls canceled", c.ep.stats.Get(CallsCanceled), 1)
		eventually(l, "late reply", func() bool { return c.ep.stats.Get(RepliesUnexpected) == 1 })
		same(l, "other calls", len(other), 0)
		c.Close()
		is(l, "the other", receive(l, "end of the other call", other).err, ErrClosed, false)
		same(l, "its handler's context", receive(l, "end", e.ended), context.Canceled)
		eventually(l, "end at the server", func() bool { return h.Conns() == 0 })
	})
}

// The deadline of ctx alone ends the caller, and the peer hears of it.
func TestContextDeadline(t *testing.T) {
	l := &lab{t, System()}
	e := newEnds()
	c, _ := l.pair(e)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Call(ctx, &Request{Method: "m"})
	is(t, "caller", err, context.DeadlineExceeded, false)
	same(t, "handler's context", receive(t, "end", e.ended), context.DeadlineExceeded)
	close(e.release)
	in := receive(t, "call", e.started)
	same(t, "deadline on the wire", in.Due.IsZero(), true)
}

// A call that arrives too late is not started.
func TestExpiredCallIsNotStarted(t *testing.T) {
	l := &lab{t, System()}
	started := make(chan struct{}, 1)
	c, h := l.pair(methods{"m": func(*Incoming) { started <- struct{}{} }})
	r, err := c.Call(context.Background(), &Request{Method: "m", Meta: Meta{Timeout: 1}}) // a microsecond
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	switch len(started) {
	case 0:
		same(t, "code", r.Code, CodeDeadlineExceeded)
		same(t, "expired", h.stats.Get(CallsExpired), 1)
	default: // a very fast machine
		same(t, "code", r.Code, CodeInternal)
	}
}

// A handler that neither replies nor looks at its context, or replies too
// often, hurts only its own call.
func TestCarelessHandlers(t *testing.T) {
	overAll(t, func(l *lab) {
		release := make(chan struct{})
		c, h := l.pair(methods{
			"silent": func(*Incoming) {},
			"deaf":   func(*Incoming) { hold(release) },
			"twice": func(in *Incoming) {
				_ = in.Reply(CodeOK, nil, []byte("1"))
				_ = in.Reply(CodeInternal, nil, []byte("2"))
			},
			"echo": echo{}.ServeCall,
		})
		same(l, "code without a reply", receive(l, "answer", goCall(context.Background(), c, &Request{Method: "silent"})).code, CodeInternal)
		same(l, "first of two replies", string(call(l, c, "twice", nil)), "1")
		ctx, cancel := context.WithCancel(context.Background())
		deaf := goCall(ctx, c, &Request{Method: "deaf"})
		eventually(l, "call", func() bool { return h.stats.Get(CallsReceived) == 3 })
		cancel()
		is(l, "caller of the deaf", receive(l, "end", deaf).err, context.Canceled, false)
		same(l, "meanwhile", string(call(l, c, "echo", []byte("e"))), "e")
		close(release)
		eventually(l, "late reply", func() bool { return c.ep.stats.Get(RepliesUnexpected) == 1 })
		same(l, "protocol errors", c.ep.stats.Get(ProtocolErrors)+h.stats.Get(ProtocolErrors), 0)
	})
}

// Close ends the contexts of all handlers, one-way ones and those that have
// replied included: else it would wait for them for ever.
func TestCloseEndsHandlers(t *testing.T) {
	for name, reply := range map[string]bool{"waiting": false, "replied": true} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t, System()}
			e := newEnds()
			close(e.release)
			c, h := l.pair(methods{"m": func(in *Incoming) {
				if reply {
					_ = in.Reply(CodeOK, nil, nil)
				}
				e.ServeCall(in)
			}})
			answered := goCall(context.Background(), c, &Request{Method: "m"})
			if err := c.Notify(&Request{Method: "m"}); err != nil {
				t.Fatal(err)
			}
			receive(t, "call", e.started)
			receive(t, "notification", e.started)
			if reply {
				same(t, "code", receive(t, "answer", answered).code, CodeOK)
			}
			closed := make(chan struct{})
			go func() { h.Close(); close(closed) }()
			receive(t, "end of Close", closed)
			same(t, "contexts ended", len(e.ended), 2)
			if !reply {
				is(t, "caller", receive(t, "answer", answered).err, ErrClosed, false)
			}
		})
	}
}
