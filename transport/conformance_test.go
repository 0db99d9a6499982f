package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// networks are the implementations that the suite runs over.
func networks(t testing.TB) map[string]func() Network {
	return map[string]func() Network{
		"tcp":           System,
		"tls":           func() Network { return newTLSNet(t, System()) },
		"tls in memory": func() Network { return newTLSNet(t, newMemNet(64<<10)) },
		"memory":        func() Network { return newMemNet(64 << 10) },
		"narrow memory": func() Network { return newMemNet(7) },
		"simulator":     newSimNet,
		"tls simulator": func() Network { return newTLSNet(t, newSimNet()) },
	}
}

// overAll runs a test over each network.
func overAll(t *testing.T, test func(*lab)) {
	for name, network := range networks(t) {
		t.Run(name, func(t *testing.T) { test(&lab{t, network()}) })
	}
}

// overPlain is overAll for tests about streams before there is any TLS.
func overPlain(t *testing.T, test func(*lab)) {
	for name, network := range networks(t) {
		if l := (&lab{t, network()}); !l.secure() {
			t.Run(name, func(t *testing.T) { test(&lab{t, l.net}) })
		}
	}
}

func TestEcho(t *testing.T) {
	overAll(t, func(l *lab) {
		c, h := l.pair(echo{})
		for _, n := range []int{0, 1, 100, 5000, 100_000} {
			body := bytes.Repeat([]byte("x"), n)
			if got := call(l, c, "echo", body); !bytes.Equal(got, body) {
				l.Errorf("%d bytes came back as %d", n, len(got))
			}
		}
		same(l, "calls sent", c.ep.stats.Get(CallsSent), 5)
		same(l, "calls received", h.stats.Get(CallsReceived), 5)
		same(l, "peer", c.Peer(), Identity{Name: "b", Cluster: "lab", Subject: "b", Verified: l.secure()})
		same(l, "peer of the peer", h.far(l).Peer(), Identity{Name: "a", Cluster: "lab", Subject: "a", Verified: l.secure()})
	})
}

// Everything that a header holds arrives, both ways.
func TestMetaTravels(t *testing.T) {
	sent := Meta{
		Partition: 77, Fingerprint: 1 << 63, Hops: 2, Attempt: 3,
		User: []Pair{{Key: []byte("k"), Value: []byte("v")}, {}},
	}
	overAll(t, func(l *lab) {
		got := make(chan string, 1)
		c, _ := l.pair(methods{"m": func(in *Incoming) {
			got <- fmt.Sprintf("%s %d %x %d %d %q", in.Method, in.Meta.Partition, in.Meta.Fingerprint,
				in.Meta.Hops, in.Meta.Attempt, in.Meta.User)
			reply := &Meta{Partition: NoPartition, Owner: []byte("c"), Message: []byte("why"), User: in.Meta.User}
			_ = in.Reply(42, reply, []byte("detail"))
			_ = in.Reply(0, nil, []byte("a second reply counts for nothing"))
		}})
		r, err := c.Call(context.Background(), &Request{Method: "m", Meta: sent})
		if err != nil {
			l.Fatal(err)
		}
		defer r.Release()
		same(l, "at the server", receive(l, "call", got), `m 77 8000000000000000 2 3 [{"k" "v"} {"" ""}]`)
		same(l, "at the client",
			fmt.Sprintf("%d %q %q %q %q", r.Code, r.Meta.Owner, r.Meta.Message, r.Meta.User, r.Body),
			`42 "c" "why" [{"k" "v"} {"" ""}] "detail"`)
	})
}

// Many callers at once, each with bodies of its own: no reply may go astray.
func TestConcurrentCallers(t *testing.T) {
	seed := seeded(t).Uint64()
	overAll(t, func(l *lab) {
		c, h := l.pair(echo{})
		const callers, calls = 50, 40
		var wg sync.WaitGroup
		for caller := range uint64(callers) {
			r := rand.New(rand.NewPCG(seed, caller))
			wg.Go(func() {
				for range calls {
					body := make([]byte, 8+r.IntN(300))
					binary.BigEndian.PutUint64(body, r.Uint64())
					if got := call(l, c, "echo", body); !bytes.Equal(got, body) {
						l.Errorf("caller %d: % x came back as % x", caller, body[:8], got)
					}
				}
			})
		}
		wg.Wait()
		same(l, "calls received", h.stats.Get(CallsReceived), callers*calls)
		same(l, "waiting", c.pend.count(), 0)
		eventually(l, "rest", h.far(l).serving.empty)
	})
}

// Calls go both ways on one connection at the same time.
func TestBothWays(t *testing.T) {
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: echo{}})
		c := l.dial(l.endpoint(Config{Name: "a", Handler: echo{}}), h)
		far := h.far(l)
		var wg sync.WaitGroup
		for _, c := range []*Conn{c, far} {
			for i := range 20 {
				wg.Go(func() {
					body := []byte(fmt.Sprint(c.peer.Name, i))
					for range 20 {
						same(l, "echo", string(call(l, c, "echo", body)), string(body))
					}
				})
			}
		}
		wg.Wait()
	})
}

