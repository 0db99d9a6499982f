package membership

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNodesAgree(t *testing.T) {
	l := newLab(t)
	first := l.start("n0")
	if !first.Joined() {
		t.Error("a node without seeds has not joined")
	}
	nodes, names := []*labNode{first}, []string{"n0"}
	for i := 1; i < 5; i++ {
		name := fmt.Sprintf("n%d", i)
		nodes, names = append(nodes, l.start(name, first.seed())), append(names, name)
	}
	took := agree(t, 5*time.Second, nodes, names...)
	t.Logf("5 nodes agree %v after the last Join", took)
	for _, n := range nodes {
		s := n.Snapshot()
		self, ok := s.Find(n.cfg.Name)
		if !ok || self.Addr != n.addr || self.Boot != n.cfg.Meta.Boot || s.Self != n.cfg.Name {
			t.Errorf("%s sees itself as %+v", n.cfg.Name, self)
		}
		if m, _ := s.Find("n3"); m.Zone != "z1" || m.Weight != 1 || m.Protocol != 1 || m.Params.Partitions != 1<<14 || m.Since.IsZero() {
			t.Errorf("%s sees n3 as %+v", n.cfg.Name, m)
		}
	}
}

func TestJoinShowsTheClusterAtOnce(t *testing.T) {
	l := newLab(t)
	a := l.start("a")
	b := l.start("b", a.seed())
	if names := b.Snapshot().Names(); !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("after Join the snapshot holds %v", names)
	}
}

func TestCrashIsDetected(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	nodes := []*labNode{a, l.start("b", a.seed()), l.start("c", a.seed()), l.start("d", a.seed())}
	agree(t, 5*time.Second, nodes, "a", "b", "c", "d")
	nodes[3].crash()
	took := agree(t, Local.DetectionTime(4), nodes[:3], "a", "b", "c")
	t.Logf("crash of one of 4 noticed by all after %v (bound %v)", took, Local.DetectionTime(4))
	if m, ok := a.health("d"); !ok || m.Health != HealthDead || m.Since.IsZero() {
		t.Errorf("a lists d as %+v", m)
	}
}

func TestLeave(t *testing.T) {
	l := newLab(t)
	a := l.start("a")
	b, c := l.start("b", a.seed()), l.start("c", a.seed())
	agree(t, 5*time.Second, []*labNode{a, b, c}, "a", "b", "c")
	if err := c.SetState(StateDraining); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Second, "a sees c drain", func() bool {
		m, _ := a.Snapshot().Find("c")
		return m.State == StateDraining
	})
	start := time.Now()
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, 2*time.Second, []*labNode{a, b, c}, "a", "b")
	t.Logf("leave seen by all after %v", time.Since(start))
	if m, ok := a.health("c"); !ok || m.Health != HealthLeft {
		t.Errorf("a lists c as %+v", m)
	}
	if err := c.Leave(t.Context()); err != nil {
		t.Errorf("second Leave: %v", err)
	}
	if err := c.SetState(StateServing); !errors.Is(err, ErrLeft) {
		t.Errorf("SetState after Leave: %v", err)
	}
	if err := c.Join(t.Context()); !errors.Is(err, ErrLeft) {
		t.Errorf("Join after Leave: %v", err)
	}
}

func TestUpdateMeta(t *testing.T) {
	l := newLab(t)
	a := l.start("a")
	b := l.start("b", a.seed())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { _ = b.UpdateMeta(func(m *Meta) { m.Weight = float64(i + 2) }) })
	}
	wg.Wait()
	err := b.UpdateMeta(func(m *Meta) { m.Zone, m.Weight, m.Boot, m.Params.Partitions = "z2", 20, 7, 1 })
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Second, "a sees the new weight and zone", func() bool {
		m, _ := a.Snapshot().Find("b")
		return m.Weight == 20 && m.Zone == "z2" && m.Boot == b.cfg.Meta.Boot && m.Params == b.cfg.Meta.Params
	})
	if err := b.UpdateMeta(func(m *Meta) { m.Weight = -1 }); !errors.Is(err, ErrBadMeta) {
		t.Errorf("negative weight: %v", err)
	}
	if err := b.UpdateMeta(func(m *Meta) { m.Zone = strings.Repeat("z", 600) }); !errors.Is(err, ErrMetaTooLarge) {
		t.Errorf("huge zone: %v", err)
	}
}

func TestRestartAtSameAddress(t *testing.T) {
	l := newLab(t)
	a, b := l.start("a"), (*labNode)(nil)
	b = l.start("b", a.seed())
	agree(t, 3*time.Second, []*labNode{a, b}, "a", "b")
	b.crash()
	again := l.open(l.config("b", a.seed()), b.addr)
	again.mustJoin()
	eventually(t, 3*time.Second, "a sees the new boot", func() bool {
		m, _ := a.Snapshot().Find("b")
		return m.Boot == again.cfg.Meta.Boot
	})
	if took := agree(t, 3*time.Second, []*labNode{a, again}, "a", "b"); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestReturnAtAnotherAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	b, c := l.start("b", a.seed()), l.start("c", a.seed())
	agree(t, 3*time.Second, []*labNode{a, b, c}, "a", "b", "c")
	b.crash()
	again := l.open(l.config("b", a.seed()), netip.AddrPort{})
	start := time.Now()
	again.mustJoin()
	t.Logf("back at another address %v after the crash", time.Since(start))
	for _, n := range []*labNode{a, c} {
		eventually(t, 8*time.Second, n.cfg.Name+" sees b at its new address", func() bool {
			m, _ := n.Snapshot().Find("b")
			return m.Boot == again.cfg.Meta.Boot && m.Addr == again.addr
		})
	}
	if logs := again.logs.String(); !strings.Contains(logs, "waiting for the cluster to notice that the former") {
		t.Errorf("the log does not say what it waits for:\n%s", logs)
	}
}

