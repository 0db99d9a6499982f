//go:build process

package proctest

import (
	"testing"
	"time"
)

// report ends the load of some clients and gives what they met. By no rule may a
// node serve a key that it neither owned nor stood in for.
func (is *island) report(loaders ...*loader) []loadReport {
	t := is.chaos.t
	t.Helper()
	var reports []loadReport
	for _, l := range loaders {
		r := l.end(t)
		t.Logf("%s: %d calls, %d failed, %d failovers, %d relayed, %d hedges; p99 %.1f ms, max %.0f ms",
			l.name, r.Calls, r.Failed, r.Failovers, r.Stats["relayed_calls"], r.Stats["hedges"], r.P99, r.Max)
		if r.Wrong > 0 || r.Unowned > 0 {
			t.Errorf("%s: %d answers to another key, %d by nodes that neither owned the key nor stood in", l.name, r.Wrong, r.Unowned)
		}
		reports = append(reports, r)
	}
	return reports
}

// wantFlawless checks that no call failed, and that there was load at all.
func (is *island) wantFlawless(reports ...loadReport) {
	for _, r := range reports {
		if r.Failed > 0 || r.Calls < 100 {
			is.chaos.t.Errorf("%d of %d calls failed: %v %v", r.Failed, r.Calls, r.Codes, r.Errors)
		}
	}
}

// The network falls into three members and two. Both sides serve all keys in the
// end, each by a table of its own: there is no mutual exclusion across a cut. When
// it heals there is one table again.
func TestPartitionSplit(t *testing.T) {
	is := startIsland(t)
	a, b := []int{0, 1, 2, 5}, []int{3, 4, 6}
	during := []*loader{is.client("load-1", 0), is.client("load-2", 3)}
	is.goOn(time.Second)
	for _, i := range a {
		for _, j := range b {
			is.cut(is.hosts[i], is.hosts[j])
		}
	}
	is.side(is.members[:3], 30*time.Second)
	is.side(is.members[3:], 30*time.Second)
	// Until both sides have noticed, keys wait whose owners are all on the other.
	is.report(during...)
	settled := []*loader{is.client("load-3", 0), is.client("load-4", 3)}
	is.goOn(3 * time.Second)
	is.wantFlawless(is.report(settled...)...)
	is.heal(is.hosts)
	t.Logf("one table %.1f s after the cut has healed", is.settle(chaosNodes).Seconds())
	healed := []*loader{is.client("load-5", 0), is.client("load-6", 3)}
	is.goOn(time.Second)
	is.wantFlawless(is.report(healed...)...)
}

// One client's packets do not reach one owner, whom everybody else reaches. Its
// calls get there through the next owner; nobody takes the keys over.
func TestPartitionAsymmetric(t *testing.T) {
	is := startIsland(t)
	before, err := is.ping(is.members[0])
	if err != nil {
		t.Fatal(err)
	}
	clients := []*loader{is.client("load-1", 0), is.client("load-2", 0)}
	is.goOn(time.Second)
	is.drop(is.hosts[5], is.hosts[2])
	is.goOn(8 * time.Second)
	reports := is.report(clients...)
	is.wantFlawless(reports...)
	if reports[0].Stats["relayed_calls"] == 0 {
		t.Error("no call of the client that is cut off was relayed")
	}
	for i, r := range reports {
		if r.Failovers > 0 {
			t.Errorf("client %d: %d calls were served by another owner though the first lives", i+1, r.Failovers)
		}
	}
	after, err := is.ping(is.members[0])
	if err != nil || after.Fingerprint != before.Fingerprint {
		t.Errorf("the table became %+v, %v; it was %+v", after, err, before)
	}
}

// One link between two members is cut. Both stay members, clients notice nothing,
// and calls that one carries to keys of the other go through a third.
func TestPartitionSingleLink(t *testing.T) {
	is := startIsland(t)
	clients := []*loader{is.client("load-1", 0), is.client("load-2", 0)}
	is.goOn(time.Second)
	is.cut(is.hosts[0], is.hosts[1])
	first, second := is.members[0], is.members[1]
	answered := 0
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
		for _, key := range keysOf(25) {
			var said struct {
				Node string `json:"node"`
			}
			err := is.daemonSays(first, &said, "call", "mesh.Echo", `{"data":"x"}`, "--key", key, "--idempotent", "--hedge", "50ms", "--timeout", "2s")
			if err != nil {
				t.Fatalf("key %s through %s: %v", key, first.name, err)
			}
			if said.Node == second.name {
				answered++
			}
		}
	}
	if answered == 0 {
		t.Errorf("no call through %s was answered by %s", first.name, second.name)
	}
	t.Logf("%d calls that %s carried were answered by %s, across the cut", answered, first.name, second.name)
	reports := is.report(clients...)
	is.wantFlawless(reports...)
	for i, r := range reports {
		if r.Failovers > 0 {
			t.Errorf("client %d: %d calls were served by another owner though the first lives", i+1, r.Failovers)
		}
	}
	is.heal(is.hosts)
	is.settle(chaosNodes)
}
