package membership

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// known is a node as one that knew it keeps it.
func (n *labNode) known() Known { return Known{Name: n.cfg.Name, Addr: n.addr} }

// A node without seeds, or with dead ones, comes back by those it knew.
func TestKnownMembersLeadBack(t *testing.T) {
	t.Parallel()
	for name, seeds := range map[string][]string{"no seeds": nil, "dead seeds": {"127.0.0.1:1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			a := l.start("a")
			b := l.start("b", a.seed())
			gone := l.open(l.config("gone"), netip.AddrPort{})
			gone.crash()
			cfg := l.config("c", seeds...)
			cfg.Known = []Known{gone.known(), b.known()}
			c := l.startConfig(cfg)
			agree(t, 3*time.Second, []*labNode{a, b, c}, "a", "b", "c")
		})
	}
}

// A node that finds none of those it knew founds nothing: it looks on, says whom
// it did not reach, and joins the first of them that is back.
func TestKnownMembersAreWaitedFor(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	gone := l.open(l.config("a"), netip.AddrPort{})
	gone.crash()
	cfg := l.config("b")
	cfg.Known = []Known{gone.known()}
	b := l.open(cfg, netip.AddrPort{})
	err := b.joinError(200 * time.Millisecond)
	var failed SeedErrors
	if !errors.As(err, &failed) || len(failed) != 1 || !failed[0].Known || !strings.Contains(err.Error(), "known peer a ("+gone.seed()+")") {
		t.Errorf("got %v", err)
	}
	if b.Joined() {
		t.Error("it says that it has joined")
	}
	if text := b.logs.String(); !strings.Contains(text, "no peer that this node knew could be joined") {
		t.Errorf("the log does not say so: %s", text)
	}
	a := l.open(l.config("a"), gone.addr)
	a.mustJoin()
	eventually(t, 5*time.Second, "b has joined", b.Joined)
	agree(t, 3*time.Second, []*labNode{a, b}, "a", "b")
}

// Nodes that knew each other and are started at once become one cluster, and are
// joined only when they are. Each is heard of by who starts after it.
func TestAllStartedAtOnce(t *testing.T) {
	for _, p := range []Profile{Local, LAN, WAN} {
		for _, n := range []int{2, 3, 5, 12} {
			t.Run(fmt.Sprintf("%v-%d", p, n), func(t *testing.T) {
				virtual(t, func(t *testing.T, l *lab) {
					cfgs, nodes, names := make([]Config, n), make([]*labNode, n), make([]string, n)
					addrs := make([]Known, n)
					for i := range n {
						cfgs[i] = l.config(fmt.Sprintf("n%02d", i))
						cfgs[i].Profile = p
						probe := l.open(cfgs[i], netip.AddrPort{})
						addrs[i], names[i] = probe.known(), cfgs[i].Name
						probe.crash()
					}
					for i := range n {
						cfgs[i].Known = addrs // itself too: that does no harm
						nodes[i] = l.open(cfgs[i], addrs[i].Addr)
					}
					joined := make(chan error, n)
					began := time.Now()
					for _, node := range nodes {
						go func() { joined <- node.Join(t.Context()) }()
					}
					for range n {
						if err := <-joined; err != nil {
							t.Fatal(err)
						}
					}
					took := agree(t, p.tuning().rejoin/2, nodes, names...)
					t.Logf("%v, %d nodes: all joined after %v, agreed %v later", p, n, time.Since(began)-took, took)
				})
			})
		}
	}
}

// A node that waits for members that it knew, with a long pause between its tries, has
// joined as soon as somebody finds it: one of them, or one whom it never knew.
func TestKnownMembersCome(t *testing.T) {
	for _, who := range []string{"a", "stranger"} {
		for _, seeds := range [][]string{nil, {"127.0.0.1:1"}} {
			virtual(t, func(t *testing.T, l *lab) {
				gone := l.open(l.config("a"), netip.AddrPort{})
				gone.crash()
				cfg := l.config("b", seeds...)
				cfg.Profile, cfg.Known = LAN, []Known{gone.known()}
				b := l.open(cfg, netip.AddrPort{})
				if err := b.joinError(10 * time.Minute); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				at := gone.addr
				if who != "a" {
					at = netip.AddrPort{}
				}
				cfg = l.config(who, b.seed())
				cfg.Profile = LAN
				a := l.open(cfg, at)
				a.mustJoin()
				agree(t, time.Second, []*labNode{a, b}, "b", who)
				eventually(t, time.Second, "b has joined", b.Joined)
			})
		}
	}
}

