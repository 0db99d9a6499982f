//go:build process

package proctest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
)

// wires is a network of the test's own: a bridge in one namespace, and a
// namespace with an address for each process. Nothing of it touches the host's
// network, and it is taken down at the end.
type wires struct {
	t     *testing.T
	hub   string
	hosts int
	spare string // prefix of the names of namespaces
}

// run runs a command that must succeed.
func (w *wires) run(name string, args ...string) string {
	w.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// newWires makes the network. Without root, ip and iptables the test fails: the
// step that runs it looks for them first.
func newWires(t *testing.T) *wires {
	t.Helper()
	w := &wires{t: t, spare: fmt.Sprintf("mn%d-", os.Getpid()%100_000)}
	w.hub = w.spare + "hub"
	w.run("ip", "netns", "add", w.hub)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", w.hub).Run() })
	w.run("ip", "-n", w.hub, "link", "add", "br0", "type", "bridge")
	w.run("ip", "-n", w.hub, "link", "set", "br0", "up")
	return w
}

// host is one namespace.
type host struct {
	ns, ip string
}

// host adds a namespace with an address.
func (w *wires) host() *host {
	w.t.Helper()
	w.hosts++
	h := &host{ns: fmt.Sprint(w.spare, w.hosts), ip: fmt.Sprintf("10.77.0.%d", w.hosts)}
	w.run("ip", "netns", "add", h.ns)
	w.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", h.ns).Run() })
	port := fmt.Sprintf("p%d", w.hosts)
	w.run("ip", "-n", w.hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", h.ns)
	w.run("ip", "-n", w.hub, "link", "set", port, "master", "br0", "up")
	w.run("ip", "-n", h.ns, "addr", "add", h.ip+"/24", "dev", "eth0")
	w.run("ip", "-n", h.ns, "link", "set", "eth0", "up")
	w.run("ip", "-n", h.ns, "link", "set", "lo", "up")
	return h
}

// drop loses everything that one host sends to another; the other way is open.
func (w *wires) drop(from, to *host) {
	w.t.Helper()
	w.run("ip", "netns", "exec", to.ns, "iptables", "-A", "INPUT", "-s", from.ip, "-j", "DROP")
}

// cut loses everything between two hosts.
func (w *wires) cut(a, b *host) {
	w.drop(a, b)
	w.drop(b, a)
}

// heal ends all losses.
func (w *wires) heal(hosts []*host) {
	w.t.Helper()
	for _, h := range hosts {
		w.run("ip", "netns", "exec", h.ns, "iptables", "-F", "INPUT")
	}
}

// island is a cluster in such a network: five members and two clients.
type island struct {
	*chaos
	*wires
	hosts []*host // of the members, then of the clients
}

func startIsland(t *testing.T) *island {
	t.Helper()
	is := &island{wires: newWires(t), chaos: newChaos(t)}
	is.chaos.enter = func(name string) []string {
		return []string{"ip", "netns", "exec", is.hosts[is.index(name)].ns}
	}
	is.chaos.ask = is.ping
	for i := range chaosNodes {
		is.hosts = append(is.hosts, is.host())
		is.serve(fmt.Sprintf("node-%d", i+1), is.hosts[i].ip+":7101")
	}
	is.settle(chaosNodes)
	for range 2 {
		is.hosts = append(is.hosts, is.host())
	}
	return is
}

// index is the host of a process.
func (is *island) index(name string) int {
	var i int
	if _, err := fmt.Sscanf(name, "node-%d", &i); err == nil {
		return i - 1
	}
	if _, err := fmt.Sscanf(name, "load-%d", &i); err != nil {
		is.chaos.t.Fatalf("no host for %s", name)
	}
	return chaosNodes + (i-1)%2
}

// client starts a client that joins by one member.
func (is *island) client(name string, seed int, args ...string) *loader {
	addr := fmt.Sprintf("%s:%d", is.hosts[is.index(name)].ip, 7200+len(is.loaders))
	is.load(name, addr, append([]string{"-join", is.members[seed].addr, "-rate", "500"}, args...)...)
	return is.loaders[len(is.loaders)-1]
}

// daemonSays runs the daemon's program on a member's host.
func (is *island) daemonSays(p *process, reply any, args ...string) error {
	args = append([]string{"netns", "exec", is.hosts[is.index(p.name)].ns, daemon}, args...)
	out, err := exec.Command("ip", append(args, "--addr", p.addr, "-o", "json")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return json.Unmarshal(out, reply)
}

// ping asks a member how it is.
func (is *island) ping(p *process) (*node.PingReply, error) {
	var said struct {
		Reply node.PingReply `json:"reply"`
	}
	err := is.daemonSays(p, &said, "call", "mesh.Ping", "--any", "--timeout", "2s")
	return &said.Reply, err
}

// side waits until the members of one side own all partitions by the tables of
// all of them.
func (is *island) side(members []*process, within time.Duration) {
	is.chaos.t.Helper()
	began := time.Now()
	var last string
	eventually(is.chaos.t, within, func() bool {
		last = is.unsettled(len(members), members)
		return last == ""
	}, func() string { return last })
	is.chaos.t.Logf("%d members have a table of their own after %.1f s", len(members), time.Since(began).Seconds())
}
