package membership

import (
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
	got := r.snapshot()
	names := make([]string, len(got))
	for i, m := range got {
		names[i] = m.Name
	}
	if len(got) != len(live) || len(r.live) != len(live) || !slices.IsSorted(names) {
		t.Fatalf("names %q, %d live; want %d", names, len(r.live), len(live))
	}
	for i, m := range got {
		if known, ok := r.get(m.Name); !ok || known != m || r.sorted[i] != r.live[m.Name] || m.Boot != live[m.Name].Boot {
			t.Fatalf("%q at %d: %+v, want %+v", m.Name, i, m, live[m.Name])
		}
		if _, gone := r.past[m.Name]; gone {
			t.Fatalf("%q is live and gone", m.Name)
		}
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
