package transport

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/internal/wire"
)

// handshakes are pairs of processes, and the error that both must name; nil
// means that they talk.
var handshakes = []struct {
	name           string
	server, client Config
	want           string // the name that the client expects at the address
	err            error
}{
	{"members", Config{Name: "b", Cluster: "c"}, Config{Name: "a", Cluster: "c"}, "b", nil},
	{"members with a key", Config{Name: "b", Cluster: "c", KeyID: 7}, Config{Name: "a", Cluster: "c", KeyID: 7}, "b", nil},
	{"client", Config{Name: "b", Cluster: "c", KeyID: 7}, Config{}, "", nil},
	{"client of the cluster", Config{Name: "b", Cluster: "c"}, Config{Cluster: "c"}, "b", nil},
	{"client that serves", Config{}, Config{Name: "a", Cluster: "c"}, "", nil},
	{"another cluster", Config{Name: "b", Cluster: "c"}, Config{Name: "a", Cluster: "d"}, "b", ErrCluster},
	{"client of another cluster", Config{Name: "b", Cluster: "c"}, Config{Cluster: "d"}, "", ErrCluster},
	{"another key", Config{Name: "b", KeyID: 7}, Config{Name: "a", KeyID: 8}, "b", ErrGossipKey},
	{"no key", Config{Name: "b", KeyID: 7}, Config{Name: "a"}, "b", ErrGossipKey},
	{"key where none is", Config{Name: "b"}, Config{Name: "a", KeyID: 8}, "b", ErrGossipKey},
	{"another name", Config{Name: "b"}, Config{Name: "a"}, "x", ErrWrongPeer},
	{"name of another case", Config{Name: "b"}, Config{Name: "a"}, "B", ErrWrongPeer},
	{"name where none is", Config{}, Config{Name: "a"}, "b", ErrWrongPeer},
	{"cluster before key", Config{Name: "b", Cluster: "c", KeyID: 1}, Config{Name: "a", Cluster: "d", KeyID: 2}, "x", ErrCluster},
}

// Both sides of a refused handshake name the same error.
func TestHandshake(t *testing.T) {
	for _, c := range handshakes {
		t.Run(c.name, func(t *testing.T) {
			server, client := newEndpoint(t, c.server), newEndpoint(t, c.client)
			network := newMemNet(1000)
			a, _ := network.bindLocked("127.0.0.1:0")
			near, far := newMemPair(1000, a, a)
			served := make(chan error, 1)
			go func() {
				conn, err := server.receive(far)
				if err == nil {
					server.add(conn)
				}
				served <- err
			}()
			conn, err := client.greet(near, c.want)
			if err != nil {
				_ = near.Close()
			}
			back := receive(t, "end of the handshake", served)
			if c.err == nil {
				if err != nil || back != nil {
					t.Fatalf("client: %v, server: %v", err, back)
				}
				client.add(conn)
				return
			}
			is(t, "client", err, c.err, false)
			is(t, "server", back, c.err, false)
			for _, other := range reasons {
				if other != c.err && (errors.Is(err, other) || errors.Is(back, other)) {
					t.Errorf("either side also says: %v", other)
				}
			}
		})
	}
}

func newEndpoint(t *testing.T, cfg Config) *Endpoint {
	t.Helper()
	ep, err := NewEndpoint(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ep.Close)
	return ep
}

// A refusal is counted and logged at the server, and named at the dialler.
func TestRefusalIsSeen(t *testing.T) {
	overAll(t, func(l *lab) {
		var log bytes.Buffer
		h := l.host(Config{Name: "b", Cluster: "one", Logger: zerolog.New(&log)})
		client := l.endpoint(Config{Name: "a", Cluster: "two"})
		_, err := client.Dial(context.Background(), h.addr, "b")
		is(l, "dial", err, ErrCluster, false)
		if !strings.Contains(err.Error(), h.addr) || !strings.Contains(err.Error(), `"two"`) {
			l.Errorf("the error doesn't say where, or who is in which cluster: %v", err)
		}
		counts(l, client, DialsFailed, 1)
		counts(l, h.Endpoint, ConnsAccepted, 1)
		counts(l, h.Endpoint, ConnsRefused, 1)
		h.Close() // the log is written
		if !strings.Contains(log.String(), ErrCluster.Error()) {
			l.Errorf("the log does not say why: %s", &log)
		}
		same(l, "connections", h.Conns()+client.Conns(), 0)
	})
}

