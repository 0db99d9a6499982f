package health

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func peers(d *Detector, n int) []*Peer {
	all := make([]*Peer, n)
	for i := range all {
		all[i] = d.Peer()
	}
	return all
}

func ejected(all []*Peer, now time.Duration) (n int) {
	for _, p := range all {
		if p.Ejected(now) {
			n++
		}
	}
	return n
}

func TestFailuresInARow(t *testing.T) {
	d := New(Config{})
	all := peers(d, 5)
	bad := all[1]
	for range 4 {
		d.Record(bad, 0, false, 0)
	}
	d.Record(bad, 0, true, 0)
	for range 4 {
		d.Record(bad, 0, false, 0)
	}
	if bad.Ejected(0) {
		t.Error("ejected though a call in between went well")
	}
	d.Record(bad, 0, false, 0)
	if !bad.Ejected(0) || ejected(all, 0) != 1 || d.Ejections() != 1 {
		t.Errorf("after five failures: ejected %v, %d in all, %d ejections", bad.Ejected(0), ejected(all, 0), d.Ejections())
	}
}

// Each time again it is longer, the first failure on probation suffices, and
// those who behave are forgiven.
func TestEjectionsGrowAndAreForgiven(t *testing.T) {
	d := New(Config{})
	all := peers(d, 5)
	bad, now := all[0], time.Duration(0)
	length := func() time.Duration {
		start := now
		for bad.Ejected(now) {
			now += 100 * time.Millisecond
		}
		return now - start
	}
	for range 5 {
		d.Record(bad, now, false, 0)
	}
	for i, want := range []time.Duration{5, 10, 15, 20} {
		if got := length(); got != want*time.Second {
			t.Errorf("ejection %d lasts %v, want %v s", i+1, got, want)
		}
		d.Record(bad, now, false, 0)
	}
	length()
	for range 100 {
		now += time.Second
		for _, p := range all {
			d.Record(p, now, true, time.Millisecond)
		}
	}
	for range 5 {
		d.Record(bad, now, false, 0)
	}
	if got := length(); got != 5*time.Second {
		t.Errorf("after good behaviour: %v, want 5 s again", got)
	}
}

// interval has every peer make calls; rate and latency tell how they go.
func interval(d *Detector, all []*Peer, now time.Duration, rate func(i int) float64, latency func(i int) time.Duration) {
	random := rand.New(rand.NewPCG(uint64(now), 3))
	for range 200 {
		for i, p := range all {
			d.Record(p, now, random.Float64() < rate(i), latency(i))
		}
	}
}

func always(rate float64) func(int) float64 { return func(int) float64 { return rate } }

func evenly(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

func TestPoorSuccessRate(t *testing.T) {
	for _, n := range []int{3, 5, 20} {
		d := New(Config{Failures: 1000})
		all := peers(d, n)
		poor := func(i int) float64 {
			if i == 2 {
				return 0.4
			}
			return 0.99
		}
		interval(d, all, 0, poor, evenly(time.Millisecond))
		interval(d, all, 6*time.Second, poor, evenly(time.Millisecond))
		if !all[2].Ejected(6*time.Second) || ejected(all, 6*time.Second) != 1 {
			t.Errorf("of %d: the poor one is ejected: %v, in all %d", n, all[2].Ejected(6*time.Second), ejected(all, 6*time.Second))
		}
	}
}

func TestSlow(t *testing.T) {
	d := New(Config{})
	all := peers(d, 6)
	slow := func(i int) time.Duration {
		if i == 4 {
			return 100 * time.Millisecond
		}
		return 5 * time.Millisecond
	}
	interval(d, all, 0, always(1), slow)
	interval(d, all, 6*time.Second, always(1), slow)
	if !all[4].Ejected(6*time.Second) || ejected(all, 6*time.Second) != 1 {
		t.Errorf("%d are ejected", ejected(all, 6*time.Second))
	}
}

// When all are alike nobody is at fault, however bad it is.
func TestAllAlike(t *testing.T) {
	d := New(Config{Failures: 1000})
	all := peers(d, 10)
	for i := range 10 {
		now := time.Duration(i) * 6 * time.Second
		interval(d, all, now, always(0.5), evenly(time.Second))
		if got := ejected(all, now); got > 0 {
			t.Errorf("%d are ejected", got)
		}
	}
}

// Whatever happens, at most a third is out; of one or two nodes nobody is.
func TestAtMostAThird(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 4))
		d := New(Config{})
		n := 1 + random.IntN(12)
		all := peers(d, n)
		now := time.Duration(0)
		for range 5000 {
			now += time.Duration(random.Int64N(int64(20 * time.Millisecond)))
			d.Record(all[random.IntN(n)], now, random.IntN(4) == 0, time.Duration(random.IntN(100))*time.Millisecond)
			if got := ejected(all, now); got > n/3 {
				t.Fatalf("seed %d: %d of %d are out", seed, got, n)
			}
		}
		if n >= 3 && d.Ejections() == 0 {
			t.Errorf("seed %d: nobody of %d was ever out", seed, n)
		}
	}
}

func TestRemove(t *testing.T) {
	d := New(Config{})
	all := peers(d, 4)
	for range 5 {
		d.Record(all[0], 0, false, 0)
	}
	d.Remove(all[0])
	for range 5 {
		d.Record(all[1], 0, false, 0)
	}
	if !all[1].Ejected(0) {
		t.Error("who was removed counts among those who are out")
	}
}

func TestConcurrentUse(t *testing.T) {
	d := New(Config{Interval: time.Microsecond})
	all := peers(d, 6)
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := range 3000 {
				now := time.Duration(i) * time.Microsecond
				d.Record(all[(w+i)%6], now, i%3 > 0, time.Millisecond)
				all[i%6].Ejected(now)
			}
			p := d.Peer()
			d.Remove(p)
		})
	}
	wg.Wait()
}

func BenchmarkRecord(b *testing.B) {
	d := New(Config{})
	p := peers(d, 10)[0]
	start := time.Now()
	for b.Loop() {
		d.Record(p, time.Since(start), true, time.Millisecond)
	}
}
