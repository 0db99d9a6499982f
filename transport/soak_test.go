package transport

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var soakFlag = flag.Duration("soak", 2*time.Second, "how long TestSoak runs, over all its networks")

// soak is calls and streams of every kind over connections that are cut every
// second, and what came of them.
type soak struct {
	*lab
	hosts []*host
	peers []*Peer
	seed  uint64
	end   chan struct{}

	ids      atomic.Uint64
	ledger   ledgerOf
	mu       sync.Mutex
	outcomes map[string]int
	cuts     int
	workers  [24]struct {
		since atomic.Int64 // when its current call began; 0: none
		what  atomic.Pointer[string]
	}
}

// ledgerOf says of each call by its number how often it was executed, and
// whether its caller was told that it cannot have been.
type ledgerOf struct {
	mu     sync.RWMutex
	chunks []*[1 << 16]atomic.Uint32
}

const ledgerUnsent = 1 << 16

func (l *ledgerOf) add(id uint64, n uint32) {
	l.mu.RLock()
	if id>>16 < uint64(len(l.chunks)) {
		l.chunks[id>>16][id&0xffff].Add(n)
		l.mu.RUnlock()
		return
	}
	l.mu.RUnlock()
	l.mu.Lock()
	for id>>16 >= uint64(len(l.chunks)) {
		l.chunks = append(l.chunks, new([1 << 16]atomic.Uint32))
	}
	l.mu.Unlock()
	l.add(id, n)
}

// check fails the test for each call that was executed although unsent, or
// more than once: each is sent once.
func (l *ledgerOf) check(t testing.TB) {
	for i, chunk := range l.chunks {
		for j := range chunk {
			n := chunk[j].Load()
			if executed := n % ledgerUnsent; executed > 1 || n > ledgerUnsent {
				t.Errorf("call %d was executed %d times, and said to be unsent %d times", i<<16+j, executed, n/ledgerUnsent)
			}
		}
	}
}

// TestSoak runs for two seconds by default; -soak 10m is the real one. Each
// answer is checked, none may be lost, and all that was used is given back.
func TestSoak(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; repeat with: go test -timeout 0 ./transport -run '^TestSoak$' -soak %v -seed %d", seed, *soakFlag, seed)
	for i, name := range []string{"tcp", "tls"} {
		t.Run(name, func(t *testing.T) {
			s := &soak{
				lab: &lab{t, networks(t)[name]()}, seed: seed + uint64(i),
				end: make(chan struct{}), outcomes: make(map[string]int),
			}
			s.run(*soakFlag / 2)
		})
	}
}

// start gives the hosts, of which one has narrow limits, and peers for them.
func (s *soak) start() {
	handler := &soakHandler{s}
	for _, cfg := range []Config{
		{Name: "b1"},
		{Name: "b2", Limits: Limits{Window: 4 << 10, ConnWindow: 16 << 10, MaxUnread: 64 << 10, MaxCalls: 20, MaxIncomplete: 6 << 20, MaxQueued: 64 << 10}},
	} {
		cfg.Handler = handler
		s.hosts = append(s.hosts, s.host(cfg))
	}
	a := s.endpoint(Config{Name: "a", Handler: handler, Limits: Limits{Keepalive: 400 * time.Millisecond, KeepaliveTimeout: patience}})
	for _, h := range s.hosts {
		for range 2 {
			s.peers = append(s.peers, a.Peer(h.cfg.Name, h.addr))
		}
	}
}

