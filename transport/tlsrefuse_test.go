package transport

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/certs"
)

// logText is a log that may be read while it grows.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// with gives the same TLS with another configuration of its clients.
func (t *TLS) with(change func(*tls.Config)) *TLS {
	creds := t.state.Load().creds
	x, state := unchecked(creds), configure(creds)
	change(state.mesh)
	change(state.gossip)
	x.state.Store(state)
	return x
}

// renamed gives a TLS that does not mind who uses it.
func renamed(creds *Credentials) *TLS { return unchecked(creds) }

// refusals are pairs of processes that must not talk, and what each side names
// as the reason. A nil TLS means plain streams.
func refusals(t *testing.T) map[string]struct {
	server, client     *TLS
	atServer, atClient error
	claims             string // the client's name in the mesh
} {
	type row = struct {
		server, client     *TLS
		atServer, atClient error
		claims             string
	}
	ours, other := newTestCA(t), newTestCA(t)
	now := time.Now()
	at := func(ca *testCA, name string, from, to time.Duration) *TLS {
		pair, err := ca.IssueNodeAt(name, now.Add(from), now.Add(to))
		return unchecked(ours.made(t, pair, err))
	}
	client := func() *Credentials {
		pair, err := ours.IssueClient("b", certs.DefaultValid)
		return ours.made(t, pair, err)
	}
	a, b := newTLS(t, ours.credentials(t, "a")), newTLS(t, ours.credentials(t, "b"))
	return map[string]row{
		"server of another CA":    {newTLS(t, other.credentials(t, "b")), a, ErrCertificate, ErrUnknownCA, "a"},
		"client of another CA":    {b, unchecked(other.credentials(t, "a", ours)), ErrUnknownCA, ErrUnknownCA, "a"},
		"server has expired":      {at(ours, "b", -2*time.Hour, -time.Hour), a, ErrCertificate, ErrCertificateExpired, "a"},
		"client has expired":      {b, at(ours, "a", -2*time.Hour, -time.Hour), ErrCertificateExpired, ErrCertificateExpired, "a"},
		"server is not valid yet": {at(ours, "b", time.Hour, 2*time.Hour), a, ErrCertificate, ErrCertificateExpired, "a"},
		"client is not valid yet": {b, at(ours, "a", time.Hour, 2*time.Hour), ErrCertificateExpired, ErrCertificateExpired, "a"},
		"server of another name":  {renamed(ours.credentials(t, "x")), a, ErrCertificateName, ErrCertificateName, "a"},
		"client of another name":  {b, renamed(ours.credentials(t, "x")), ErrCertificateName, ErrCertificateName, "a"},
		"client as a server":      {renamed(client()), a, ErrCertificate, ErrCertificateUse, "a"},
		"client as a node":        {b, renamed(client()), ErrCertificateName, ErrCertificateName, "b"},
		"no certificate": {b, a.with(func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
		}), ErrNoCertificate, ErrNoCertificate, ""},
		"TLS 1.2": {b, a.with(func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		}), ErrTLSVersion, ErrTLSVersion, ""},
		"another protocol": {b, a.with(func(c *tls.Config) { c.NextProtos = []string{"h2"} }), ErrTLSProtocol, ErrTLSProtocol, ""},
		"plain client":     {b, nil, ErrTLSRequired, ErrTLSRequired, "a"},
		"plain server":     {nil, a, ErrNoTLS, ErrNoTLS, "a"},
	}
}

