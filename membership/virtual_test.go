package membership

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// virtual runs a test in virtual time, and at its end ends the nodes and waits
// for the goroutines of memberlist that are in the middle of a probe.
func virtual(t *testing.T, test func(t *testing.T, l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.mem = newMemory()
		l.pass = func(d time.Duration) { time.Sleep(d) }
		defer func() {
			for _, n := range l.all() {
				n.crash()
			}
			time.Sleep(10 * time.Minute)
		}()
		test(t, l)
	})
}

// forgetTheDead waits until memberlist no longer knows the dead, who could
// otherwise still hear by gossip that they are believed dead.
func (n *labNode) forgetTheDead() {
	dead := func(m Member) bool { return m.Health == HealthDead }
	for range 1000 {
		members, err := n.Members(n.lab.t.Context())
		if err == nil && !slices.ContainsFunc(members, dead) {
			return
		}
		n.lab.pass(time.Second)
	}
	n.lab.t.Fatal("the dead are not forgotten")
}

// startMany starts n nodes in virtual time and waits until they agree.
func startMany(l *lab, p Profile, n int) ([]*labNode, []string) {
	var nodes []*labNode
	var names []string
	var seeds []string
	for i := range n {
		cfg := l.config(fmt.Sprintf("n%02d", i), seeds...)
		cfg.Profile = p
		nodes = append(nodes, l.startConfig(cfg))
		names = append(names, cfg.Name)
		seeds = []string{nodes[0].seed()}
	}
	agree(l.t, time.Minute, nodes, names...)
	return nodes, names
}

// The bound that DetectionTime gives holds, in every profile.
func TestDetectionTime(t *testing.T) {
	for _, p := range []Profile{Local, LAN, WAN} {
		for _, n := range []int{2, 3, 5, 12} {
			t.Run(fmt.Sprintf("%v-%d", p, n), func(t *testing.T) {
				virtual(t, func(t *testing.T, l *lab) {
					nodes, names := startMany(l, p, n)
					nodes[n-1].crash()
					took := agree(t, p.DetectionTime(n), nodes[:n-1], names[:n-1]...)
					t.Logf("%v, %d nodes: crash noticed by all after %v, bound %v",
						p, n, took.Round(time.Millisecond), p.DetectionTime(n))
				})
			})
		}
	}
}

// A partition that lasts until gossip has forgotten the other side still heals.
func TestLongPartitionHeals(t *testing.T) {
	for _, p := range []Profile{Local, LAN, WAN} {
		t.Run(p.String(), func(t *testing.T) {
			virtual(t, func(t *testing.T, l *lab) {
				nodes, names := startMany(l, p, 6)
				side := map[netip.AddrPort]bool{nodes[0].addr: true, nodes[1].addr: true, nodes[2].addr: true}
				l.cut(func(a, b netip.AddrPort) bool { return side[a] != side[b] })
				agree(t, 2*p.DetectionTime(6), nodes[:3], names[:3]...)
				agree(t, 2*p.DetectionTime(6), nodes[3:], names[3:]...)
				for _, n := range nodes {
					n.forgetTheDead()
				}
				l.cut(nil)
				took := agree(t, 20*p.tuning().rejoin, nodes, names...)
				t.Logf("%v: healed after %v", p, took.Round(time.Millisecond))
			})
		})
	}
}

// Members who left are not looked for; the dead are, and are not forgotten.
func TestWhoIsLookedFor(t *testing.T) {
	virtual(t, func(t *testing.T, l *lab) {
		nodes, names := startMany(l, LAN, 4)
		if err := nodes[2].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		agree(t, time.Minute, nodes[:2], names[0], names[1], names[3])
		nodes[2].crash()
		nodes[3].crash()
		agree(t, time.Minute, nodes[:2], names[:2]...)
		lost := func() []string {
			var lost []string
			for _, m := range nodes[0].roster.lost() {
				lost = append(lost, m.Name)
			}
			return lost
		}
		eventually(t, time.Minute, "only the dead one is looked for", func() bool {
			return slices.Equal(lost(), names[3:])
		})
		l.pass(time.Hour)
		if !slices.Equal(lost(), names[3:]) {
			t.Errorf("after an hour: %v", lost())
		}
		nodes[0].roster.prune(time.Now().Add(rememberDead))
		if len(lost()) > 0 {
			t.Errorf("after a day: %v", lost())
		}
	})
}

