//go:build process

package proctest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/transport"
)

// pki is what 'meshnode cert' makes for a cluster.
type pki struct {
	t      *testing.T
	dir    string
	client *transport.TLS // of those outside, from files that are looked at again and again
}

// newPKI makes a CA, certificates for so many nodes and one for a client.
func newPKI(t *testing.T, nodes int) *pki {
	t.Helper()
	p := &pki{t: t, dir: t.TempDir()}
	key := membership.FormatKey(membership.GenerateKey())
	if err := os.WriteFile(p.at("gossip.key"), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	p.makeCA("first")
	p.trust("first")
	for i := range nodes {
		p.issue("first", fmt.Sprintf("node-%d", i+1))
	}
	p.issue("first", "--client", "client")
	var err error
	p.client, err = transport.NewTLS(transport.TLSConfig{
		Load: transport.CredentialFiles(p.at("client.crt"), p.at("client.key"), p.at("trusted.crt")), Recheck: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pki) at(file string) string { return filepath.Join(p.dir, file) }

// meshnode runs a command of the program, which must succeed.
func meshnode(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(daemon, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

func (p *pki) makeCA(name string) {
	p.t.Helper()
	meshnode(p.t, "cert", "ca", "--dir", p.at(name), "--ca-name", name)
}

// trust has everybody trust the CAs of these names.
func (p *pki) trust(names ...string) {
	p.t.Helper()
	var bundle []byte
	for _, name := range names {
		one, err := os.ReadFile(filepath.Join(p.at(name), "ca.crt"))
		if err != nil {
			p.t.Fatal(err)
		}
		bundle = append(bundle, one...)
	}
	err := os.WriteFile(p.at("trusted.new"), bundle, 0o600)
	if err = errors.Join(err, os.Rename(p.at("trusted.new"), p.at("trusted.crt"))); err != nil {
		p.t.Fatal(err)
	}
}

// issue makes certificates with a CA and puts them where processes look.
func (p *pki) issue(ca string, args ...string) {
	p.t.Helper()
	meshnode(p.t, append([]string{"cert", "issue", "--force", "--dir", p.at(ca)}, args...)...)
	name := args[len(args)-1]
	for _, end := range []string{".key", ".crt"} {
		if err := os.Rename(filepath.Join(p.at(ca), name+end), p.at(name+end)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// flags give a process the certificate of name.
func (p *pki) flags(name string) []string {
	return append(p.files(name), "--gossip-key", "@"+p.at("gossip.key"))
}

func (p *pki) files(name string) []string {
	return []string{"--tls-ca", p.at("trusted.crt"), "--tls-cert", p.at(name + ".crt"), "--tls-key", p.at(name + ".key")}
}

// TestTLS runs a cluster with TLS from certificates of 'meshnode cert': a
// client with one is served, one without is not, and everything is replaced
// while calls run.
func TestTLS(t *testing.T) {
	const size = 3
	c := &cluster{t: t, pki: newPKI(t, size)}
	for i, addr := range freeAddrs(t, size) {
		c.add(fmt.Sprintf("node-%d", i+1), addr, "--expect", fmt.Sprint(size))
	}
	c.agree(size, 30*time.Second)
	first := c.members[0]
	out := meshnode(t, append([]string{"call", "mesh.Echo", `{"data":"hi"}`, "--key", "k", "--addr", first.addr}, c.pki.files("client")...)...)
	if !strings.Contains(out, "aGk=") {
		t.Errorf("the call gave %s", out)
	}
	c.refuseStrangers(first)
	c.rotate()
	c.impostor()
}

// refuseStrangers checks that nobody is served without a certificate.
func (c *cluster) refuseStrangers(p *process) {
	t := c.t
	cl := c.client(p)
	before := counters(t, cl)
	_, err := node.Dial(context.Background(), p.addr, node.ClientConfig{})
	if !errors.Is(err, transport.ErrTLSRequired) {
		t.Errorf("a plain client gets %v", err)
	}
	cmd := exec.Command(daemon, "members", "--addr", p.addr)
	if said, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(said), "--tls-cert") {
		t.Errorf("the command without a certificate: %v, %s", err, said)
	}
	c.pki.makeCA("other")
	c.pki.issue("other", "--client", "stranger")
	cmd = exec.Command(daemon, append([]string{"members", "--addr", p.addr, "--tls-ca", filepath.Join(c.pki.at("other"), "ca.crt")}, c.pki.files("stranger")[2:]...)...)
	if said, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(said), "signed by no CA that is trusted") {
		t.Errorf("a client of another CA: %v, %s", err, said)
	}
	after := counters(t, cl)
	if got := after["tls_handshakes_failed"] - before["tls_handshakes_failed"]; got != 3 {
		t.Errorf("%d failed handshakes are counted, want 3", got)
	}
}

// rotate replaces certificates and the CA under load; no call fails and the
// connections stay.
func (c *cluster) rotate() {
	t, p := c.t, c.pki
	clients := []*node.Client{c.client(c.members[0]), c.client(c.members[1])}
	load := startLoad(t, clients, once)
	reissue := func(ca string) {
		for _, m := range c.members {
			p.issue(ca, m.name)
		}
		p.issue(ca, "--client", "client")
	}
	p.makeCA("second")
	for i, change := range []func(){
		func() { reissue("first") },
		func() { p.trust("first", "second") },
		func() { reissue("second") },
		func() { p.trust("second") },
	} {
		before := make(map[string]uint64)
		for _, m := range c.members {
			before[m.name] = c.reloads(m)
		}
		mine := p.client.Get(transport.TLSReloads)
		change()
		eventually(t, 15*time.Second, func() bool {
			for _, m := range c.members { // each look is a handshake, too
				if c.reloads(m) == before[m.name] {
					return false
				}
			}
			return p.client.Get(transport.TLSReloads) > mine
		}, func() string { return fmt.Sprintf("change %d was not noticed by all", i) })
	}
	calls, failed := load.stop()
	if failed > 0 {
		t.Errorf("%d of %d calls failed while certificates were replaced", failed, calls)
	}
	c.agree(len(c.members), 5*time.Second)
	t.Logf("certificates and CA replaced: %d calls of a non-idempotent method, %d failed", calls, failed)
}

// reloads asks a member, over a connection of its own, how often it took new
// files.
func (c *cluster) reloads(p *process) uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	cl, err := node.Dial(ctx, p.addr, node.ClientConfig{TLS: p.tls})
	if err != nil {
		c.t.Errorf("%s: %v", p.name, err)
		return 0
	}
	defer cl.Close()
	reply, err := node.Statistics.Call(ctx, cl, &node.StatisticsRequest{})
	if err != nil {
		c.t.Errorf("%s: %v", p.name, err)
		return 0
	}
	return reply.Counters["tls_reloads"]
}

// impostor starts nodes that the cluster must not take: without a certificate,
// with that of another node, with one of another CA.
func (c *cluster) impostor() {
	t, p := c.t, c.pki
	key := []string{"--join", c.members[0].addr, "--gossip-key", "@" + p.at("gossip.key")}
	plain := start(t, "plain", freeAddrs(t, 1)[0], key...)
	p.issue("other", "node-4")
	foreign := start(t, "node-4", freeAddrs(t, 1)[0], append(append(key, p.files("node-4")[2:]...),
		"--tls-ca", filepath.Join(p.at("other"), "ca.crt"))...)
	named := start(t, "node-5", freeAddrs(t, 1)[0], append(key, p.files("node-1")...)...)
	if status := named.exit(t); status != 2 || !strings.Contains(named.log.String(), "certificate of another name") {
		t.Errorf("a node with the certificate of another ended with %d: %s", status, named.log)
	}
	for _, one := range []struct {
		*process
		why string
	}{{plain, "TLS is required"}, {foreign, "no CA that is trusted"}} {
		eventually(t, 10*time.Second, func() bool { return strings.Contains(one.log.String(), one.why) },
			func() string { return one.name + " does not say why it is refused: " + one.log.String() })
	}
	c.agree(len(c.members), time.Second)
}
