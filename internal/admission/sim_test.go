package admission

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// job is a call inside the simulated service. end is a time, or for a processor the
// work that each of its calls has got by then.
type job struct {
	end      float64
	begun    time.Duration
	priority Priority
	method   int
}

type jobs []job

func (h jobs) Len() int           { return len(h) }
func (h jobs) Less(i, j int) bool { return h[i].end < h[j].end }
func (h jobs) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *jobs) Push(x any)        { *h = append(*h, x.(job)) }
func (h *jobs) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// server is a service with a bounded resource.
type server interface {
	add(now, work time.Duration, j job)
	next() time.Duration // when the first of its calls ends
	pop(now time.Duration) job
}

const never = time.Duration(math.MaxInt64)

// slots is a resource that so many calls have at a time, as connections to a
// database are; others wait in line.
type slots struct {
	free []time.Duration // when each is
	jobs jobs
}

func newSlots(n int) *slots { return &slots{free: make([]time.Duration, n)} }

func (s *slots) add(now, work time.Duration, j job) {
	if len(s.free) == 0 { // enough for all
		j.end = float64(now + work)
		heap.Push(&s.jobs, j)
		return
	}
	first := 0
	for i, at := range s.free {
		if at < s.free[first] {
			first = i
		}
	}
	s.free[first] = max(now, s.free[first]) + work
	j.end = float64(s.free[first])
	heap.Push(&s.jobs, j)
}

func (s *slots) next() time.Duration {
	if len(s.jobs) == 0 {
		return never
	}
	return time.Duration(s.jobs[0].end)
}

func (s *slots) pop(time.Duration) job { return heap.Pop(&s.jobs).(job) }

// cpu is processors that calls share.
type cpu struct {
	n    float64
	last time.Duration
	got  float64 // work that a call which was there all the time has got
	jobs jobs
}

func (c *cpu) rate() float64 { return min(1, c.n/float64(max(len(c.jobs), 1))) }

func (c *cpu) advance(now time.Duration) {
	c.got += float64(now-c.last) * c.rate()
	c.last = now
}

func (c *cpu) add(now, work time.Duration, j job) {
	c.advance(now)
	j.end = c.got + float64(work)
	heap.Push(&c.jobs, j)
}

func (c *cpu) next() time.Duration {
	if len(c.jobs) == 0 {
		return never
	}
	return c.last + time.Duration(math.Ceil(max(0, c.jobs[0].end-c.got)/c.rate()))
}

func (c *cpu) pop(now time.Duration) job {
	c.advance(now)
	return heap.Pop(&c.jobs).(job)
}

// limiter is what is compared.
type limiter interface {
	acquire(now time.Duration, method int, p Priority) bool
	release(now, took time.Duration, method int, late bool)
	limit() int
}

type ours struct {
	l       *Limiter
	classes []*Class
}

func newOurs(methods int) *ours {
	o := &ours{l: New(Config{})}
	for range methods {
		o.classes = append(o.classes, o.l.Class())
	}
	return o
}

func (o *ours) acquire(_ time.Duration, method int, p Priority) bool {
	ok, _ := o.classes[method].Acquire(p)
	return ok
}

func (o *ours) release(now, took time.Duration, method int, late bool) {
	outcome := Done
	if late {
		outcome = Late
	}
	o.classes[method].Release(now, took, outcome)
}

func (o *ours) limit() int { return o.l.Limit() }

// load is one run. Callers come at random, do not wait for each other, and never
// try again; the service goes on with what nobody waits for any more.
type load struct {
	server server
	work   func(now time.Duration, method int, r *rand.Rand) time.Duration
	rate   float64 // calls a second
	mix    []float64
	giveUp time.Duration
	length time.Duration
	warmUp time.Duration // not counted
	at     func(now time.Duration, l limiter)
}

type result struct {
	offered, good     int
	critical, refused int // critical calls, and those of them that were refused
	times             []time.Duration
	goodput           float64 // calls a second that ended in time
	refusedAll        int
}

func (r *result) p99() time.Duration {
	if len(r.times) == 0 {
		return 0
	}
	slices.Sort(r.times)
	return r.times[len(r.times)*99/100]
}

func priorityOf(r *rand.Rand) Priority {
	switch x := r.Float64(); {
	case x < 0.1:
		return Critical
	case x < 0.8:
		return Default
	}
	return Sheddable
}

