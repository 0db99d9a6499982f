package balance

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func nodes(n int) []*Node {
	all := make([]*Node, n)
	for i := range all {
		all[i] = NewNode(fmt.Sprint("n", i), fmt.Sprint("z", i%3), 1)
	}
	return all
}

// counts gives how often each node is picked in a run.
func counts(b Balancer, s *Set, picks int) []int {
	got := make([]int, len(s.Nodes))
	for turn := range picks {
		got[b.Pick(s, uint64(turn), 0)]++
	}
	return got
}

func TestByName(t *testing.T) {
	for _, name := range Names() {
		if b, err := ByName(name); err != nil || b.Name() != name {
			t.Errorf("%s: %v, %v", name, b, err)
		}
	}
	if b, err := ByName(""); err != nil || b.Name() != "round-robin" {
		t.Errorf("the default is %v, %v", b, err)
	}
	_, err := ByName("nearest")
	if !errors.Is(err, ErrUnknown) {
		t.Fatal(err)
	}
	for _, name := range Names() {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not list %s", err, name)
		}
	}
}

func TestIdleNodesShareEvenly(t *testing.T) {
	for _, b := range []Balancer{RoundRobin{}, Random{}, Weighted{}, LeastLoaded{}} {
		for _, n := range []int{1, 2, 7} {
			const picks = 70_000
			for i, got := range counts(b, NewSet(nodes(n), "z0"), picks) {
				if fair := picks / n; math.Abs(float64(got-fair)) > 0.03*float64(fair) {
					t.Errorf("%s of %d: node %d was picked %d times, want about %d", b.Name(), n, i, got, fair)
				}
			}
		}
	}
}

// Every short run is in proportion to the weights, too.
func TestWeightedIsSmooth(t *testing.T) {
	all := nodes(4)
	for i, w := range []float64{0.1, 1, 2, 100} {
		all[i].Weight = w
	}
	s := NewSet(all, "")
	for start := uint64(0); start < 100_000; start += 997 {
		got := make([]int, 4)
		const run = 2_000
		for turn := range uint64(run) {
			got[Weighted{}.Pick(s, start+turn, 0)]++
		}
		for i, n := range all {
			want := run * n.Weight / 103.1
			if math.Abs(float64(got[i])-want) > 4 {
				t.Fatalf("from %d on: node %d of weight %v was picked %d times of %d, want %.1f", start, i, n.Weight, got[i], run, want)
			}
		}
	}
}

// call makes one call in no time.
func call(n *Node, now, latency time.Duration, failed bool) {
	n.Begin()
	n.End(now, latency, failed)
}

func TestLeastLoadedAvoids(t *testing.T) {
	for name, spoil := range map[string]func(*Node){
		"the slow":           func(n *Node) { call(n, 0, 100*time.Millisecond, false) },
		"who fails fast":     func(n *Node) { call(n, 0, 0, true) },
		"the busy":           func(n *Node) { n.Begin(); n.Begin(); n.Begin() },
		"who says it's busy": func(n *Node) { n.Report(0, 50) },
	} {
		all := nodes(5)
		for _, n := range all {
			call(n, 0, time.Millisecond, false)
		}
		spoil(all[2])
		if got := counts(LeastLoaded{}, NewSet(all, ""), 1000); got[2] != 0 {
			t.Errorf("%s: picked %d times of 1000", name, got[2])
		}
	}
}

// A peak counts at once and is forgotten with time.
func TestPeakEWMA(t *testing.T) {
	n := NewNode("n", "", 1)
	call(n, 0, time.Millisecond, false)
	call(n, 0, 50*time.Millisecond, false)
	if got := time.Duration(n.Load(0)); got != 50*time.Millisecond {
		t.Errorf("after a peak: %v", got)
	}
	for i := range 60 {
		call(n, time.Duration(i)*time.Second, time.Millisecond, false)
	}
	if got := time.Duration(n.Load(time.Minute)); got > 3*time.Millisecond {
		t.Errorf("a minute later: %v", got)
	}
	call(n, time.Minute, time.Second, false)
	if got := time.Duration(n.Load(10 * time.Minute)); got > 50*time.Millisecond {
		t.Errorf("who was slow long ago counts as %v", got)
	}
}

func TestZoneFirst(t *testing.T) {
	all := nodes(6)
	for _, n := range all {
		call(n, 0, time.Millisecond, false)
	}
	s := NewSet(all, "z1")
	far := func() (far int) {
		for i, got := range counts(ZoneFirst{}, s, 1000) {
			if all[i].Zone != "z1" {
				far += got
			}
		}
		return far
	}
	if got := far(); got != 0 {
		t.Errorf("%d of 1000 left the zone", got)
	}
	for range 20 {
		all[1].Begin()
		all[4].Begin()
	}
	if got := far(); got != 1000 {
		t.Errorf("only %d of 1000 spilled over", got)
	}
	if got := counts(ZoneFirst{}, NewSet(all, "elsewhere"), 100); slices.Max(got) == 100 {
		t.Errorf("without a local node: %v", got)
	}
}

func TestBounded(t *testing.T) {
	all := nodes(10)
	of := NewSet(all, "")
	owners := NewSet([]*Node{all[3], all[5], all[7]}, "")
	owners.Of = of
	busy := func(n *Node, calls int) {
		for range calls {
			n.Begin()
		}
	}
	for i, step := range []struct{ node, calls, want int }{
		{3, 7, 0},    // a few are no load
		{0, 10, 0},   // the same
		{3, 10, 1},   // 17 of 27: more than 1.25 of a tenth
		{5, 20, 2},   // so has the next
		{7, 20, 0},   // all have: then the first
		{0, 1000, 0}, // 17 is less than its share of all
	} {
		busy(all[step.node], step.calls)
		if got := (Bounded{}).Pick(owners, 0, 0); got != step.want {
			t.Errorf("step %d: owner %d was picked, want %d", i, got, step.want)
		}
	}
}

func TestWithout(t *testing.T) {
	s := NewSet(nodes(5), "z0").Without("z0", func(i int) bool { return i%2 == 0 })
	if len(s.Nodes) != 2 || s.Nodes[0].Name != "n1" || s.Nodes[1].Name != "n3" {
		t.Errorf("got %v", s.Nodes)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := NewSet(nodes(9), "z1")
	s.Of = s
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for turn := range uint64(2000) {
				for _, b := range all() {
					n := s.Nodes[b.Pick(s, turn, time.Duration(turn))]
					n.Begin()
					n.Report(time.Duration(turn), uint32(turn%7))
					n.End(time.Duration(turn), time.Millisecond, turn%10 == 0)
				}
			}
		})
	}
	wg.Wait()
	if got := s.inFlight(); got != 0 {
		t.Errorf("%d calls are under way at the end", got)
	}
}

func BenchmarkPick(b *testing.B) {
	for _, balancer := range all() {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%s/%d", balancer.Name(), n), func(b *testing.B) {
				s := NewSet(nodes(n), "z1")
				for _, n := range s.Nodes {
					call(n, 0, time.Millisecond, false)
				}
				b.ReportAllocs()
				turn := uint64(0)
				for b.Loop() {
					turn++
					balancer.Pick(s, turn, time.Duration(turn))
				}
			})
		}
	}
}
