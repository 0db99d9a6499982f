package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Replies and cancels of the same calls meet: each call gets its own reply or
// its own context's end, and the pools hand nothing to two.
func TestCancelMeetsReply(t *testing.T) {
	seed := seeded(t).Uint64()
	overAll(t, func(l *lab) {
		c, h := l.pair(echo{})
		var wg sync.WaitGroup
		for caller := range uint64(16) {
			r := rand.New(rand.NewPCG(seed, caller))
			wg.Go(func() {
				for range 150 {
					ctx, cancel := context.WithCancel(context.Background())
					time.AfterFunc(time.Duration(r.IntN(200))*time.Microsecond, cancel)
					req := &Request{Method: "echo", Body: binary.BigEndian.AppendUint64(nil, r.Uint64())}
					if r.IntN(2) == 0 {
						req.Deadline = time.Now().Add(time.Duration(r.IntN(1500)) * time.Microsecond)
					}
					reply, err := c.Call(ctx, req)
					cancel()
					switch {
					case err == nil && reply.Code == CodeOK:
						same(l, "body", string(reply.Body), string(req.Body))
						reply.Release()
					case err == nil:
						same(l, "code", reply.Code, CodeDeadlineExceeded)
						reply.Release()
					case !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
						l.Errorf("call: %v", err)
					}
				}
			})
		}
		wg.Wait()
		same(l, "waiting", c.pend.count(), 0)
		eventually(l, "rest", h.far(l).serving.empty)
		same(l, "protocol errors", c.ep.stats.Get(ProtocolErrors)+h.stats.Get(ProtocolErrors), 0)
	})
}

// Close meets everything else that an endpoint may be doing. It returns, and
// nothing of the endpoint goes on.
func TestCloseMeetsEverything(t *testing.T) {
	r := seeded(t)
	overAll(t, func(l *lab) {
		for range 30 {
			h := l.host(Config{Name: "b", Handler: echo{}})
			a := l.endpoint(Config{Name: "a", Handler: echo{}})
			p := a.Peer("b", h.addr)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { // until it is closed
					for {
						c, err := p.Conn(context.Background())
						if errors.Is(err, ErrClosed) {
							return
						}
						if err != nil {
							p.forgetBackoff()
							continue
						}
						if reply, err := c.Call(context.Background(), &Request{Method: "echo"}); err == nil {
							reply.Release()
						}
						_ = c.Notify(&Request{Method: "echo"})
					}
				})
				wg.Go(func() {
					for {
						c, err := a.Dial(context.Background(), h.addr, "b")
						if errors.Is(err, ErrClosed) {
							return
						}
						if err == nil {
							_, _ = c.Ping(context.Background())
							c.Close()
						}
					}
				})
			}
			pause := time.After(time.Duration(r.IntN(5000)) * time.Microsecond)
			receive(l, "pause", pause)
			if r.IntN(2) == 0 {
				wg.Go(h.Close)
			}
			for range 2 {
				wg.Go(a.Close)
			}
			done := make(chan struct{})
			go func() { wg.Wait(); close(done) }()
			receive(l, "end of everything", done)
			same(l, "connections", a.Conns(), 0)
		}
	})
}

// Goroutines that served calls are kept for the next, but not all of a crowd.
func TestWorkersAreReusedAndLimited(t *testing.T) {
	l := &lab{t, System()}
	const crowd = 2 * maxIdleWorkers
	release := make(chan struct{})
	c, h := l.pair(methods{
		"wait": func(in *Incoming) {
			hold(release)
			_ = in.Reply(CodeOK, nil, nil)
		},
		"echo": echo{}.ServeCall,
	})
	answers := make([]<-chan answer, crowd)
	for i := range answers {
		answers[i] = goCall(context.Background(), c, &Request{Method: "wait"})
	}
	eventually(t, "crowd", func() bool { return h.stats.Get(CallsReceived) == crowd })
	close(release)
	for _, ch := range answers {
		same(t, "answer", receive(t, "answer", ch), answer{})
	}
	idle := func() int { return int(h.workers.idle.Load()) }
	eventually(t, "most workers at rest", func() bool { return idle() == maxIdleWorkers })
	call(t, c, "echo", nil)
	eventually(t, "the worker back at rest", func() bool { return idle() == maxIdleWorkers })
}

// Streams that are no mesh streams are refused and counted, while mesh
// connections go on.
func TestForeignStreams(t *testing.T) {
	t.Parallel()
	overPlain(t, func(l *lab) {
		who := make(chan Identity, 1)
		c, h := l.pair(methods{"who": func(in *Incoming) {
			who <- in.Peer()
			_ = in.Reply(CodeOK, nil, nil)
		}})
		for n, first := range []string{"GET / HTTP/1.0\r\n\r\n", "\xf4gossip", "\x94\x00\x01", "\x00", "SSH-2.0"} {
			r := l.raw(h)
			_, _ = r.nc.Write([]byte(first))
			r.ended()
			counts(l, h.Endpoint, StreamsRefused, uint64(n)+1)
		}
		call(l, c, "who", nil)
		same(l, "caller", receive(l, "call", who), Identity{Name: "a", Cluster: "lab", Subject: "a", Verified: l.secure()})
		same(l, "handshakes refused", h.stats.Get(ConnsRefused), 0)
		same(l, "protocol errors", h.stats.Get(ProtocolErrors), 0)
	})
}

func TestSystemResolve(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1", "10.1.2.3"} {
		got, err := System().Resolve(context.Background(), host)
		if err != nil || len(got) != 1 || got[0] != netip.MustParseAddr(host) {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
	got, err := System().Resolve(context.Background(), "localhost")
	if err != nil || len(got) == 0 {
		t.Errorf("localhost: %v, %v", got, err)
	}
	for _, addr := range got {
		if !addr.IsLoopback() || addr.Is4In6() {
			t.Errorf("localhost: %v", addr)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := System().Resolve(ctx, "no.such.host.invalid"); err == nil {
		t.Error("a name that cannot exist has an address")
	}
}

func TestRemoteAddr(t *testing.T) {
	overAll(t, func(l *lab) {
		c, h := l.pair(echo{})
		same(l, "server", c.RemoteAddr().String(), h.addr)
		far := h.far(l).RemoteAddr()
		if ap, err := netip.ParseAddrPort(far.String()); err != nil || !ap.Addr().IsLoopback() {
			l.Errorf("client: %v", far)
		}
	})
}

// What is sent is what the specification says, byte by byte.
func TestBytesOnTheWire(t *testing.T) {
	l := &lab{t, newMemNet(1000)}
	c, r := l.rawPair(Config{})
	for _, step := range []struct {
		do   func()
		want string
	}{
		{
			func() {
				goCall(context.Background(), c, &Request{Method: "a.B", Meta: Meta{Partition: 7}, Body: []byte("xy")})
			},
			"940001a3612e428102077879",
		},
		{func() { _ = c.Notify(&Request{Method: "n", Meta: Meta{Partition: NoPartition}}) }, "9302a16e80"},
		{func() { c.cancel(300, context.Canceled) }, "9306cd012c01"},
		{func() { c.cancel(1, context.DeadlineExceeded) }, "93060104"},
		{func() { c.control(func(b []byte) []byte { return wire.AppendPing(b, 5) }) }, "920805"},
		{func() { c.sendGoAway(ErrFrameTooLarge) }, "930a0006" + fmt.Sprintf("%x", ErrFrameTooLarge.Error())},
	} {
		step.do()
		frame, _, _ := r.next()
		same(t, "frame", fmt.Sprintf("%x", frame), step.want)
	}
}
