package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/internal/simnet"
	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
)

// stopLab is a node a that stays and a node b that stops, in virtual time.
type stopLab struct {
	t       *testing.T
	net     *simnet.Net
	a, b    *Node
	release chan struct{} // closed when what is deaf may end
	log     *logs         // of b
	ends    chan string   // how what was open has ended
	edit    func(cfg *Config)
}

const drainTime = 7 * time.Second

func (l *stopLab) node(name string, number byte) *Node {
	addr := netip.AddrFrom4([4]byte{10, 0, 0, number})
	cfg := Config{
		Name: name, Network: l.net.Host(name, addr).Boot(), Bind: netip.AddrPortFrom(addr, 7101).String(),
		Profile: membership.Local, RandSeed: uint64(number), Limits: Limits{DrainTimeout: drainTime},
	}
	if name == "b" {
		cfg.Seeds, cfg.Expect, cfg.Logger = []string{l.a.Addr().String()}, 2, zerolog.New(l.log)
		if l.edit != nil {
			l.edit(&cfg)
		}
	}
	n, err := New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(n.Close)
	for _, m := range []rpc.Method[int, int]{deaf, deafInline} {
		m.Handle(n, func(context.Context, *int) (*int, error) { <-l.release; return nil, nil })
	}
	idle.Handle(n, func(ctx context.Context, s *rpc.ServerStream[int, int]) error {
		_, err := s.Recv()
		l.ends <- fmt.Sprintf("handler: %s, %v", ending(err), ctx.Err())
		return err
	})
	if err := n.Start(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	return n
}

var (
	deaf       = rpc.NewMethod[int, int]("stop.Deaf")
	deafInline = rpc.NewMethod[int, int]("stop.DeafInline", rpc.Inline())
	idle       = rpc.NewStream[int, int]("stop.Idle")
)

// open opens an idle stream.
func (l *stopLab) open(from *Node, to string) {
	s, err := idle.Open(context.Background(), from, rpc.Peer(to))
	if err != nil {
		l.t.Fatal(err)
	}
	go func() {
		defer s.Close()
		_, err := s.Recv()
		l.ends <- "caller: " + ending(err)
	}()
}

// call makes a call that its handler does not end.
func (l *stopLab) call(from *Node, m rpc.Method[int, int]) {
	go func() {
		_, err := m.Call(context.Background(), from, nil, rpc.Peer("b"), rpc.Timeout(time.Hour))
		l.ends <- fmt.Sprint(rpc.CodeOf(err))
	}()
}

// client is a MessagePack-RPC client that has sent a message, if it is not nil.
func (l *stopLab) client(message []any) {
	nc, err := l.net.Host("client", netip.MustParseAddr("10.0.0.9")).Boot().Dial(l.t.Context(), l.b.Addr().String())
	if err != nil {
		l.t.Fatal(err)
	}
	hello, _ := msgpack.Marshal([]any{2, "nothing", []any{}})
	if _, err := nc.Write(hello); err != nil {
		l.t.Fatal(err)
	}
	if message != nil {
		b, _ := msgpack.Marshal(message)
		_, _ = nc.Write(b)
	}
	go func() {
		_, _ = io.Copy(io.Discard, nc)
		_ = nc.Close()
		l.ends <- "end of input"
	}()
}

// blockedMemory remembers nothing until it is released.
type blockedMemory struct{ release <-chan struct{} }

func (m blockedMemory) Known() []KnownPeer         { return nil }
func (m blockedMemory) Remember([]KnownPeer) error { <-m.release; return nil }
func (m blockedMemory) String() string             { return "nowhere" }

// Stop ends by the drain timeout, whatever is open and whoever has opened it, and streams end at
// both sides by a reason.
func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	const late = drainTime + leaveTimeout + handlerGrace
	const here, there = "Unavailable: this node stopped before the stream had ended", "Unavailable: the other node stopped before the stream had ended"
	for name, c := range map[string]struct {
		edit  func(l *stopLab, cfg *Config)
		open  func(l *stopLab)
		ends  []string
		least time.Duration
		most  time.Duration
	}{
		"nothing": {most: 4 * time.Second},
		"a stream from the other node": {
			open: func(l *stopLab) { l.open(l.a, "b") }, least: drainTime, most: late,
			ends: []string{"caller: " + there, "handler: " + here + ", context canceled"},
		},
		"a stream to the other node": {
			open: func(l *stopLab) { l.open(l.b, "a") }, least: drainTime, most: late,
			ends: []string{"caller: " + here, "handler: " + there + ", context canceled"},
		},
		"a local stream": {
			open: func(l *stopLab) { l.open(l.b, "b") }, least: drainTime, most: late,
			ends: []string{"caller: " + here, "handler: " + here + ", context canceled"},
		},
		"a deaf handler":              {open: func(l *stopLab) { l.call(l.a, deaf) }, least: drainTime, most: late, ends: []string{"Unavailable"}},
		"a deaf local handler":        {open: func(l *stopLab) { l.call(l.b, deaf) }, least: drainTime, most: late, ends: []string{"Unavailable"}},
		"a deaf inline handler":       {open: func(l *stopLab) { l.call(l.a, deafInline) }, least: drainTime, most: late, ends: []string{"Unavailable"}},
		"a deaf local inline handler": {open: func(l *stopLab) { l.call(l.b, deafInline) }, least: drainTime, most: late, ends: []string{"Unavailable"}},
		"a MessagePack-RPC client":    {open: func(l *stopLab) { l.client(nil) }, most: 5 * time.Second, ends: []string{"end of input"}},
		"a MessagePack-RPC client that waits": {
			open: func(l *stopLab) { l.client([]any{0, 1, deaf.Name(), []any{0}}) }, least: drainTime, most: late, ends: []string{"end of input"},
		},
		"an interceptor": {edit: func(l *stopLab, cfg *Config) {
			cfg.Client = []rpc.ClientInterceptor{func(ctx context.Context, call *rpc.Call, next rpc.Invoker) error {
				if call.Spec.Name() == deaf.Name() {
					<-l.release
				}
				return next(ctx, call)
			}}
		}, open: func(l *stopLab) { l.client([]any{0, 1, deaf.Name(), []any{0}}) }, least: drainTime, most: late, ends: []string{"end of input"}},
		"an ownership hook": {open: func(l *stopLab) {
			l.b.OnOwnership(func(OwnershipChange) { <-l.release })
		}, least: drainTime, most: late},
		"a memory": {edit: func(l *stopLab, cfg *Config) { cfg.Remember = blockedMemory{l.release} }, least: drainTime, most: late + drainTime},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &stopLab{t: t, net: simnet.New(simnet.Config{Seed: 1}), release: make(chan struct{}), log: &logs{}, ends: make(chan string, 9)}
				if c.edit != nil {
					l.edit = func(cfg *Config) { c.edit(l, cfg) }
				}
				l.a = l.node("a", 1)
				l.b = l.node("b", 2)
				agree(t, l.a, l.b)
				if c.open != nil {
					c.open(l)
				}
				synctest.Wait()
				l.stops(c.least, c.most)
				close(l.release)
				l.ended(c.ends)
			})
		})
	}
}