func (c *load) run(l limiter) *result {
	r := rand.New(rand.NewPCG(1, 2))
	res := &result{}
	gap := func() time.Duration { return time.Duration(r.ExpFloat64() / c.rate * float64(time.Second)) }
	for arrival := gap(); ; {
		if end := c.server.next(); end <= arrival {
			if end > c.length {
				break
			}
			c.ended(l, res, end)
			continue
		}
		if arrival > c.length {
			break
		}
		c.arrived(l, res, arrival, r)
		arrival += gap()
	}
	res.goodput = float64(res.good) / (c.length - c.warmUp).Seconds()
	return res
}

func (c *load) ended(l limiter, res *result, now time.Duration) {
	j := c.server.pop(now)
	took := now - j.begun
	l.release(now, took, j.method, took > c.giveUp)
	if j.begun < c.warmUp {
		return
	}
	if took <= c.giveUp {
		res.good++
	}
	if j.priority == Critical {
		res.times = append(res.times, took)
	}
}

func (c *load) arrived(l limiter, res *result, now time.Duration, r *rand.Rand) {
	if c.at != nil {
		c.at(now, l)
	}
	p, method := priorityOf(r), 0
	for x := r.Float64(); method < len(c.mix)-1 && x > c.mix[method]; method++ {
		x -= c.mix[method]
	}
	ok := l.acquire(now, method, p)
	if ok {
		c.server.add(now, c.work(now, method, r), job{begun: now, priority: p, method: method})
	}
	if now < c.warmUp {
		return
	}
	res.offered++
	if p == Critical {
		res.critical++
	}
	if !ok {
		res.refusedAll++
		if p == Critical {
			res.refused++
		}
	}
}

// fixed is work that takes about d.
func fixed(d time.Duration) func(time.Duration, int, *rand.Rand) time.Duration {
	return func(_ time.Duration, _ int, r *rand.Rand) time.Duration {
		return time.Duration(float64(d) * (0.8 + 0.4*r.Float64()))
	}
}

func kinds() map[string]func() *load {
	return map[string]func() *load{
		"slots": func() *load { // 8 of 10 ms: 800 a second
			return &load{server: newSlots(8), work: fixed(10 * time.Millisecond), giveUp: 100 * time.Millisecond, rate: 800}
		},
		"cpu": func() *load { // 2 of 1 ms: 2,000 a second
			return &load{server: &cpu{n: 2}, work: fixed(time.Millisecond), giveUp: 100 * time.Millisecond, rate: 2000}
		},
		"hasty": func() *load { // callers who hardly wait for twice what the work takes
			return &load{server: newSlots(8), work: fixed(10 * time.Millisecond), giveUp: 18 * time.Millisecond, rate: 800}
		},
	}
}

func TestOverload(t *testing.T) {
	limiters := []struct {
		name string
		make func() limiter
	}{
		{"none", func() limiter { return &none{} }},
		{"aimd", func() limiter { return &aimd{bound: 64} }},
		{"gradient2", func() limiter { return &gradient2{bound: 20} }},
		{"ours", func() limiter { return newOurs(1) }},
	}
	for _, kind := range []string{"slots", "cpu", "hasty"} {
		for _, lim := range limiters {
			peak := 0.0
			for _, times := range []float64{0.5, 0.8, 1, 1.5, 2, 3, 4} {
				c := kinds()[kind]()
				capacity := c.rate
				c.rate, c.length, c.warmUp = capacity*times, 32*time.Second, 2*time.Second
				l := lim.make()
				res := c.run(l)
				peak = max(peak, res.goodput)
				t.Logf("%-6s %-9s %.1fx: goodput %3.0f %% of capacity, critical: p99 %8v, refused %4.1f %%; limit %d",
					kind, lim.name, times, 100*res.goodput/capacity, res.p99().Round(100*time.Microsecond),
					100*float64(res.refused)/float64(res.critical), l.limit())
				if lim.name != "ours" {
					continue
				}
				if times >= 1.5 && res.goodput < 0.9*peak {
					t.Errorf("%s at %.1fx: goodput %.0f, less than 90 %% of the peak of %.0f", kind, times, res.goodput, peak)
				}
				if kind != "hasty" && res.p99() > 70*time.Millisecond {
					t.Errorf("%s at %.1fx: critical calls take %v", kind, times, res.p99())
				}
				if share := float64(res.refused) / float64(res.critical); kind != "hasty" && share > 0.05 {
					t.Errorf("%s at %.1fx: %.1f %% of the critical calls refused", kind, times, 100*share)
				}
			}
		}
	}
}