// Two parts that found each other in pairs become one as soon as somebody comes who
// knows both, long before anybody would look for the lost.
func TestKnownPartsBecomeOne(t *testing.T) {
	virtual(t, func(t *testing.T, l *lab) {
		start := func(name string, known ...Known) *labNode {
			cfg := l.config(name)
			cfg.Profile, cfg.Known = LAN, known
			return l.startConfig(cfg)
		}
		a, c := start("a"), start("c")
		nodes := []*labNode{a, start("b", a.known()), c, start("d", c.known())}
		nodes = append(nodes, start("e", a.known(), c.known()))
		agree(t, LAN.tuning().rejoin/4, nodes, "a", "b", "c", "d", "e")
	})
}

// Members that were known and come back apart from each other are brought together
// later: whoever is met is not looked for any more.
func TestKnownMembersAreHealed(t *testing.T) {
	virtual(t, func(t *testing.T, l *lab) {
		probe := l.open(l.config("c"), netip.AddrPort{})
		probe.crash()
		a := l.start("a")
		cfg := l.config("b")
		cfg.Known = []Known{a.known(), probe.known()}
		b := l.startConfig(cfg)
		agree(t, time.Minute, []*labNode{a, b}, "a", "b")
		c := l.open(l.config("c"), probe.addr) // has forgotten everybody
		c.mustJoin()
		agree(t, 20*Local.tuning().rejoin, []*labNode{a, b, c}, "a", "b", "c")
	})
}

// A known address that another cluster has now does not end the search, and is
// given up once there is a cluster.
func TestKnownAddressOfAnotherCluster(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	other := l.config("other")
	other.Cluster = "elsewhere"
	o := l.startConfig(other)
	gone := l.open(l.config("a"), netip.AddrPort{})
	gone.crash()
	cfg := l.config("b", gone.seed())
	cfg.Known = []Known{o.known()}
	b := l.open(cfg, netip.AddrPort{})
	if err := b.joinError(200 * time.Millisecond); !errors.Is(err, ErrClusterMismatch) || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
	alone := l.config("c")
	alone.Known = []Known{o.known()}
	c := l.open(alone, netip.AddrPort{})
	if err := c.joinError(10 * time.Second); !errors.Is(err, ErrClusterMismatch) || strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v early", err)
	}
}

// What Known may hold: anything. What is used of it are reachable addresses, once
// each, of others, the first of them.
func TestUsableKnown(t *testing.T) {
	own := netip.MustParseAddrPort("10.0.0.1:7101")
	rapid.Check(t, func(t *rapid.T) {
		texts := []string{"10.0.0.1:7101", "10.0.0.2:7101", "[::ffff:10.0.0.2]:7101", "10.0.0.3:0", "0.0.0.0:7", "[::1]:7", "224.0.0.1:7"}
		cfg := Config{Name: "a", Advertise: own}
		n := rapid.IntRange(0, 2*MaxKnown).Draw(t, "n")
		for i := range n {
			k := Known{Name: rapid.SampledFrom([]string{"a", "b", "", "x/y", "c"}).Draw(t, "name")}
			if text := rapid.SampledFrom(append(texts, "", "fresh")).Draw(t, "addr"); text == "fresh" {
				k.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 7101)
			} else if text != "" {
				k.Addr = netip.MustParseAddrPort(text)
			}
			cfg.Known = append(cfg.Known, k)
		}
		want := map[netip.AddrPort]bool{} // as a careful reader would
		for _, k := range cfg.Known {
			addr := netip.AddrPortFrom(k.Addr.Addr().Unmap(), k.Addr.Port())
			if (k.Name == "b" || k.Name == "c") && addr != own && k.Addr.Port() != 0 && k.Addr.IsValid() &&
				!k.Addr.Addr().IsUnspecified() && !k.Addr.Addr().IsMulticast() && len(want) < MaxKnown {
				want[addr] = true
			}
		}
		got := usableKnown(&cfg)
		if len(got) != len(want) {
			t.Fatalf("%d of %v; want %d", len(got), cfg.Known, len(want))
		}
		for _, k := range got {
			if !want[k.Addr] {
				t.Fatalf("%v is not to be tried", k)
			}
		}
	})
}
