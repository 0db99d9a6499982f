package transport

import (
	"context"
	"io"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// A connection is in use for whoever calls by it, too; only when nobody does is
// it ended as idle.
func TestCallerIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t, newMemNet(1000)}
		h := l.host(Config{Name: "b", Handler: echo{}, Limits: Limits{IdleTimeout: time.Hour}})
		ep := l.endpoint(Config{Limits: Limits{IdleTimeout: time.Minute}})
		c := l.dial(ep, h)
		for range 10 {
			time.Sleep(30 * time.Second)
			same(t, "echo", string(call(t, c, "echo", []byte("x"))), "x")
		}
		same(t, "idle ends", ep.stats.Get(ConnsIdled), 0)
		time.Sleep(2 * time.Minute)
		same(t, "idle ends of what nobody uses", ep.stats.Get(ConnsIdled), 1)
		receive(t, "end", c.Closed())
		same(t, "pings without an answer", ep.stats.Get(KeepaliveTimeouts), 0)
	})
}

// A stream's status cannot travel in parts: data frames would be messages. One
// that is too long becomes a failure of that stream.
func TestStatusOfStreamIsOneFrame(t *testing.T) {
	overAll(t, func(l *lab) {
		c, _ := l.pair(methods{
			"echo": echo{}.ServeCall,
			"m": func(in *Incoming) {
				in.Stream().Accept()
				n, _ := strconv.Atoi(string(in.Body))
				_ = in.Reply(CodeInternal, nil, make([]byte, n))
			},
		})
		same(l, "code", statusOf(l, c, wire.MaxInline), CodeInternal)
		same(l, "code of a long one", statusOf(l, c, wire.MaxInline+1), CodeResourceExhausted)
		same(l, "echo", string(call(l, c, "echo", []byte("x"))), "x")
	})
}

// statusOf opens a stream whose status has a body of n bytes and gives its code.
func statusOf(l *lab, c *Conn, n int) uint64 {
	l.Helper()
	s, refusal, err := c.Open(context.Background(), &Request{Method: "m", Body: []byte(strconv.Itoa(n))})
	if err != nil || refusal != nil {
		l.Fatalf("open: %v, %v", refusal, err)
	}
	defer s.Close()
	if _, err := s.Recv(); err != io.EOF {
		l.Errorf("received %v, want the end", err)
	}
	r, err := s.Status()
	if err != nil {
		l.Fatal(err)
	}
	if r.Code == CodeInternal {
		same(l, "length of the status", len(r.Body), n)
	}
	return r.Code
}
