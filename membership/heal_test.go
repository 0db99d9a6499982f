package membership

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// isolate cuts one node off from all others.
func isolate(n *labNode) func(a, b netip.AddrPort) bool {
	return func(a, b netip.AddrPort) bool { return a == n.addr && b != n.addr }
}

func TestMembersShowSuspicion(t *testing.T) {
	t.Parallel()
	for name, key := range map[string][]byte{"plain": nil, "encrypted": []byte("0123456789abcdef01234567")} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			config := func(name string, seeds ...string) Config {
				cfg := l.config(name, seeds...)
				cfg.GossipKey = key
				return cfg
			}
			a := l.startConfig(config("a"))
			b := l.startConfig(config("b", a.seed()))
			c := l.startConfig(config("c", a.seed()))
			agree(t, 3*time.Second, []*labNode{a, b, c}, "a", "b", "c")
			if m, ok := a.health("c"); !ok || m.Health != HealthAlive || m.Incarnation == 0 || m.Zone != "z1" || m.Addr != c.addr {
				t.Errorf("a lists c as %+v", m)
			}
			l.cut(isolate(c))
			eventually(t, 3*time.Second, "a suspects c", func() bool {
				m, _ := a.health("c")
				return m.Health == HealthSuspect
			})
			if _, ok := a.Snapshot().Find("c"); !ok {
				t.Error("a suspect is missing in the snapshot")
			}
			before, _ := a.health("c")
			l.cut(nil)
			eventually(t, 3*time.Second, "c has refuted", func() bool {
				m, _ := a.health("c")
				return m.Health == HealthAlive && m.Incarnation > before.Incarnation
			})
		})
	}
}

func TestPartitionHeals(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	b, c, d := l.start("b", a.seed()), l.start("c", a.seed()), l.start("d", a.seed())
	all := []*labNode{a, b, c, d}
	agree(t, 3*time.Second, all, "a", "b", "c", "d")
	l.cut(func(x, y netip.AddrPort) bool {
		left := []netip.AddrPort{a.addr, b.addr}
		return slices.Contains(left, x) && !slices.Contains(left, y)
	})
	agree(t, Local.DetectionTime(4), all[:2], "a", "b")
	agree(t, Local.DetectionTime(4), all[2:], "c", "d")
	l.cut(nil)
	took := agree(t, 10*time.Second, all, "a", "b", "c", "d")
	t.Logf("healed after %v", took)
}

func TestLonelyNodeComesBack(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	b, c := l.start("b", a.seed()), l.start("c", a.seed())
	agree(t, 3*time.Second, []*labNode{a, b, c}, "a", "b", "c")
	l.cut(isolate(c))
	agree(t, Local.DetectionTime(3), []*labNode{a, b}, "a", "b")
	agree(t, 2*Local.DetectionTime(3), []*labNode{c}, "c")
	// Its only seed is gone, but there is one who got lost.
	a.crash()
	l.cut(nil)
	agree(t, 10*time.Second, []*labNode{b, c}, "b", "c")
}

func TestSeedThatComesLaterIsJoined(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	later := l.open(l.config("later"), netip.AddrPort{})
	later.crash()
	a := l.start("a")
	b := l.start("b", a.seed(), later.seed())
	agree(t, 3*time.Second, []*labNode{a, b}, "a", "b")
	again := l.open(l.config("later"), later.addr) // another founder: two clusters
	again.mustJoin()
	agree(t, 10*time.Second, []*labNode{a, b, again}, "a", "b", "later")
}
