package transport

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/certs"
)

// anyone is the name in certificates of those who have none in the mesh.
const anyone = "anyone"

// testCA signs what tests need.
type testCA struct{ *certs.Authority }

func newTestCA(t testing.TB) *testCA {
	t.Helper()
	a, err := certs.NewAuthority(certs.AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &testCA{a}
}

// credentials of the node called name, who trusts the CAs given, else its own.
func (ca *testCA) credentials(t testing.TB, name string, trusted ...*testCA) *Credentials {
	t.Helper()
	pair, err := ca.IssueNode(name, time.Hour)
	return ca.made(t, pair, err, trusted...)
}

// made gives credentials of a pair that was issued.
func (ca *testCA) made(t testing.TB, pair *certs.Pair, err error, trusted ...*testCA) *Credentials {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(trusted) == 0 {
		trusted = []*testCA{ca}
	}
	f := credentialFiles{text: [3][]byte{pair.Cert, pair.Key}}
	for _, one := range trusted {
		f.text[2] = append(f.text[2], one.Pair().Cert...)
	}
	creds, err := f.parse()
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

// newTLS gives a TLS with these credentials for good.
func newTLS(t testing.TB, creds *Credentials) *TLS {
	t.Helper()
	x, err := NewTLS(TLSConfig{Load: func() (*Credentials, error) { return creds, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// unchecked gives a TLS with credentials that NewTLS would refuse.
func unchecked(creds *Credentials) *TLS {
	x := &TLS{cfg: TLSConfig{Load: func() (*Credentials, error) { return creds, nil }, Recheck: time.Hour}}
	x.checkAt.Store(int64(time.Hour))
	x.start = time.Now()
	x.state.Store(configure(creds))
	return x
}

// tlsNet makes endpoints of a lab speak TLS. What the test itself dials is TLS
// too, with a certificate of somebody.
type tlsNet struct {
	Network
	t  testing.TB
	ca *testCA

	mu   sync.Mutex
	made map[string]*TLS // by name
}

func newTLSNet(t testing.TB, network Network) *tlsNet {
	return &tlsNet{Network: network, ca: newTestCA(t), t: t, made: make(map[string]*TLS)}
}

// equip gives an endpoint a certificate of its name.
func (n *tlsNet) equip(cfg *Config) {
	cfg.Network = n.Network
	if cfg.TLS == nil {
		cfg.TLS = n.of(cfg.Name)
	}
}

func (n *tlsNet) of(name string) *TLS {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name == "" {
		name = anyone
	}
	if n.made[name] == nil {
		n.made[name] = newTLS(n.t, n.ca.credentials(n.t, name))
	}
	return n.made[name]
}

func (n *tlsNet) Dial(ctx context.Context, addr string) (net.Conn, error) {
	raw, err := n.Network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	t := n.of(anyone)
	return t.dialTLS(ctx, raw, t.current().mesh)
}