// What strangers may send instead of a hello, and how they are refused.
func TestStrangers(t *testing.T) {
	hello := func(h wire.Hello) string { return wire.Preface + string(helloFrame(nil, &h)) }
	valid := hello(wire.Hello{Version: wire.Version})
	for _, c := range []struct {
		name, bytes string
		want        error
	}{
		{"another preface", "mess" + valid[4:], ErrProtocol},
		{"hello of another version", hello(wire.Hello{Version: wire.Version + 1}), ErrVersion},
		{"version 0", hello(wire.Hello{}), ErrVersion},
		{"declared 4 KiB and a byte", wire.Preface + "\x00\x00\x10\x01", ErrFrameTooLarge},
		{"declared 4 GiB", wire.Preface + "\xff\xff\xff\xff", ErrFrameTooLarge},
		{"declared 2 GiB", wire.Preface + "\x80\x00\x00\x00", ErrFrameTooLarge},
		{"empty frame", wire.Preface + "\x00\x00\x00\x00", ErrProtocol},
		{"a call", wire.Preface + string(frame(func(b []byte) []byte { return wire.AppendCall(b, 1, "m", nil) })), ErrProtocol},
		{"bad name", hello(wire.Hello{Version: wire.Version, Name: "a b"}), ErrProtocol},
		{"garbage", wire.Preface + "\x00\x00\x00\x05garba", ErrProtocol},
		{"lying map", wire.Preface + "\x00\x00\x00\x08\x93\x0b\x01\xdf\xff\xff\xff\xff", ErrProtocol},
		{"a goaway", wire.Preface + string(frame(goAway(0, 4, "my key"))), ErrGossipKey},
		{"silence after the preface", wire.Preface, ErrHandshakeTimeout},
		{"silence in the preface", "me", ErrHandshakeTimeout},
		{"silence in the length", wire.Preface + "\x00\x00", ErrHandshakeTimeout},
		{"silence in the hello", valid[:len(valid)-1], ErrHandshakeTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &lab{t, newMemNet(1000)}
			cfg := Config{Name: "b"}
			if c.want == ErrHandshakeTimeout {
				cfg.HandshakeTimeout = 20 * time.Millisecond
			}
			h := l.host(cfg)
			r := l.raw(h)
			r.write([]byte(c.bytes))
			is(t, "refusal", r.refusal(), c.want, false)
			counts(t, h.Endpoint, ConnsRefused, 1)
			same(t, "connections", h.Conns()+h.greetings(), 0)
			l.greeted(h) // others get in
		})
	}
}

// A stranger who goes away in the middle leaves nothing.
func TestStrangerLeaves(t *testing.T) {
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Limits: Limits{HandshakeTimeout: time.Hour}})
		bytes := helloFrame([]byte(wire.Preface), &wire.Hello{Version: wire.Version})
		for n := 1; n < len(bytes); n += 7 {
			r := l.raw(h)
			r.write(bytes[:n])
			_ = r.nc.Close()
			counts(l, h.Endpoint, ConnsRefused, uint64(1+n/7))
		}
		same(l, "connections", h.Conns()+h.greetings(), 0)
	})
}

// The dialler refuses by itself a server that should have refused it.
func TestDiallerChecks(t *testing.T) {
	for _, c := range []struct {
		hello wire.Hello
		want  error
	}{
		{wire.Hello{Version: 2, Name: "raw", Cluster: "lab"}, ErrVersion},
		{wire.Hello{Version: 1, Name: "raw", Cluster: "other"}, ErrCluster},
		{wire.Hello{Version: 1, Name: "raw", Cluster: "lab", KeyID: 9}, ErrGossipKey},
		{wire.Hello{Version: 1, Name: "another", Cluster: "lab"}, ErrWrongPeer},
		{wire.Hello{Version: 1, Name: "", Cluster: "lab"}, ErrWrongPeer},
		{wire.Hello{Version: 1, Name: strings.Repeat("n", 5000)}, ErrFrameTooLarge},
		{wire.Hello{Version: 1, Name: "no name"}, ErrProtocol},
	} {
		l := &lab{t, newMemNet(10_000)}
		addr, accepted := l.rawHost(c.hello)
		ep := l.endpoint(Config{Name: "a"})
		_, err := ep.Dial(context.Background(), addr, "raw")
		is(t, "dial", err, c.want, false)
		receive(t, "connection", accepted).ended()
		counts(t, ep, DialsFailed, 1)
	}
}

// Limits of the hello count where they are smaller than ours.
func TestHelloLimits(t *testing.T) {
	for _, c := range []struct {
		hello             wire.Hello
		maxBody, maxCalls int
	}{
		{wire.Hello{}, DefaultMaxBody, DefaultMaxCalls},
		{wire.Hello{MaxBody: 5000, MaxCalls: 3}, 5000, 3},
		{wire.Hello{MaxBody: 1 << 63, MaxCalls: 1 << 63}, DefaultMaxBody, DefaultMaxCalls},
	} {
		l := &lab{t, newMemNet(1000)}
		c.hello.Version, c.hello.Name = wire.Version, "raw"
		addr, _ := l.rawHost(c.hello)
		conn, err := l.endpoint(Config{}).Dial(context.Background(), addr, "raw")
		if err != nil {
			t.Fatal(err)
		}
		same(t, "body limit", conn.maxBody, c.maxBody)
		same(t, "call limit", conn.maxCalls, c.maxCalls)
	}
}
