package balance

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// event is the end of one call.
type event struct {
	at    time.Duration
	node  int
	began time.Duration
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// simulate sends calls at 70 % of the capacity of ten servers with a queue each,
// of which one is five times slower, and gives the latencies, sorted.
func simulate(b Balancer, seed uint64) []time.Duration {
	random := rand.New(rand.NewPCG(seed, 2))
	s := NewSet(nodes(10), "")
	mean := func(node int) float64 {
		if node == 0 {
			return float64(50 * time.Millisecond)
		}
		return float64(10 * time.Millisecond)
	}
	free := make([]time.Duration, 10) // when each server has nothing left to do
	var ends events
	var latencies []time.Duration
	now := time.Duration(0)
	gap := float64(time.Second) / (0.7 * (9*100 + 20))
	for turn := range uint64(50_000) {
		now += time.Duration(random.ExpFloat64() * gap)
		for len(ends) > 0 && ends[0].at <= now {
			e := heap.Pop(&ends).(event)
			s.Nodes[e.node].End(e.at, e.at-e.began, false)
			latencies = append(latencies, e.at-e.began)
		}
		i := b.Pick(s, turn, now)
		s.Nodes[i].Begin()
		free[i] = max(free[i], now) + time.Duration(random.ExpFloat64()*mean(i))
		heap.Push(&ends, event{free[i], i, now})
	}
	slices.Sort(latencies)
	return latencies
}

// Least-loaded keeps away from the slow server and from queues.
func TestLeastLoadedInAQueue(t *testing.T) {
	p99 := make(map[string]time.Duration)
	for _, b := range []Balancer{RoundRobin{}, Random{}, LeastLoaded{}} {
		l := simulate(b, 1)
		p99[b.Name()] = l[len(l)*99/100]
		t.Logf("%-12s p50 %v, p99 %v", b.Name(), l[len(l)/2].Round(time.Millisecond), p99[b.Name()].Round(time.Millisecond))
	}
	if p99["least-loaded"] > p99["random"]/4 {
		t.Errorf("p99 %v, of random %v", p99["least-loaded"], p99["random"])
	}
}
