package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// counted counts dials, and may hold or fail them.
type counted struct {
	Network
	dials, now, most atomic.Int32 // begun, under way, most under way at a time

	mu   sync.Mutex
	hook func(ctx context.Context, addr string) error
}

func (n *counted) set(hook func(context.Context, string) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = hook
}

func (n *counted) Dial(ctx context.Context, addr string) (net.Conn, error) {
	n.dials.Add(1)
	now := n.now.Add(1)
	defer n.now.Add(-1)
	for most := n.most.Load(); now > most && !n.most.CompareAndSwap(most, now); most = n.most.Load() {
	}
	n.mu.Lock()
	hook := n.hook
	n.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, addr); err != nil {
			return nil, err
		}
	}
	return n.Network.Dial(ctx, addr)
}

// peerLab gives a lab whose dials are counted, a host and a handle for it.
func peerLab(t testing.TB, network Network, handler Handler) (*lab, *counted, *host, *Peer) {
	n := &counted{Network: network}
	l := &lab{t, n}
	if x, ok := network.(*tlsNet); ok { // what is counted is dialled below TLS
		n.Network = x.Network
		l.net = newTLSNet(t, n)
	}
	h := l.host(Config{Name: "b", Handler: handler})
	return l, n, h, l.endpoint(Config{Name: "a"}).Peer("b", h.addr)
}

// Many callers that need a connection at once share one dial.
func TestPeerDialsOnce(t *testing.T) {
	for name, network := range networks(t) {
		t.Run(name, func(t *testing.T) {
			_, n, h, p := peerLab(t, network(), echo{})
			same(t, "name", p.Name(), "b")
			same(t, "address", p.Addr(), h.addr)
			same(t, "before anybody needs it", p.Current(), nil)
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					c, err := p.Conn(context.Background())
					if err != nil {
						t.Error(err)
						return
					}
					same(t, "echo", string(call(t, c, "echo", []byte("x"))), "x")
				})
			}
			wg.Wait()
			same(t, "dials", n.dials.Load(), 1)
			if p.Current() == nil {
				t.Error("no connection is kept")
			}
		})
	}
}

// After the connection broke, the next caller dials again, at once.
func TestPeerReconnects(t *testing.T) {
	_, n, h, p := peerLab(t, System(), echo{})
	for round := range int32(5) {
		c, err := p.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		call(t, c, "echo", nil)
		same(t, "dials", n.dials.Load(), round+1)
		h.far(t).Close()
		receive(t, "end", c.Closed())
		same(t, "after the end", p.Current(), nil)
	}
}

