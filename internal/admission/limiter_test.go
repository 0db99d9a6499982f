package admission

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPriorities(t *testing.T) {
	l := New(Config{Initial: 20})
	c := l.Class()
	admit := func(p Priority) (n int) {
		for {
			ok, after := c.Acquire(p)
			if !ok {
				if after <= 0 || after > 2*maxRetry {
					t.Fatalf("priority %d: told to wait %v", p, after)
				}
				return n
			}
			n++
		}
	}
	if got := [...]int{admit(Sheddable), admit(Default), admit(200), admit(Critical)}; got != [...]int{12, 4, 0, 4} {
		t.Errorf("admitted %v", got)
	}
	if got := [...]uint64{l.Refused(Sheddable), l.Refused(Default), l.Refused(Critical)}; got != [...]uint64{1, 2, 1} {
		t.Errorf("counted as refused: %v", got)
	}
	for range 20 {
		c.Release(time.Second, time.Millisecond, Done)
	}
	if n := l.InFlight(); n != 0 {
		t.Errorf("%d calls left", n)
	}
}

// TestFaster has a service that is slowed down for a while, under twice the load
// that it takes when it isn't.
func TestFaster(t *testing.T) {
	slow := func(now time.Duration, _ int, r *rand.Rand) time.Duration {
		d := fixed(10*time.Millisecond)(now, 0, r)
		if now > 10*time.Second && now < 25*time.Second {
			return 5 * d
		}
		return d
	}
	l := newOurs(1)
	before := &load{server: newSlots(8), work: slow, rate: 1600, giveUp: 100 * time.Millisecond, length: 60 * time.Second, warmUp: 26 * time.Second}
	if res := before.run(l); res.goodput < 0.9*800 {
		t.Errorf("after it became faster again: %.0f a second of 800", res.goodput)
	}
}

// TestNoise has times that vary a lot (log-normal with a deviation of 1): one in
// twenty takes five times the median, and nothing is scarce.
func TestNoise(t *testing.T) {
	l := newOurs(1)
	lowest := math.MaxInt
	c := &load{
		server: newSlots(0), rate: 4000, giveUp: time.Second, length: 40 * time.Second,
		work: func(_ time.Duration, _ int, r *rand.Rand) time.Duration {
			return time.Duration(float64(10*time.Millisecond) * math.Exp(r.NormFloat64()))
		},
		at: func(_ time.Duration, l limiter) { lowest = min(lowest, l.limit()) },
	}
	res := c.run(l)
	t.Logf("lowest limit %d, last %d, %d of %d refused", lowest, l.limit(), res.refusedAll, res.offered)
	if lowest < 40 || float64(res.refusedAll) > 0.02*float64(res.offered) {
		t.Errorf("lowest limit %d, %d of %d calls refused though nothing is scarce", lowest, res.refusedAll, res.offered)
	}
}

// TestMethods has methods of 1, 10 and 100 ms in a mix that changes each second,
// at half of what the service can do.
func TestMethods(t *testing.T) {
	l := newOurs(3)
	c := &load{
		server: newSlots(48), rate: 600, giveUp: time.Second, length: 40 * time.Second,
		mix: []float64{0.34, 0.33, 0.33},
		work: func(now time.Duration, method int, r *rand.Rand) time.Duration {
			return fixed([]time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond}[method])(now, 0, r)
		},
	}
	c.at = func(now time.Duration, _ limiter) {
		c.mix = [][]float64{{0.8, 0.15, 0.05}, {0.3, 0.3, 0.4}}[int(now/time.Second)%2]
	}
	res := c.run(l)
	t.Logf("limit %d, %d of %d refused", l.limit(), res.refusedAll, res.offered)
	if float64(res.refusedAll) > 0.01*float64(res.offered) {
		t.Errorf("%d of %d calls refused at half the load", res.refusedAll, res.offered)
	}
}

// TestBounds takes any calls, of any length, with any outcome.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := New(Config{Min: 3, Initial: 10, Max: 50})
		classes := []*Class{l.Class(), l.Class()}
		var open [2]int
		now := time.Duration(0)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			i := rapid.IntRange(0, 1).Draw(t, "class")
			now += time.Duration(rapid.Int64Range(0, int64(50*time.Millisecond)).Draw(t, "gap"))
			if rapid.Bool().Draw(t, "acquire") {
				p := Priority(rapid.Uint8Range(0, 3).Draw(t, "priority"))
				ok, after := classes[i].Acquire(p)
				if ok {
					open[i]++
				}
				if ok != (after == 0) {
					t.Fatalf("admitted: %v, and told to wait %v", ok, after)
				}
			} else if open[i] > 0 {
				open[i]--
				took := time.Duration(rapid.Int64Range(-1, math.MaxInt64).Draw(t, "took"))
				classes[i].Release(now, took, Outcome(rapid.Uint8Range(0, 2).Draw(t, "outcome")))
			}
			if n := l.Limit(); n < 3 || n > 50 {
				t.Fatalf("limit %d", n)
			}
			if n := l.InFlight(); n != open[0]+open[1] {
				t.Fatalf("%d in flight, want %d", n, open[0]+open[1])
			}
		}
	})
}

func TestConcurrent(t *testing.T) {
	l := New(Config{Initial: 8})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			c := l.Class()
			for i := range 5000 {
				if ok, _ := c.Acquire(Priority(g % 3)); ok {
					c.Release(time.Duration(i)*100*time.Microsecond, time.Millisecond, Done)
				}
			}
		})
	}
	wg.Wait()
	if n := l.InFlight(); n != 0 {
		t.Errorf("%d calls left", n)
	}
}

func TestLogTime(t *testing.T) {
	for d := time.Duration(1); d < time.Hour; d = d*5/4 + 1 {
		if back := timeOf(float64(logTime(d))); math.Abs(float64(back-d)) > 0.1*float64(d)+1 {
			t.Errorf("%v became %v", d, back)
		}
	}
	if logTime(-1) != 0 || logTime(0) != 0 || logTime(math.MaxInt64) >= 63*octave {
		t.Error("times out of range")
	}
}

func BenchmarkCall(b *testing.B) {
	c := New(Config{}).Class()
	b.ReportAllocs()
	now := time.Duration(0)
	for b.Loop() {
		now += 2 * time.Microsecond
		if ok, _ := c.Acquire(Default); ok {
			c.Release(now, time.Millisecond, Done)
		}
	}
}

func BenchmarkCallParallel(b *testing.B) {
	l := New(Config{})
	c := l.Class()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		now := time.Duration(0)
		for pb.Next() {
			now += 2 * time.Microsecond
			if ok, _ := c.Acquire(Default); ok {
				c.Release(now, time.Millisecond, Done)
			}
		}
	})
}
