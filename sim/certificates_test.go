package sim_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/certs"
	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim"
	"github.com/meshnode/meshnode/transport"
)

// certified are the credentials of all nodes. Each node sees changes as it would see
// those of files.
type certified struct {
	t *testing.T

	mu    sync.Mutex
	ca    *certs.Authority
	now   map[string]*transport.Credentials
	lasts map[string]time.Duration // of first certificates; others last a day
}

// secured makes the nodes of a cluster speak TLS.
func secured(t *testing.T, cfg *sim.Config, lasts map[string]time.Duration) *certified {
	c := &certified{t: t, now: make(map[string]*transport.Credentials), lasts: lasts}
	cfg.Node = func(_ int, n *node.Config) {
		last := 24 * time.Hour
		if d, ok := lasts[n.Name]; ok {
			last = d
		}
		c.issue(n.Name, last)
		security, err := transport.NewTLS(transport.TLSConfig{Load: func() (*transport.Credentials, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.now[n.Name], nil
		}})
		if err != nil {
			t.Error(err)
		}
		n.TLS, n.InsecureGossip = security, true
	}
	return c
}

// issue gives a node another certificate, of the latest CA.
func (c *certified) issue(name string, valid time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ca == nil {
		c.renewCALocked()
	}
	pair, err := c.ca.IssueNode(name, valid)
	var cert tls.Certificate
	if err == nil {
		cert, err = tls.X509KeyPair(pair.Cert, pair.Key)
	}
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(c.ca.Pair().Cert) {
		c.t.Error(err)
	}
	c.now[name] = &transport.Credentials{Certificate: cert, CAs: pool}
}

func (c *certified) renewCALocked() {
	var err error
	if c.ca, err = certs.NewAuthority(certs.AuthorityOptions{}); err != nil {
		c.t.Error(err)
	}
}

// lists returns an error unless a node lists another one with an identity, and a
// reason that contains a text.
func lists(t *testing.T, c *sim.Cluster, i int, name, identity, why string) error {
	reply, err := node.Members.Call(t.Context(), c.Node(i), &node.MembersRequest{}, rpc.Peer(c.Member(i).Name))
	if err != nil {
		return err
	}
	for _, m := range reply.Members {
		if m.Name == name {
			if m.Identity != identity || !strings.Contains(m.Doubt, why) {
				return fmt.Errorf("%s lists %s as %q (%s), want %q (%s)", c.Member(i).Name, name, m.Identity, m.Doubt, identity, why)
			}
			return nil
		}
	}
	return fmt.Errorf("%s does not list %s", c.Member(i).Name, name)
}

func secureConfig() sim.Config {
	return sim.Config{Nodes: 3, Profile: membership.Local, Table: router.Params{Partitions: 1 << 8}}
}

// A member whose certificate expires owns nothing any more, by the tables of the
// others and by its own, and says so. A new certificate brings it back.
func TestCertificateExpires(t *testing.T) {
	cfg := secureConfig()
	c := secured(t, &cfg, map[string]time.Duration{"n001": 3 * time.Minute, "n002": 2 * time.Minute})
	sim.Test(t, cfg, func(t *testing.T, mesh *sim.Cluster) {
		time.Sleep(time.Minute)
		c.issue("n001", 24*time.Hour) // in time
		time.Sleep(50 * time.Second)
		mesh.MustConverge(t, time.Second)
		time.Sleep(20 * time.Second)
		for i := range 2 {
			n := mesh.Node(i)
			if names := n.Table().Members(); len(names) != 2 || n.Table().Has("n002") {
				t.Errorf("%s routes by %v", n.Name(), names)
			}
			if got := n.Stats()["identities_lapsed"]; got != 1 {
				t.Errorf("%s counts %d as lapsed", n.Name(), got)
			}
			if err := errors.Join(lists(t, mesh, i, "n002", "expired", "expired"), lists(t, mesh, i, mesh.Member(1-i).Name, "proven", "")); err != nil {
				t.Error(err)
			}
		}
		n := mesh.Node(2)
		if ready, why := n.Ready(); ready || !strings.Contains(why, "own certificate") || n.Table().Has("n002") {
			t.Errorf("n002 is ready %v (%s) and routes by %v", ready, why, n.Table().Members())
		}
		if err := lists(t, mesh, 2, "n002", "expired", "expired"); err != nil {
			t.Error(err)
		}
		c.issue("n002", 24*time.Hour)
		mesh.MustConverge(t, 30*time.Second)
		time.Sleep(2 * time.Minute)
		mesh.MustConverge(t, time.Second) // n001's first certificate counts for nothing
		if got := mesh.Node(0).Stats()["identities_lapsed"]; got != 1 {
			t.Errorf("%d lapsed in the end", got)
		}
	})
}

// A member whose CA is trusted no more is out, too, though its certificate has not
// expired and its connections are open.
func TestCertificateOfFormerCA(t *testing.T) {
	cfg := secureConfig()
	c := secured(t, &cfg, nil)
	sim.Test(t, cfg, func(t *testing.T, mesh *sim.Cluster) {
		c.mu.Lock()
		c.renewCALocked()
		c.mu.Unlock()
		c.issue("n000", time.Hour)
		c.issue("n001", time.Hour)
		mesh.Eventually(t, 30*time.Second, func() error {
			for i := range 2 {
				if table := mesh.Node(i).Table(); table.Has("n002") || table.Len() != 2 {
					return fmt.Errorf("n00%d routes by %v", i, table.Members())
				}
				if err := lists(t, mesh, i, "n002", "expired", "signed by no CA"); err != nil {
					return err
				}
			}
			return nil
		})
		c.issue("n002", time.Hour)
		mesh.MustConverge(t, 30*time.Second)
	})
}

// A node that joins does not wait for ever for a member that it cannot reach, and says
// that it serves without it.
func TestJoinWithoutProof(t *testing.T) {
	cfg := secureConfig()
	cfg.Nodes = 4
	secured(t, &cfg, nil)
	sim.Test(t, cfg, func(t *testing.T, mesh *sim.Cluster) {
		if err := mesh.Stop(3); err != nil {
			t.Fatal(err)
		}
		cut := mesh.Change([]int{3}, []int{2}, func(l *sim.Link) { l.Cut = true })
		begun := mesh.Now()
		if err := errors.Join(mesh.Boot(3), mesh.AwaitReady(t.Context(), 3)); err != nil {
			t.Fatal(err)
		}
		if took := mesh.Now() - begun; took > 20*time.Second {
			t.Errorf("ready after %v", took)
		}
		if table := mesh.Node(3).Table(); table.Len() != 3 || table.Has("n002") {
			t.Errorf("it routes by %v", table.Members())
		}
		cut.Remove()
		mesh.MustConverge(t, time.Minute)
	})
}