func (s *soak) run(d time.Duration) {
	s.start()
	s.warmUp()
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	end := time.AfterFunc(d, func() { close(s.end) })
	defer end.Stop()
	var wg sync.WaitGroup
	for i := range s.workers {
		wg.Go(func() { s.work(i, rand.New(rand.NewPCG(s.seed, uint64(i)))) })
	}
	wg.Go(func() { s.sabotage(rand.New(rand.NewPCG(s.seed, 1000)), d) })
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(d + 2*patience):
		buf := make([]byte, 1<<20)
		s.Fatalf("lost calls: %v\n%s", s.stuck(0), buf[:runtime.Stack(buf, true)])
	}
	s.settle()
	s.ledger.check(s)
	most := s.ids.Load()
	s.ledger.chunks = nil
	s.warmUp()
	after := heapInUse()
	eventually(s, "the goroutines of the start", func() bool { return runtime.NumGoroutine() <= goroutines+maxIdleWorkers*len(s.hosts) })
	if after > heap+16<<20 {
		s.Errorf("the heap has grown from %d to %d KiB", heap>>10, after>>10)
	}
	s.Logf("%v: %d calls and streams, %d cuts; heap %d -> %d KiB, goroutines %d -> %d; %s",
		d, most, s.cuts, heap>>10, after>>10, goroutines, runtime.NumGoroutine(), s.summary())
	for _, what := range []string{"unary ok", "stream ok"} {
		if s.outcomes[what] == 0 {
			s.Errorf("no %s", what)
		}
	}
}

// warmUp makes a call to each peer.
func (s *soak) warmUp() {
	for _, p := range s.peers {
		eventually(s, "a call", func() bool {
			p.forgetBackoff()
			c, err := p.Conn(context.Background())
			if err != nil {
				return false
			}
			r, err := c.Call(context.Background(), &Request{Method: "ping"})
			if err == nil {
				r.Release()
			}
			return err == nil
		})
	}
}

func heapInUse() uint64 {
	debug.FreeOSMemory()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// settle fails the test unless everything comes to rest, on both sides.
func (s *soak) settle() {
	for _, h := range s.hosts {
		eventually(s, "end of all handlers", func() bool { return h.served.Load() == 0 })
		same(s, "bytes of bodies under way", h.incomplete.Load(), 0)
	}
	eps := []*Endpoint{s.hosts[0].Endpoint, s.hosts[1].Endpoint, s.peers[0].ep}
	for _, ep := range eps {
		for _, c := range ep.open() {
			eventually(s, "rest", c.unused)
			c.out.mu.Lock()
			same(s, "senders", len(c.flow.senders)+len(c.flow.waiting), 0)
			c.out.mu.Unlock()
			eventually(s, "no window lent", func() bool { return c.pool.lent.Load() == 0 })
		}
		same(s, "protocol errors", ep.stats.Get(ProtocolErrors), 0)
		same(s, "keepalive timeouts", ep.stats.Get(KeepaliveTimeouts), 0)
	}
}

// sabotage ends a connection every second, each time in another way.
func (s *soak) sabotage(r *rand.Rand, d time.Duration) {
	tick := time.NewTicker(min(time.Second, d/10))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.end:
			return
		}
		if stuck := s.stuck(patience * 3); stuck != nil {
			s.Errorf("calls that do not return: %v", stuck)
		}
		eps := []*Endpoint{s.hosts[r.IntN(len(s.hosts))].Endpoint, s.peers[0].ep}
		conns := eps[r.IntN(2)].open()
		if len(conns) == 0 {
			continue
		}
		s.cuts++
		switch c := conns[r.IntN(len(conns))]; r.IntN(5) {
		case 0:
			c.Close()
		case 1:
			_ = c.nc.Close()
		case 2:
			closeWrite(c.nc)
		default:
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(1000))*time.Millisecond)
			c.drain(ctx)
			cancel()
		}
	}
}

// stuck names the calls that are older than that.
func (s *soak) stuck(age time.Duration) (what []string) {
	for i := range s.workers {
		w := &s.workers[i]
		if since := w.since.Load(); since != 0 && time.Since(time.Unix(0, since)) > age {
			what = append(what, *w.what.Load())
		}
	}
	return what
}

// note counts an outcome.
func (s *soak) note(what string) {
	s.mu.Lock()
	s.outcomes[what]++
	s.mu.Unlock()
}

func (s *soak) summary() string {
	var parts []string
	for what, n := range s.outcomes {
		parts = append(parts, fmt.Sprintf("%s %d", what, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