// While a dial hangs, no lock is held: callers can give up, and all else
// answers. Close ends the dial and those who wait for it.
func TestPeerWhileADialHangs(t *testing.T) {
	_, n, _, p := peerLab(t, newMemNet(1000), echo{})
	dialling := make(chan struct{}, 10)
	n.set(func(ctx context.Context, _ string) error {
		dialling <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	waiting := make(chan error, 20)
	for range 20 {
		go func() {
			_, err := p.Conn(context.Background())
			waiting <- err
		}()
	}
	receive(t, "dial", dialling)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := p.Conn(ctx)
	is(t, "caller who gives up", err, context.Canceled, true)
	same(t, "connection", p.Current(), nil)
	p.forgetBackoff()
	same(t, "dials", n.dials.Load(), 1)
	same(t, "callers who gave up", len(waiting), 0)
	p.Close()
	for range 20 {
		err := receive(t, "end of a caller", waiting)
		is(t, "caller", err, ErrClosed, true)
		isNot(t, "caller", err, context.Canceled)
	}
	_, err = p.Conn(context.Background())
	is(t, "after Close", err, ErrClosed, true)
	p.Close()
	same(t, "dials at a time", n.most.Load(), 1)
}

// Close while the greeting is under way leaves no connection.
func TestPeerCloseDuringGreeting(t *testing.T) {
	for range 50 {
		_, n, h, p := peerLab(t, newMemNet(1000), echo{})
		waiting := make(chan error, 1)
		go func() {
			_, err := p.Conn(context.Background())
			waiting <- err
		}()
		eventually(t, "dial", func() bool { return n.dials.Load() > 0 })
		p.Close()
		if err := receive(t, "end", waiting); err != nil {
			is(t, "caller", err, ErrClosed, true)
		}
		eventually(t, "no connection", func() bool { return h.Conns() == 0 && p.ep.Conns() == 0 })
		same(t, "usable", p.Current(), nil)
	}
}

// Dials that fail are repeated with growing pauses; meanwhile callers hear at
// once why. Time is virtual.
func TestPeerBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &counted{Network: newMemNet(1000)} // where nobody listens
		ep := (&lab{t, n}).endpoint(Config{RandSeed: 1})
		p := ep.Peer("b", "127.0.0.1:1")
		start := time.Now()
		for try := int32(1); try <= 14; try++ {
			_, err := p.Conn(t.Context())
			is(t, "dial", err, syscall.ECONNREFUSED, true)
			isNot(t, "dial", err, ErrBackoff)
			same(t, "dials", n.dials.Load(), try)
			_, err = p.Conn(t.Context())
			is(t, "a moment later", err, ErrBackoff, true)
			is(t, "a moment later", err, syscall.ECONNREFUSED, true)
			same(t, "dials", n.dials.Load(), try)
			wait := time.Until(p.retryAt)
			most := min(minRedial<<(try-1), maxRedial)
			if wait < most/2 || wait > most {
				t.Errorf("pause %d is %v, want %v to %v", try, wait, most/2, most)
			}
			time.Sleep(wait)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("14 tries took %v", took)
		}
		_, err := p.Conn(t.Context())
		is(t, "dial", err, syscall.ECONNREFUSED, true)
		p.forgetBackoff()
		_, err = p.Conn(t.Context())
		isNot(t, "after the backoff is forgotten", err, ErrBackoff)
		same(t, "dials", n.dials.Load(), 16)
		counts(t, ep, DialsFailed, 16)
	})
}

// A dial that succeeds ends the backoff.
func TestPeerRecovers(t *testing.T) {
	_, n, _, p := peerLab(t, newMemNet(1000), echo{})
	broken := errors.New("no route")
	n.set(func(context.Context, string) error { return broken })
	for range 5 {
		_, err := p.Conn(context.Background())
		is(t, "dial", err, broken, true)
		p.forgetBackoff()
	}
	n.set(nil)
	c, err := p.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	call(t, c, "echo", nil)
	same(t, "failures", p.failures, 0)
	same(t, "last error", p.lastErr, nil)
}

// A dial says by name why the other process refused, and what was bad luck.
func TestPeerRefused(t *testing.T) {
	l := &lab{t, newMemNet(1000)}
	h := l.host(Config{Name: "b", Cluster: "one", KeyID: 1})
	for _, c := range []struct {
		cfg  Config
		name string
		want error
	}{
		{Config{Name: "a", Cluster: "two"}, "b", ErrCluster},
		{Config{Name: "a", Cluster: "one"}, "b", ErrGossipKey},
		{Config{Name: "a", Cluster: "one", KeyID: 1}, "c", ErrWrongPeer},
	} {
		p := l.endpoint(c.cfg).Peer(c.name, h.addr)
		_, err := p.Conn(context.Background())
		is(t, "dial", err, c.want, true)
	}
	p := l.endpoint(Config{Name: "a"}).Peer("b", "127.0.0.1:1")
	_, err := p.Conn(context.Background())
	is(t, "dial", err, syscall.ECONNREFUSED, true)
}

// forgetBackoff lets the next Conn dial at once.
func (p *Peer) forgetBackoff() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures, p.retryAt = 0, time.Time{}
}
