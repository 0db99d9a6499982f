package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/certs"
	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// pki makes the certificates of a lab.
type pki struct {
	t   testing.TB
	dir string
	ca  *certs.Authority
}

func newPKI(t testing.TB) *pki {
	t.Helper()
	ca, err := certs.NewAuthority(certs.AuthorityOptions{})
	p := &pki{t, t.TempDir(), ca}
	if err = errors.Join(err, ca.Pair().WriteFiles(p.at("ca.crt"), p.at("ca.key"), false)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pki) at(file string) string { return filepath.Join(p.dir, file) }

// of gives the TLS of the node called name.
func (p *pki) of(name string) *transport.TLS {
	p.t.Helper()
	pair, err := p.ca.IssueNode(name, time.Hour)
	return p.made(name, pair, err)
}

// client gives the TLS of somebody outside.
func (p *pki) client() *transport.TLS {
	p.t.Helper()
	pair, err := p.ca.IssueClient("cli", time.Hour)
	return p.made("client", pair, err)
}

func (p *pki) made(file string, pair *certs.Pair, err error) *transport.TLS {
	p.t.Helper()
	crt, key := p.at(file+".crt"), p.at(file+".key")
	if err = errors.Join(err, pair.WriteFiles(crt, key, true)); err != nil {
		p.t.Fatal(err)
	}
	x, err := transport.NewTLS(transport.TLSConfig{
		Load: transport.CredentialFiles(crt, key, p.at("ca.crt")), Recheck: time.Millisecond, Logger: zerolog.Nop(),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return x
}

// secure makes the nodes of a lab speak TLS.
func (l *lab) secure() *pki {
	p := newPKI(l.t)
	l.edit = func(cfg *Config) {
		cfg.TLS, cfg.GossipKey = p.of(cfg.Name), []byte(strings.Repeat("k", 32))
	}
	return p
}

// A cluster with TLS does what one without does; a client needs a certificate.
func TestTLSCluster(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.secure()
	nodes := l.cluster("a", "b", "c")
	for _, owner := range nodes {
		for _, key := range keysOf(nodes[0], owner.Name(), 5) {
			if got, err := work.Call(t.Context(), nodes[0], &job{Key: key}, rpc.Key(key)); err != nil || got.Node != owner.Name() {
				t.Errorf("%s: %+v, %v; want %s", key, got, err, owner.Name())
			}
		}
	}
	c := dial(t, nodes[1], ClientConfig{TLS: p.client()})
	if got, err := work.Call(t.Context(), c, &job{}, rpc.Peer("c")); err != nil || got.Node != "c" {
		t.Errorf("a client with a certificate gets %+v, %v", got, err)
	}
	before := nodes[1].Stats()["calls_received"]
	if _, err := Dial(t.Context(), nodes[1].Addr().String(), ClientConfig{}); !errors.Is(err, transport.ErrTLSRequired) {
		t.Errorf("a client without TLS gets %v", err)
	}
	stats := nodes[1].Stats()
	if stats["calls_received"] != before || stats["tls_handshakes_failed"] == 0 || stats["identities_proven"] != 2 {
		t.Errorf("counters: %v", stats)
	}
	known, err := Members.Call(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range known.Members {
		if want := map[string]string{"a": "proven", "b": "", "c": "proven"}[m.Name]; m.Identity != want {
			t.Errorf("b lists %s as %q, want %q", m.Name, m.Identity, want)
		}
	}
	stopNode(t, nodes[0])
	agree(t, nodes[1:]...)
}

// A member that comes back with its name is another process, and proves its
// identity anew.
func TestTLSRestart(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.secure()
	nodes := l.cluster("a", "b", "c")
	addr := nodes[2].Addr().String()
	nodes[2].Close()
	cfg := l.config("c")
	cfg.Bind = addr
	nodes[2] = l.launch(cfg)
	for _, n := range nodes[:2] { // who may not have noticed yet
		eventually(t, "the proof of each other and of c, twice", func() error {
			if got := n.Stats()["identities_proven"]; got != 3 {
				return fmt.Errorf("%s has %d", n.Name(), got)
			}
			return nil
		})
	}
	agree(t, nodes...)
}

// Who has the gossip key but not the certificate of its name is seen, and gets
// nothing: no key, no call, and it holds up nobody.
func TestImpostorOwnsNothing(t *testing.T) {
	t.Parallel()
	for what, disguise := range map[string]func(*Node){
		"certificate of another node": func(n *Node) { n.cfg.Name = "c" },
		"plain streams": func(n *Node) { // but for the gossip that it dials
			n.cfg.Name, n.cfg.Network, n.cfg.TLS = "c", n.gossipNetwork(), nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.secure()
			nodes := l.cluster("a", "b")
			impostor := l.build(l.config("x"))
			disguise(impostor)
			go func() { _ = impostor.Start(t.Context()) }()
			for _, n := range nodes {
				l.log(n.Name()).wait(t, "warn", ErrIdentity.Error(), `"member":"c"`)
				eventually(t, "the impostor is seen to serve, and doubted", func() error {
					m, _ := n.Members().Find("c")
					p := n.view.Load().peers["c"]
					if m.State != membership.StateServing || p == nil || p.proof != doubted {
						return fmt.Errorf("%+v, %+v", m, p)
					}
					return nil
				})
			}
			agree(t, nodes...) // and no third
			var calls sync.WaitGroup
			for i := range 60 {
				calls.Go(func() {
					key := fmt.Sprintf("key-%d", i)
					got, err := work.Call(t.Context(), nodes[i%2], &job{Key: key}, rpc.Key(key))
					if err != nil || got.Node == "x" || got.Node == "c" {
						t.Errorf("%s: %+v, %v", key, got, err)
					}
				})
			}
			calls.Wait()
			_, err := work.Call(t.Context(), nodes[0], &job{}, rpc.Peer("c"))
			wantCode(t, err, rpc.Unavailable)
			if names, _ := nodes[0].Targets(t.Context(), rpc.Dest{Kind: rpc.ToAll}); fmt.Sprint(names) != "[a b]" {
				t.Errorf("all are %v", names)
			}
			if nodes[0].Stats()["identities_refused"] == 0 {
				t.Error("nothing is counted")
			}
			// One who joins later is not held up, and one who leaves neither.
			nodes = append(nodes, l.start("d"))
			agree(t, nodes...)
			stopNode(t, nodes[0])
			agree(t, nodes[1:]...)
			if served := impostor.Stats()["calls_received"] + impostor.Stats()["local_calls"]; served > 0 {
				t.Errorf("the impostor served %d calls", served)
			}
		})
	}
}

// gated is a network whose dials to one address wait.
type gated struct {
	transport.Network
	addr string
	open chan struct{}
}

func (g *gated) Dial(ctx context.Context, addr string) (net.Conn, error) {
	if addr == g.addr {
		select {
		case <-g.open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return g.Network.Dial(ctx, addr)
}

// A node that joins is not ready before those who serve have proved who they
// are: until then its table would give it their keys.
func TestJoiningWaitsForProofs(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.secure()
	nodes := l.cluster("a", "c")
	cfg := l.config("b")
	cfg.Seeds = cfg.Seeds[:1] // a
	gate := &gated{Network: transport.System(), addr: nodes[1].Addr().String(), open: make(chan struct{})}
	cfg.Network = gate
	b := l.build(cfg)
	changes := make(chan OwnershipChange, 10)
	b.OnOwnership(func(c OwnershipChange) { changes <- c })
	ended := make(chan error, 1)
	go func() { ended <- b.Start(t.Context()) }()
	eventually(t, "b to wait for the proof of c", func() error {
		ready, why := b.Ready()
		if ready || !strings.Contains(why, "identity of c") {
			return fmt.Errorf("ready %v: %s", ready, why)
		}
		if p := b.view.Load().peers["a"]; p == nil || p.proof != proven {
			return errors.New("a is not proven")
		}
		return nil
	})
	// It makes no table of a alone, and nobody is told that it serves.
	if table := b.Table(); table.Len() != 0 {
		t.Errorf("b has a table of %v", table.Members())
	}
	if m, seen := nodes[0].Members().Find("b"); seen && m.State != membership.StateJoining {
		t.Errorf("b is seen as %v", m.State)
	}
	close(gate.open)
	if err := await(t, "the end of Start", ended); err != nil {
		t.Fatal(err)
	}
	agree(t, append(nodes, b)...)
	if c := await(t, "a change", changes); c.New.Len() != 3 || len(c.Gained) == 0 {
		t.Errorf("the first change of b is to a table of %d, with %d gains", c.New.Len(), len(c.Gained))
	}
}

// What cannot work is refused before anything begins.
func TestTLSConfig(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	key := []byte(strings.Repeat("k", 32))
	for what, c := range map[string]struct {
		cfg  Config
		want error
		text string
	}{
		"no gossip key":           {Config{Name: "a", TLS: p.of("a")}, ErrConfig, "--insecure-gossip"},
		"another name":            {Config{Name: "a", TLS: p.of("b"), GossipKey: key}, transport.ErrCertificateName, `"a"`},
		"a client's certificate":  {Config{Name: "a", TLS: p.client(), GossipKey: key}, transport.ErrCertificateName, `it is that of the client "cli", which no node can use; want one of the node "a"`},
		"none, and that is meant": {Config{Name: "a", TLS: p.of("a"), InsecureGossip: true}, nil, ""},
	} {
		n, err := New(c.cfg)
		switch {
		case c.want == nil && err != nil, c.want != nil && (!errors.Is(err, c.want) || !errors.Is(err, ErrConfig)),
			err != nil && !strings.Contains(err.Error(), c.text):
			t.Errorf("%s: %v", what, err)
		}
		if n != nil {
			n.Close()
		}
	}
}