func TestSnapshotsAreOrderedAndComplete(t *testing.T) {
	l := newLab(t)
	var mu sync.Mutex
	var seen []*Snapshot
	cfg := l.config("a")
	cfg.OnChange = func(s *Snapshot) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, s)
	}
	a := l.startConfig(cfg)
	for i := range 4 {
		l.start(fmt.Sprintf("b%d", i), a.seed())
	}
	eventually(t, 3*time.Second, "OnChange tells of five members", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) > 0 && len(seen[len(seen)-1].Members) == 5
	})
	mu.Lock()
	defer mu.Unlock()
	for i, s := range seen {
		if s.Version != uint64(i+1) {
			t.Errorf("snapshot %d has version %d", i, s.Version)
		}
		if !slices.IsSorted(s.Names()) {
			t.Errorf("not sorted: %v", s.Names())
		}
	}
}

func TestLifecycle(t *testing.T) {
	l := newLab(t)
	n := l.start("a")
	if err := n.Start(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("second Start: %v", err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(n.Stop)
	}
	wg.Wait()
	for what, err := range map[string]error{
		"Join":     n.Join(t.Context()),
		"Leave":    n.Leave(t.Context()),
		"SetState": n.SetState(StateDraining),
	} {
		if !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s after Stop: %v", what, err)
		}
	}
	if _, err := n.Members(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Members after Stop: %v", err)
	}
	near, far := net.Pipe()
	n.ServeStream(far)
	if _, err := near.Read(make([]byte, 1)); err == nil {
		t.Error("a stream is served after Stop")
	}
	// What memberlist's timers may still say is harmless.
	n.publish.poke()
	n.roster.end("a", time.Now())

	unstarted, err := New(n.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s := unstarted.Snapshot(); s == nil || s.Version != 0 {
		t.Errorf("snapshot before Start: %+v", s)
	}
	unstarted.Stop()
	if err := unstarted.Start(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Start after Stop: %v", err)
	}
}

func TestStopDuringJoinAndLeave(t *testing.T) {
	l := newLab(t)
	a := l.start("a")
	b := l.start("b", a.seed())
	go func() { _ = b.Leave(context.Background()) }()
	eventually(t, 3*time.Second, "b is leaving", b.hasLeft)
	b.crash()

	c := l.open(l.config("c", "127.0.0.1:1"), netip.AddrPort{})
	done := make(chan error)
	go func() { done <- c.Join(context.Background()) }()
	eventually(t, 3*time.Second, "c tries to join", func() bool { return c.join.lastError() != nil })
	c.crash()
	if err := <-done; !errors.Is(err, ErrNotRunning) {
		t.Errorf("Join ended by Stop: %v", err)
	}
}

func TestPacketSocketStaysUsable(t *testing.T) {
	l := newLab(t)
	n := l.start("a")
	n.Stop()
	if err := n.cfg.Packets.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := n.cfg.Packets.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(n.addr)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if got, _, err := n.cfg.Packets.ReadFrom(buf); err != nil || got != 1 {
		t.Errorf("read %d bytes, %v", got, err)
	}
}

func TestForeignPacketsAreDropped(t *testing.T) {
	l := newLab(t)
	a, b := l.start("a"), l.start("b")
	for _, packet := range []string{"", "junk", "\xf4", "\xf4\x05other payload", "\xf4\x03lab", "\xf4\x03lab\x07\xff\xff"} {
		if _, err := b.cfg.Packets.WriteTo([]byte(packet), net.UDPAddrFromAddrPort(a.addr)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 3*time.Second, "the log names the other cluster", func() bool {
		return strings.Contains(a.logs.String(), `"their_cluster":"other"`)
	})
	c := l.start("c", a.seed())
	agree(t, 3*time.Second, []*labNode{a, c}, "a", "c")
}

func TestManyJoinAtOnce(t *testing.T) {
	l := newLab(t)
	nodes, names := []*labNode{l.start("n00")}, []string{"n00"}
	for i := 1; i < 20; i++ {
		names = append(names, fmt.Sprintf("n%02d", i))
		nodes = append(nodes, l.open(l.config(names[i], nodes[0].seed()), netip.AddrPort{}))
	}
	start := time.Now()
	var wg sync.WaitGroup
	for _, n := range nodes[1:] {
		wg.Go(func() {
			if err := n.Join(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	joined := time.Since(start)
	agree(t, 20*time.Second, nodes, names...)
	t.Logf("19 joined in %v and all agreed after %v", joined, time.Since(start))
	start = time.Now()
	nodes = append(nodes, l.start("n20", nodes[0].seed()))
	agree(t, 20*time.Second, nodes, append(names, "n20")...)
	t.Logf("one more: all agreed after %v", time.Since(start))
}
