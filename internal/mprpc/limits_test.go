package mprpc

import (
	"context"
	"testing"

	"github.com/meshnode/meshnode/rpc"
)

// block makes the calls of a method wait; release lets all go on.
func (l *lab) block(method string) (release func()) {
	open := make(chan struct{})
	l.do[method] = func(ctx context.Context, call *rpc.Call) ([]byte, error) {
		select {
		case <-open:
			return []byte("\xc3"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return func() { close(open) }
}

func TestCallsOnOneStream(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{MaxCalls: 4})
	release := l.block("block")
	c := l.connect()
	for i := range 6 {
		c.send([]any{0, i, "block", []any{}})
	}
	for i := range 2 {
		a := c.answer()
		a.wantCode(t, "over the limit", rpc.ResourceExhausted)
		if a.ID != int64(4+i) {
			t.Errorf("%d is refused", a.ID)
		}
	}
	c.send([]any{2, "note", []any{}}) // dropped, and counted
	eventually(t, "the notification is dropped", func() bool { return l.count(overLimit) == 3 })
	release()
	for range 4 {
		c.answer().wantResult(t, "within the limit", true)
	}
	eventually(t, "none is in flight", func() bool { return l.inFlight.Load() == 0 })
	c.ask(9, "x", "y").wantResult(t, "afterwards", "y")
	l.wantCounts(map[string]uint64{"mprpc_conns": 1, "mprpc_calls": 5, "mprpc_errors": 3, "mprpc_over_limit": 3})
}

func TestCallsOnAllStreams(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{MaxAllCalls: 2})
	release := l.block("block")
	one, other := l.connect(), l.connect()
	one.send([]any{0, 1, "block", []any{}}, []any{0, 2, "block", []any{}})
	eventually(t, "two in flight", func() bool { return len(l.invoked()) == 2 })
	other.ask(3, "x").wantCode(t, "over the limit", rpc.ResourceExhausted)
	release()
	one.answer().wantResult(t, "within the limit", true)
	one.answer().wantResult(t, "within the limit", true)
	eventually(t, "none is in flight", func() bool { return l.inFlight.Load() == 0 })
	other.ask(4, "x", "y").wantResult(t, "afterwards", "y")
}

func TestConns(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{MaxConns: 2})
	one, other := l.connect(), l.connect()
	one.ask(1, "x", "y").wantResult(t, "first", "y")
	other.ask(1, "x", "y").wantResult(t, "second", "y")
	l.connect().wantEnd("third")
	l.wantCounts(map[string]uint64{
		"mprpc_conns": 2, "mprpc_calls": 2, "mprpc_conns_refused": 1, "mprpc_over_limit": 1,
	})
	_ = one.Close()
	await(t, "the first leaves", one.done)
	l.connect().ask(1, "x", "y").wantResult(t, "fourth", "y")
}

// The bytes of requests under way are bounded for one client and for all.
func TestHeldRequests(t *testing.T) {
	t.Parallel()
	const size = 60 << 10
	l := newLab(t, Limits{MaxMessage: 64 << 10, MaxHeld: 1 << 20}) // 256 KiB for each
	release := l.block("block")
	payload := make([]byte, size)
	fill := func(c *client) (taken int64) {
		for i := range int64(20) {
			before := len(l.invoked())
			c.send([]any{0, i, "block", []any{payload}})
			eventually(t, "taken or refused", func() bool {
				return len(l.invoked()) > before || l.count(overLimit) > 0
			})
			if l.count(overLimit) > 0 {
				a := c.answer()
				a.wantCode(t, "too many bytes", rpc.ResourceExhausted)
				if a.ID != i {
					t.Errorf("%d is refused, not %d", a.ID, i)
				}
				return i
			}
		}
		return -1
	}
	c := l.connect()
	if n := fill(c); n < 2 || n > 4 {
		t.Errorf("%d requests of %d bytes are taken", n, size)
	}
	l.connect().ask(1, "x", payload).wantResult(t, "another client", payload)
	release()
}

// An answer that finds no room is replaced by an error: the client learns of
// it, and memory stays bounded.
func TestHeldAnswers(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{MaxMessage: 4 << 10, MaxHeld: 64 << 10}) // 16 KiB for each
	big := append([]byte{0xc5, 0x0f, 0xa0}, make([]byte, 4000)...)
	release := make(chan struct{})
	l.do["big"] = func(context.Context, *rpc.Call) ([]byte, error) { <-release; return big, nil }
	c := l.connect()
	const n = 20
	for i := range n {
		c.send([]any{0, i, "big", []any{}})
	}
	eventually(t, "all are under way", func() bool { return len(l.invoked()) == n })
	close(release)
	eventually(t, "all are done", func() bool { return l.inFlight.Load() == 0 })
	if held := l.held.Load(); held > 20<<10 {
		t.Errorf("%d bytes are held", held)
	}
	refused := 0
	for range n {
		if a := c.answer(); a.Err != nil {
			a.wantCode(t, "too many answers", rpc.ResourceExhausted)
			refused++
		} else if data, _ := a.Result.([]byte); len(data) != 4000 {
			t.Errorf("an answer of %d bytes", len(data))
		}
	}
	if refused == 0 || refused == n || l.count(overLimit) != uint64(refused) {
		t.Errorf("%d of %d answers refused, counted %d", refused, n, l.count(overLimit))
	}
	c.ask(99, "x", "y").wantResult(t, "afterwards", "y")
}

// A stream that cannot get memory for a message ends.
func TestHeldMessage(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{MaxMessage: 64 << 10, MaxHeld: 1 << 20})
	l.held.Add(1 << 20) // others have it all
	c := l.connect()
	c.ask(1, "x").wantCode(t, "small request", rpc.ResourceExhausted)
	_, _ = c.Write(append([]byte("\x94\x00\x02\xa1x\x91\xc5\xf0\x00"), make([]byte, 0xf000)...))
	c.wantEnd("large message")
	l.held.Add(-1 << 20)
	l.wantCounts(map[string]uint64{"mprpc_conns": 1, "mprpc_errors": 1, "mprpc_over_limit": 3})
}
