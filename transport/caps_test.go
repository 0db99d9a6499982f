package transport

import (
	"context"
	"errors"
	"io"
	"testing"
)

// Beyond MaxConns a peer that greets is told why it is not served; the others
// go on, and there is room again when one goes.
func TestMaxConns(t *testing.T) {
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: echo{}, Limits: Limits{MaxConns: 2}})
		ep := l.endpoint(Config{})
		first, second := l.dial(ep, h), l.dial(ep, h)
		eventually(l, "both connections", func() bool { return h.Conns() == 2 })
		_, err := ep.Dial(context.Background(), h.addr, "b")
		is(l, "third", err, ErrTooManyConns, false)
		counts(l, h.Endpoint, ConnsRefused, 1)
		call(l, second, "echo", []byte("go on"))
		first.Close()
		eventually(l, "room", func() bool { return h.Conns() == 1 })
		call(l, l.dial(ep, h), "echo", []byte("in place of the first"))
	})
}

// A connection that declares long requests and brings nothing takes its share
// of MaxIncomplete, not that of others.
func TestIncompleteShare(t *testing.T) {
	l := &lab{t, newMemNet(64 << 10)}
	const body = 100_000
	h := l.host(Config{Name: "b", Handler: echo{}, Limits: Limits{MaxBody: body, MaxIncomplete: 8 * body}})
	greedy := l.greeted(h)
	for i := range uint64(8) {
		greedy.write(partsCall(2*i+1, body))
	}
	for range 6 { // a quarter of 8 is 2
		_, head, _ := greedy.next()
		same(t, "code", head.Code, CodeResourceExhausted)
	}
	counts(t, h.Endpoint, CallsOverLimit, 6)
	same(t, "reserved", h.incomplete.Load(), 2*body)
	other := l.dial(l.endpoint(Config{}), h)
	same(t, "others", len(call(t, other, "echo", make([]byte, body))), body)
	_ = greedy.nc.Close()
	eventually(t, "what was reserved", func() bool { return h.incomplete.Load() == 0 })
}

// Close meets Recv and Send on other goroutines: both return, and no unread
// byte stays on the connection's account.
func TestCloseMeetsRecv(t *testing.T) {
	r := seeded(t)
	overAll(t, func(l *lab) {
		c, _ := l.pair(methods{"echo": streamEcho})
		for range 100 {
			s, refusal, err := c.Open(context.Background(), &Request{Method: "echo", Meta: Meta{Partition: NoPartition}})
			if err != nil || refusal != nil {
				l.Fatal(err, refusal)
			}
			ended := make(chan error, 2)
			go func() {
				for {
					if _, err := s.Recv(); err != nil {
						ended <- err
						return
					}
				}
			}()
			go func() {
				for {
					if err := s.Send([]byte("message")); err != nil {
						ended <- err
						return
					}
				}
			}()
			for range r.IntN(300) {
				_ = c.Err() // a moment
			}
			s.Close()
			s.Close()
			for range 2 {
				if err := receive(l, "end", ended); errors.Is(err, io.EOF) {
					l.Error("a closed stream ended well")
				}
			}
			if _, err := s.Recv(); err == nil {
				l.Error("a closed stream gives messages")
			}
		}
		eventually(l, "an account of nothing", func() bool { return c.pool.lent.Load() == 0 })
	})
}