// Who must not get in is refused with a named error on both sides, is counted,
// and gets nothing served.
func TestTLSRefusals(t *testing.T) {
	for name, c := range refusals(t) {
		for kind, network := range map[string]Network{"sockets": System(), "memory": newMemNet(64 << 10)} {
			t.Run(name+" over "+kind, func(t *testing.T) {
				l := &lab{t, network}
				var log logText
				h := l.open(&log, c.server)
				ep := l.endpoint(Config{Name: "c", Limits: Limits{HandshakeTimeout: patience, DialTimeout: patience}})
				ep.cfg.Name, ep.cfg.TLS = c.claims, c.client // bind would refuse some
				conn, err := ep.Dial(context.Background(), h.addr, "b")
				if err == nil {
					_, err = conn.Call(context.Background(), &Request{Method: "m"})
				}
				is(t, "client", err, c.atClient, IsUnsent(err))
				eventually(t, c.atServer.Error()+" in the server's log", func() bool {
					return strings.Contains(log.String(), c.atServer.Error())
				})
				same(t, "calls served", h.stats.Get(CallsReceived), 0)
				refused := h.stats.Get(ConnsRefused) + h.stats.Get(StreamsRefused)
				if c.server != nil {
					refused += c.server.Get(TLSHandshakesFailed)
				}
				if refused == 0 {
					t.Error("the server counts nothing")
				}
				same(t, "failed dials", ep.stats.Get(DialsFailed), 1)
				eventually(t, "no connection", func() bool { return h.Conns()+ep.Conns() == 0 })
			})
		}
	}
}

// open gives a host called b with these credentials, good or not.
func (l *lab) open(log *logText, x *TLS) *host {
	l.Helper()
	logger := zerolog.New(log)
	if x != nil {
		x.log = logger
	}
	h := l.host(Config{Name: "b", Handler: echo{}, Logger: logger}, func(s *StreamHandlers) {
		s.TLS = x
	})
	h.cfg.TLS = x
	return h
}

// A certificate that does not name the node, or is not for nodes, is refused
// before the node begins.
func TestTLSNeedsTheNodesName(t *testing.T) {
	ca := newTestCA(t)
	pair, err := ca.IssueClient("a", time.Hour)
	client := newTLS(t, ca.made(t, pair, err))
	for _, x := range []*TLS{newTLS(t, ca.credentials(t, "b")), newTLS(t, ca.credentials(t, "A")), client} {
		_, err := NewEndpoint(Config{Name: "a", TLS: x})
		is(t, "node a", err, ErrCertificate, false)
	}
	newEndpoint(t, Config{TLS: client})
	newEndpoint(t, Config{Name: "a", TLS: newTLS(t, ca.credentials(t, "a"))})
}

// Gossip streams are for nodes: a client's certificate opens none, a plain
// stream neither.
func TestTLSGossip(t *testing.T) {
	ca := newTestCA(t)
	pair, err := ca.IssueClient("cli", time.Hour)
	client, node := newTLS(t, ca.made(t, pair, err)), newTLS(t, ca.credentials(t, "a"))
	server := newTLS(t, ca.credentials(t, "b"))
	for name, network := range map[string]Network{"sockets": System(), "memory": newMemNet(64 << 10)} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t, network}
			got := make(chan string, 1)
			h := l.host(Config{Name: "b", TLS: server}, func(s *StreamHandlers) {
				s.Gossip = func(nc net.Conn) {
					b := make([]byte, 5)
					n, _ := nc.Read(b)
					_, _ = nc.Write([]byte("hello"))
					got <- string(b[:n])
					_ = nc.Close()
				}
			})
			nc, err := node.GossipNetwork(l.net).Dial(context.Background(), h.addr)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = nc.Write([]byte("\xf4abcd"))
			same(t, "at the server", receive(t, "stream", got), "\xf4abcd")
			b := make([]byte, 10)
			n, _ := nc.Read(b)
			same(t, "at the client", string(b[:n]), "hello")
			_ = nc.Close()

			failed := server.Get(TLSHandshakesFailed)
			nc, err = client.GossipNetwork(l.net).Dial(context.Background(), h.addr)
			if err == nil { // TLS 1.3: the client is done before the server
				_, err = nc.Read(b)
				_ = nc.Close()
			}
			is(t, "a client's certificate", err, ErrCertificate, false)
			plain := l.raw(h)
			plain.write([]byte("\xf4abcd"))
			plain.ended()
			eventually(t, "both to be counted", func() bool { return server.Get(TLSHandshakesFailed) == failed+2 })
			same(t, "gossip taken", len(got), 0)
		})
	}
}
