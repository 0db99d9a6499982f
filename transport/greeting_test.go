package transport

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// silent gives the address of a listener that never answers.
func (l *lab) silent() string {
	l.Helper()
	ln, err := l.net.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

// A server that says nothing is given up, and the error tells whose limit it
// was: ours, the caller's deadline, or his cancel.
func TestSilentServer(t *testing.T) {
	const soon = 20 * time.Millisecond
	overAll(t, func(l *lab) {
		addr := l.silent()
		for name, cfg := range map[string]Config{
			"handshake": {Limits: Limits{HandshakeTimeout: soon, DialTimeout: time.Hour}},
			"dial":      {Limits: Limits{HandshakeTimeout: time.Hour, DialTimeout: soon}},
		} {
			ep := l.endpoint(cfg)
			_, err := ep.Dial(context.Background(), addr, "")
			is(l, name+" timeout", err, ErrHandshakeTimeout, false)
			isNot(l, name+" timeout", err, context.DeadlineExceeded)
			counts(l, ep, DialsFailed, 1)
		}
		ep := l.endpoint(Config{Limits: Limits{HandshakeTimeout: time.Hour, DialTimeout: time.Hour}})
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		_, err := ep.Dial(ctx, addr, "")
		cancel()
		is(l, "caller's deadline", err, context.DeadlineExceeded, false)
		ctx, cancel = context.WithCancel(context.Background())
		time.AfterFunc(soon, cancel)
		_, err = ep.Dial(ctx, addr, "")
		is(l, "caller's cancel", err, context.Canceled, false)
		isNot(l, "caller's cancel", err, ErrHandshakeTimeout)
	})
}

// A network that does not connect counts as our limit, not as the caller's.
func TestDialTimeoutOfTheNetwork(t *testing.T) {
	l := &lab{t, hung{newMemNet(100)}}
	ep := l.endpoint(Config{Limits: Limits{DialTimeout: 20 * time.Millisecond}})
	_, err := ep.Dial(context.Background(), "127.0.0.1:1", "")
	is(t, "dial", err, ErrHandshakeTimeout, false)
	isNot(t, "dial", err, context.DeadlineExceeded)
}

// hung is a network whose dials wait for their context.
type hung struct{ Network }

func (hung) Dial(ctx context.Context, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Strangers who don't finish their greeting are limited: one more, and the first is
// closed.
func TestTooManyStrangers(t *testing.T) {
	t.Parallel()
	l := &lab{t, newMemNet(1000)}
	h := l.host(Config{Name: "b", Limits: Limits{HandshakeTimeout: time.Hour}})
	strangers := make([]*raw, maxStrangers-memberReserve)
	for i := range strangers {
		strangers[i] = l.raw(h)
		strangers[i].write([]byte("m"))
		eventually(t, "stranger", func() bool { return h.greetings() == i+1 })
	}
	l.greeted(h)
	counts(t, h.Endpoint, ConnsRefused, 1)
	counts(t, h.Endpoint, StrangersDisplaced, 1)
	strangers[0].ended()
	closed := make(chan struct{})
	go func() { h.Close(); close(closed) }()
	receive(t, "end of Close, which cuts them all", closed)
	same(t, "greetings", h.greetings(), 0)
}

// Close ends everything, may be called again, and lets nothing in or out.
func TestEndpointClose(t *testing.T) {
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: echo{}})
		ep := l.endpoint(Config{})
		c := l.dial(ep, h)
		call(l, c, "echo", nil)
		h.Close()
		h.Close()
		receive(l, "end of the connection", c.Closed())
		_, err := h.Dial(context.Background(), h.addr, "")
		is(l, "dial", err, ErrClosed, false)
		_, err = h.Peer("b", h.addr).Conn(context.Background())
		is(l, "peer", err, ErrClosed, true)
		h.Drain(context.Background()) // of nothing
		late := l.raw(h)
		_, _ = late.nc.Write([]byte(wire.Preface)) // may come after the end
		late.ended()
		counts(l, h.Endpoint, ConnsAccepted, 1)
	})
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"MaxBody":      {Limits: Limits{MaxBody: 1023}},
		"MaxBody ":     {Limits: Limits{MaxBody: MaxMaxBody + 1}},
		"MaxBody  ":    {Limits: Limits{MaxBody: -1}},
		"MaxCalls":     {Limits: Limits{MaxCalls: -1}},
		"node name":    {Name: "a b"},
		"cluster name": {Cluster: strings.Repeat("c", wire.MaxName+1)},
	} {
		if _, err := NewEndpoint(cfg); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("%+v: %v, want an error about the %s", cfg, err, name)
		}
	}
	ep := newEndpoint(t, Config{})
	same(t, "body limit", ep.cfg.MaxBody, 4<<20)
	same(t, "call limit", ep.cfg.MaxCalls, DefaultMaxCalls)
	same(t, "write timeout", ep.cfg.WriteTimeout, DefaultWriteTimeout)
	same(t, "handshake timeout", ep.cfg.HandshakeTimeout, DefaultHandshakeTimeout)
	same(t, "dial timeout", ep.cfg.DialTimeout, DefaultDialTimeout)
}

// An endpoint without a handler says so to those who call.
func TestNoHandler(t *testing.T) {
	l := &lab{t, System()}
	c, _ := l.pair(nil)
	r, err := c.Call(context.Background(), &Request{Method: "m"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	same(t, "code", r.Code, codeUnimplemented)
	if len(r.Meta.Message) == 0 {
		t.Error("no word about why")
	}
}

func TestCounters(t *testing.T) {
	ep := newEndpoint(t, Config{})
	all := ep.Stats().All()
	same(t, "counters", len(all), int(counterCount))
	for c := range counterCount {
		ep.stats.add(c, uint64(c)+1)
		if _, ok := all[c.String()]; !ok || c.String() == "" {
			t.Errorf("counter %d is called %q", c, c)
		}
	}
	for c := range counterCount {
		same(t, c.String(), ep.Stats().All()[c.String()], uint64(c)+1)
	}
}