// stops stops b, which must take from least to most.
func (l *stopLab) stops(least, most time.Duration) {
	began := time.Now()
	var ready sync.WaitGroup
	ready.Go(func() { // from the first moment on
		synctest.Wait()
		if ready, why := l.b.Ready(); ready || why != "it is stopping" {
			l.t.Errorf("a node that leaves is ready: %v, %q", ready, why)
		}
	})
	err := l.b.Stop(context.Background())
	ready.Wait()
	if took := time.Since(began); took < least || took > most {
		l.t.Errorf("Stop took %v, want %v to %v", took, least, most)
	}
	if cut := least > 0 && !strings.Contains(l.t.Name(), "memory"); cut != errors.Is(err, context.DeadlineExceeded) || err != nil && !strings.Contains(err.Error(), "drain timeout of 7s") {
		l.t.Errorf("Stop returns %v", err)
	}
	if strings.Contains(l.log.String(), "left without word") {
		l.t.Error("the others were not told")
	}
	if ready, why := l.b.Ready(); ready || why != "it has stopped" {
		l.t.Errorf("a stopped node is ready: %v, %q", ready, why)
	}
}

// ended waits for how all that was open has ended.
func (l *stopLab) ended(want []string) {
	var got []string
	for range want {
		got = append(got, await(l.t, "what was open", l.ends))
	}
	for _, one := range want {
		if !strings.Contains(fmt.Sprint(got), one) {
			l.t.Errorf("ends: %q, want %q", got, want)
		}
	}
}