func TestNotify(t *testing.T) {
	overAll(t, func(l *lab) {
		got := make(chan string, 100)
		c, h := l.pair(methods{"log": func(in *Incoming) {
			same(l, "one-way", in.OneWay(), true)
			_ = in.Reply(CodeOK, nil, nil) // counts for nothing
			got <- string(in.Body)
		}})
		seen := map[string]bool{}
		for i := range 100 {
			if err := c.Notify(&Request{Method: "log", Body: fmt.Append(nil, i)}); err != nil {
				l.Fatal(err)
			}
		}
		for range 100 {
			seen[receive(l, "notification", got)] = true
		}
		same(l, "different ones", len(seen), 100)
		counts(l, h.Endpoint, CallsReceived, 100)
		same(l, "calls that wait", c.pend.count(), 0)
	})
}

func TestPing(t *testing.T) {
	overAll(t, func(l *lab) {
		c, _ := l.pair(echo{})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				took, err := c.Ping(context.Background())
				if err != nil || took <= 0 {
					l.Errorf("ping: %v, %v", took, err)
				}
			})
		}
		wg.Wait()
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := c.Ping(ended); err != nil && !errors.Is(err, context.Canceled) {
			l.Errorf("ping with an ended context: %v", err)
		}
		c.Close()
		_, err := c.Ping(context.Background())
		is(l, "ping on a closed connection", err, ErrClosed, true)
		same(l, "pings that wait", len(c.pings.waits), 0)
	})
}

// A body as large as the limit goes through both ways. One byte more is refused
// before it is sent, and hurts nobody else.
func TestBodyLimit(t *testing.T) {
	const limit = 200_000
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: methods{
			"echo": echo{}.ServeCall,
			"long": func(in *Incoming) { _ = in.Reply(CodeOK, nil, make([]byte, limit)) },
		}, Limits: Limits{MaxBody: limit}})
		c := l.dial(l.endpoint(Config{Name: "a"}), h) // its own limit is larger: the smaller counts
		const most = limit
		body := bytes.Repeat([]byte("b"), most)
		if got := call(l, c, "echo", body); !bytes.Equal(got, body) {
			l.Errorf("%d bytes came back as %d", most, len(got))
		}
		_, err := c.Call(context.Background(), &Request{Method: "echo", Body: append(body, 'x')})
		is(l, "one byte more", err, ErrBodyTooLarge, true)
		is(l, "one-way", c.Notify(&Request{Method: "echo", Body: make([]byte, limit)}), ErrBodyTooLarge, true)
		counts(l, c.ep, BodiesTooLarge, 2)
		call(l, c, "echo", []byte("still there"))

		r, err := h.far(l).Call(context.Background(), &Request{Method: "any", Body: make([]byte, limit-200)})
		if err != nil {
			l.Fatal(err)
		}
		same(l, "client without a handler", r.Code, codeUnimplemented)
		r.Release()
	})
}

// A reply over the caller's limit becomes an error of that call alone.
func TestReplyOverTheLimit(t *testing.T) {
	big := strings.Repeat("m", wire.MaxHeader)
	for name, reply := range map[string]func(*Incoming){
		"body":    func(in *Incoming) { _ = in.Reply(CodeOK, nil, make([]byte, 5000)) },
		"message": func(in *Incoming) { _ = in.Reply(5, &Meta{Message: []byte(big)}, nil) },
		"pairs":   func(in *Incoming) { _ = in.Reply(CodeOK, &Meta{User: make([]Pair, wire.MaxPairs+1)}, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t, System()}
			h := l.host(Config{Name: "b", Handler: methods{"long": reply, "echo": echo{}.ServeCall}})
			client := Config{Name: "a"}
			if name == "body" {
				client.MaxBody = 4096
			}
			c := l.dial(l.endpoint(client), h)
			r, err := c.Call(context.Background(), &Request{Method: "long"})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "code", r.Code, CodeResourceExhausted)
			same(t, "body", len(r.Body), 0)
			r.Release()
			counts(t, h.Endpoint, BodiesTooLarge, 1)
			call(t, c, "echo", []byte("still there"))
		})
	}
}

// A header that the peer would not take is refused here: sent, it would end the
// connection for everybody on it.
func TestHeaderOverTheLimit(t *testing.T) {
	l := &lab{t, System()}
	c, _ := l.pair(echo{})
	for name, req := range map[string]*Request{
		"method":   {Method: strings.Repeat("m", wire.MaxHeader)},
		"metadata": {Method: "m", Meta: Meta{User: []Pair{{Key: make([]byte, wire.MaxHeader)}}}},
		"pairs":    {Method: "m", Meta: Meta{User: make([]Pair, wire.MaxPairs+1)}},
	} {
		_, err := c.Call(context.Background(), req)
		is(t, name, err, ErrBodyTooLarge, true)
		is(t, name+" one-way", c.Notify(req), ErrBodyTooLarge, true)
	}
	most := &Request{Method: "m", Meta: Meta{User: make([]Pair, wire.MaxPairs)}}
	r, err := c.Call(context.Background(), most)
	if err != nil {
		t.Fatal(err)
	}
	r.Release()
	counts(t, c.ep, BodiesTooLarge, 6)
}

// One request may be on its way to many peers: Call only reads it.
func TestRequestIsShared(t *testing.T) {
	l := &lab{t, System()}
	c, _ := l.pair(echo{})
	req := &Request{Method: "echo", Body: []byte("shared"), Deadline: time.Now().Add(time.Hour)}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			r, err := c.Call(context.Background(), req)
			if err != nil {
				t.Error(err)
				return
			}
			r.Release()
		})
	}
	wg.Wait()
	same(t, "the caller's timeout", req.Meta.Timeout, 0)
}
