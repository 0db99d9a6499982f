package transport

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	waitTogether()
	goleak.VerifyTestMain(m)
}

// waitTogether lets more tests run beside each other than there are processors: those that
// are parallel mostly wait. -parallel overrides it.
func waitTogether() {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(strconv.Itoa(min(3*runtime.GOMAXPROCS(0), 6)))
	}
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

var seedFlag = flag.Uint64("seed", 0, "seed of random tests; 0: one of the clock")

// seeded gives a random source. If the test fails, it tells how to repeat it.
func seeded(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with: go test ./transport -run '^%s$' -seed %d", t.Name(), seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}

// lab is a network with what tests put on it.
type lab struct {
	testing.TB
	net Network
}

// secure tells whether the lab's endpoints speak TLS.
func (l *lab) secure() bool {
	_, ok := l.net.(*tlsNet)
	return ok
}

// methods is a handler that goes by name; unknown ones are refused.
type methods map[string]func(*Incoming)

func (m methods) ServeCall(in *Incoming) {
	if serve := m[string(in.Method)]; serve != nil {
		serve(in)
		return
	}
	refuser{}.ServeCall(in)
}

// host is an endpoint with its port.
type host struct {
	*Endpoint
	port    *Port
	addr    string
	refused atomic.Int64 // streams that the port refused
}

// endpoint gives an endpoint that is closed with the test.
func (l *lab) endpoint(cfg Config) *Endpoint {
	l.Helper()
	cfg.Network = l.net
	if n, ok := l.net.(*tlsNet); ok {
		n.equip(&cfg)
	}
	if cfg.Cluster == "" {
		cfg.Cluster = "lab"
	}
	ep, err := NewEndpoint(cfg)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(ep.Close)
	return ep
}

// host gives an endpoint that listens. more may change what the port takes.
func (l *lab) host(cfg Config, more ...func(*StreamHandlers)) *host {
	l.Helper()
	port, err := OpenPort(context.Background(), l.net, "127.0.0.1:0")
	if err != nil {
		l.Fatal(err)
	}
	h := &host{port: port, addr: port.Addr().String()}
	ended := make(chan error, 1)
	l.Cleanup(func() { // after the endpoint's
		if err := errors.Join(port.Close(), <-ended); err != nil {
			l.Error(err)
		}
	})
	h.Endpoint = l.endpoint(cfg)
	streams := StreamHandlers{Mesh: h.ServeConn, TLS: h.cfg.TLS, Refused: func(r Refusal) {
		h.refused.Add(1)
		h.Refused(r)
	}}
	for _, change := range more {
		change(&streams)
	}
	go func() { ended <- port.Serve(streams) }()
	return h
}

// dial connects ep to h.
func (l *lab) dial(ep *Endpoint, h *host) *Conn {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := ep.Dial(ctx, h.addr, h.cfg.Name)
	if err != nil {
		l.Fatal(err)
	}
	return c
}

// pair gives a connection from a client "a" to a server "b" with the handler.
func (l *lab) pair(handler Handler) (*Conn, *host) {
	l.Helper()
	h := l.host(Config{Name: "b", Handler: handler})
	return l.dial(l.endpoint(Config{Name: "a"}), h), h
}

// far gives the server's connection, of which there must be one.
func (h *host) far(t testing.TB) *Conn {
	t.Helper()
	var c *Conn
	eventually(t, "a connection at the server", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for c = range h.conns {
		}
		return len(h.conns) == 1
	})
	return c
}

// receive waits for a value.
func receive[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

// hold waits for a handler's release. A test that failed before it must not
// hang in Close.
func hold(release <-chan struct{}) {
	select {
	case <-release:
	case <-time.After(patience):
	}
}

// eventually waits for a condition that nothing announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

// same fails the test unless got is want.
func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// is fails the test unless err is target and as sent as it should be.
func is(t testing.TB, what string, err, target error, unsent bool) {
	t.Helper()
	if !errors.Is(err, target) || IsUnsent(err) != unsent {
		t.Errorf("%s: %v (unsent: %v), want %v (unsent: %v)", what, err, IsUnsent(err), target, unsent)
	}
}

// counts fails the test unless a counter reaches n and stays there.
func counts(t testing.TB, ep *Endpoint, c Counter, n uint64) {
	t.Helper()
	eventually(t, c.String()+" to count", func() bool { return ep.stats.Get(c) >= n })
	same(t, c.String(), ep.stats.Get(c), n)
}

// call makes a call that must succeed and gives the reply's body.
func call(t testing.TB, c *Conn, method string, body []byte) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := c.Call(ctx, &Request{Method: method, Body: body})
	if err != nil {
		t.Errorf("call of %s with %d bytes: %v", method, len(body), err)
		return nil
	}
	defer r.Release()
	same(t, "code of "+method, r.Code, CodeOK)
	return append([]byte(nil), r.Body...)
}

// answer is what an asynchronous call came to.
type answer struct {
	code uint64
	err  error
}

// goCall makes a call on a goroutine.
func goCall(ctx context.Context, c *Conn, req *Request) <-chan answer {
	ch := make(chan answer, 1)
	go func() {
		r, err := c.Call(ctx, req)
		a := answer{err: err}
		if err == nil {
			a.code = r.Code
			r.Release()
		}
		ch <- a
	}()
	return ch
}

// isNot fails the test if err is target.
func isNot(t testing.TB, what string, err, target error) {
	t.Helper()
	if errors.Is(err, target) {
		t.Errorf("%s: %v, which must not be %v", what, err, target)
	}
}

// count gives the number of calls being served.
func (s *serving) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}