func TestYoungerOfTwoClustersWithOneNameStops(t *testing.T) {
	virtual(t, func(t *testing.T, l *lab) {
		a := l.start("a")
		x := l.start("x", a.seed())
		agree(t, 3*time.Second, []*labNode{a, x}, "a", "x")
		cut := map[netip.AddrPort]bool{a.addr: true, x.addr: true}
		l.cut(func(p, q netip.AddrPort) bool { return cut[p] != cut[q] })
		b := l.start("b")
		y := l.start("y", b.seed())
		second := l.start("x", b.seed())
		agree(t, 3*time.Second, []*labNode{b, y, second}, "b", "x", "y")

		l.cut(nil)
		bridge := l.open(l.config("bridge", a.seed()), netip.AddrPort{})
		bridge.mustJoin()
		p, err := bridge.examine(t.Context(), b.addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := bridge.enter(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-second.Failed():
			if !errors.Is(err, ErrNameTaken) || !strings.Contains(err.Error(), x.seed()) {
				t.Errorf("got %v", err)
			}
		case err := <-x.Failed():
			t.Fatalf("the older x failed: %v", err)
		case <-time.After(time.Minute):
			t.Fatal("nobody failed")
		}
		second.crash()
		all := []*labNode{a, x, b, y, bridge}
		agree(t, time.Minute, all, "a", "b", "bridge", "x", "y")
		for _, n := range all {
			eventually(t, time.Minute, n.cfg.Name+" knows the older x", func() bool {
				m, _ := n.Snapshot().Find("x")
				return m.Boot == x.cfg.Meta.Boot
			})
		}
	})
}

// A process that was paused until another got its name finds out.
func TestReplacedNodeStops(t *testing.T) {
	virtual(t, func(t *testing.T, l *lab) {
		nodes, names := startMany(l, Local, 4)
		old := nodes[3]
		l.cut(isolate(old))
		agree(t, time.Minute, nodes[:3], names[:3]...)
		next := l.start(names[3], nodes[0].seed())
		agree(t, time.Minute, append(nodes[:3:3], next), names...)
		l.cut(nil)
		select {
		case err := <-old.Failed():
			var taken *NameTakenError
			if !errors.As(err, &taken) || taken.Addr != next.addr {
				t.Errorf("got %v", err)
			}
		case err := <-next.Failed():
			t.Fatalf("the younger one failed: %v", err)
		case <-time.After(5 * time.Minute):
			t.Fatal("nobody failed")
		}
		old.crash()
		l.pass(time.Minute)
		for _, n := range append(nodes[:3:3], next) {
			if m, _ := n.Snapshot().Find(names[3]); m.Addr != next.addr {
				t.Errorf("%s sees %+v", n.cfg.Name, m)
			}
		}
	})
}

// A node that left may come back, at the same address and at another one.
func TestReturnAfterLeave(t *testing.T) {
	virtual(t, func(t *testing.T, l *lab) {
		nodes, names := startMany(l, LAN, 3)
		for i := range 4 {
			gone := nodes[2]
			if err := gone.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			gone.crash()
			at := netip.AddrPort{}
			if i%2 == 0 {
				at = gone.addr
			}
			cfg := l.config(names[2], nodes[0].seed())
			cfg.Profile = LAN
			nodes[2] = l.open(cfg, at)
			start := time.Now()
			nodes[2].mustJoin()
			for _, n := range nodes {
				eventually(t, time.Minute, n.cfg.Name+" sees the new process", func() bool {
					m, _ := n.Snapshot().Find(names[2])
					return m.Boot == cfg.Meta.Boot && m.Addr == nodes[2].addr
				})
			}
			t.Logf("back after %v", time.Since(start))
		}
	})
}
