package transport

import (
	"context"
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/meshnode/meshnode/internal/wire"
)

// ledger counts how often the call of each number was executed.
type ledger struct{ executed []atomic.Int32 }

func (d *ledger) ServeCall(in *Incoming) {
	n := binary.BigEndian.Uint32(in.Body)
	if n%3 == 0 {
		runtime.Gosched() // replies leave in another order
	}
	d.executed[n].Add(1)
	_ = in.Reply(CodeOK, nil, in.Body)
}

// load makes calls from many goroutines until each has failed, and checks every
// outcome: a reply is the call's own, and everything else is provably unsent.
// The outcome is true for calls that were answered.
func (d *ledger) load(l *lab, c *Conn, numbers *atomic.Uint32, outcome []bool) *sync.WaitGroup {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				n := numbers.Add(1) - 1
				if int(n) >= len(outcome) {
					return
				}
				body := binary.BigEndian.AppendUint32(nil, n)
				r, err := c.Call(context.Background(), &Request{Method: "m", Body: body})
				if err != nil {
					if !IsUnsent(err) {
						l.Errorf("call %d is lost: %v", n, err)
					}
					return
				}
				outcome[n] = string(r.Body) == string(body)
				r.Release()
			}
		})
	}
	return &wg
}

// check compares what callers were told with what happened.
func (d *ledger) check(l *lab, outcome []bool) {
	l.Helper()
	for n := range outcome {
		times, want := d.executed[n].Load(), int32(0)
		if outcome[n] {
			want = 1
		}
		if times != want {
			l.Errorf("call %d: answered: %v, executed %d times", n, outcome[n], times)
		}
	}
}

// Draining under load loses no call: each either succeeds, or is unsent and was
// not executed. Calls go both ways, and either side drains, or both.
func TestDrainUnderLoad(t *testing.T) { drainUnderLoad(t, 6) }

func drainUnderLoad(t *testing.T, rounds int) {
	const most = 200_000
	r := seeded(t)
	overAll(t, func(l *lab) {
		for round := range rounds {
			books := [2]ledger{{make([]atomic.Int32, most)}, {make([]atomic.Int32, most)}}
			h := l.host(Config{Name: "b", Handler: &books[0]})
			a := l.endpoint(Config{Name: "a", Handler: &books[1]})
			near := l.dial(a, h)
			conns := [2]*Conn{near, h.far(l)}
			var outcomes [2][]bool
			var numbers [2]atomic.Uint32
			var loads [2]*sync.WaitGroup
			for i, c := range conns {
				outcomes[i] = make([]bool, most)
				loads[i] = books[i].load(l, c, &numbers[i], outcomes[i])
			}
			begin := uint32(r.IntN(2000))
			eventually(l, "load", func() bool { return numbers[0].Load()+numbers[1].Load() > begin })
			drainSome(round, h.Endpoint, a)
			for i := range loads {
				loads[i].Wait()
				books[i].check(l, outcomes[i])
			}
			for _, ep := range []*Endpoint{h.Endpoint, a} {
				same(l, "protocol errors", ep.stats.Get(ProtocolErrors), 0)
				eventually(l, "end of the connection", func() bool { return ep.Conns() == 0 })
			}
			if l.Failed() {
				return
			}
		}
	})
}

// drainSome drains the one, the other, or both sides.
func drainSome(round int, b, a *Endpoint) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	if round%3 != 1 {
		wg.Go(func() { b.Drain(ctx) })
	}
	if round%3 != 0 {
		wg.Go(func() { a.Drain(ctx) })
	}
	wg.Wait()
}

// Peers that keep dialling while a host drains: a call on a connection that
// comes up in the middle of it is no exception.
func TestDrainWhileDialling(t *testing.T) {
	overAll(t, func(l *lab) {
		for range 15 {
			book := ledger{make([]atomic.Int32, 1000)}
			h := l.host(Config{Name: "b", Handler: &book})
			var wg sync.WaitGroup
			var begun atomic.Int32
			for n := range uint32(20) {
				ep := l.endpoint(Config{})
				wg.Go(func() {
					begun.Add(1)
					c, err := ep.Dial(context.Background(), h.addr, "")
					if err != nil {
						return
					}
					body := binary.BigEndian.AppendUint32(nil, n)
					r, err := c.Call(context.Background(), &Request{Method: "m", Body: body})
					switch {
					case err == nil:
						r.Release()
					case !IsUnsent(err):
						l.Errorf("call %d is lost: %v", n, err)
					case book.executed[n].Load() > 0:
						l.Errorf("call %d was executed and is called unsent: %v", n, err)
					}
				})
			}
			eventually(l, "dials", func() bool { return begun.Load() > 10 })
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			h.Drain(ctx)
			cancel()
			wg.Wait()
		}
	})
}

// A reply that waits for room in the queue when the drain begins is still
// written.
func TestDrainWritesRepliesThatWait(t *testing.T) {
	l := &lab{t, newMemNet(1024)}
	const calls = 40
	body := make([]byte, 4<<10)
	h := l.host(Config{Name: "b", Limits: Limits{MaxQueued: 32 << 10}, Handler: methods{
		"m": func(in *Incoming) { _ = in.Reply(CodeOK, nil, body) },
	}})
	r := l.greeted(h)
	for id := range uint64(calls) {
		r.sendCall(2*id+1, "m")
	}
	far := h.far(t)
	eventually(t, "full queue", func() bool {
		return h.stats.Get(CallsReceived) == calls && far.out.waiting() >= far.out.limit
	})
	drained := make(chan struct{})
	go func() { h.Drain(context.Background()); close(drained) }()
	eventually(t, "drain", func() bool { return far.goaway.Load() })
	replies, goaways := 0, 0
	for replies < calls {
		switch _, head, _ := r.next(); head.Kind {
		case wire.KindReply:
			replies++
		case wire.KindGoAway:
			same(t, "last id", head.ID, 2*calls-1)
			goaways++
		}
	}
	same(t, "goaways", goaways, 1)
	r.ended()
	_ = r.nc.Close()
	receive(t, "end of Drain", drained)
}
