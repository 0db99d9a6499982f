package membership

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBurst(t *testing.T) {
	for _, c := range []struct {
		members     int
		quiet, most time.Duration
	}{
		{0, publishQuiet, publishMost},
		{1, publishQuiet, publishMost},
		{publishMany, publishQuiet, publishMost},
		{2 * publishMany, 2 * publishQuiet, 2 * publishMost},
		{1000, 100 * time.Millisecond, 500 * time.Millisecond},
	} {
		if quiet, most := burst(c.members); quiet != c.quiet || most != c.most {
			t.Errorf("%d members: %v and %v, want %v and %v", c.members, quiet, most, c.quiet, c.most)
		}
	}
}

// The roster's members are the living, sorted, whatever happens.
func TestRosterSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, now := newRoster(), time.Now()
		live := map[string]Member{}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			name := rapid.StringMatching(`[a-e]{0,2}`).Draw(t, "name")
			now = now.Add(time.Duration(rapid.IntRange(0, 3600*30).Draw(t, "pause")) * time.Second)
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				m := Member{Name: name, Boot: uint64(rapid.Uint8().Draw(t, "boot"))}
				r.set(m, now)
				live[name] = m
			case 2:
				r.end(name, now)
				delete(live, name)
			case 3:
				r.prune(now)
			case 4:
				r.forget(name)
			}
			checkRoster(t, r, live)
		}
	})
}

func checkRoster(t *rapid.T, r *roster, live map[string]Member) {
	got := r.members()
	names := make([]string, len(got))
	for i, m := range got {
		names[i] = m.Name
	}
	if len(got) != len(live) || len(r.live) != len(live) || !slices.IsSorted(names) {
		t.Fatalf("names %q, %d live; want %d", names, len(r.live), len(live))
	}
	var digest uint64
	for i, m := range got {
		digest += m.digest()
		if known, ok := r.get(m.Name); !ok || known != m || r.sorted[i] != r.live[m.Name] || m.Boot != live[m.Name].Boot {
			t.Fatalf("%q at %d: %+v, want %+v", m.Name, i, m, live[m.Name])
		}
		if _, gone := r.past[m.Name]; gone {
			t.Fatalf("%q is live and gone", m.Name)
		}
	}
	if digest != r.digest {
		t.Fatalf("digest %x, the members have %x", r.digest, digest)
	}
	if n := r.others("a"); n != len(live)-min(1, countOf(live, "a")) {
		t.Fatalf("%d others of %d", n, len(live))
	}
}

func countOf(live map[string]Member, name string) int {
	if _, ok := live[name]; ok {
		return 1
	}
	return 0
}

// Digests tell everything apart that a member says, its boot id first of all.
func TestDigest(t *testing.T) {
	m := Member{Name: "a", Zone: "b", Weight: 1, Boot: 1 << 40, Addr: netip.MustParseAddrPort("10.0.0.1:7101"), Protocol: 1}
	seen := map[uint64]string{m.digest(): "the member itself"}
	for name, change := range map[string]func(*Member){
		"boot":          func(m *Member) { m.Boot++ },
		"boot's start":  func(m *Member) { m.Boot += 1 << bootRandomBits },
		"state":         func(m *Member) { m.State = StateJoining },
		"name and zone": func(m *Member) { m.Name, m.Zone = "ab", "" },
		"zone":          func(m *Member) { m.Zone = "" },
		"weight":        func(m *Member) { m.Weight = 2 },
		"address":       func(m *Member) { m.Addr = netip.MustParseAddrPort("10.0.0.2:7101") },
		"port":          func(m *Member) { m.Addr = netip.MustParseAddrPort("10.0.0.1:7102") },
		"down":          func(m *Member) { m.Down = "greeter" },
		"partitions":    func(m *Member) { m.Params.Partitions = 1 << 14 },
		"slack":         func(m *Member) { m.Params.SlackPermille = 50 },
		"protocol":      func(m *Member) { m.Protocol = 2 },
	} {
		changed := m
		change(&changed)
		if other, ok := seen[changed.digest()]; ok {
			t.Errorf("another %s has the digest of another %s", name, other)
		}
		seen[changed.digest()] = name
	}
	told := m
	told.Health, told.Incarnation, told.Since = HealthSuspect, 7, time.Now()
	if told.digest() != m.digest() {
		t.Error("the digest depends on what the node that asks thinks of the member")
	}
}
