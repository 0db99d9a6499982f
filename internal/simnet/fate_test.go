package simnet

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"
)

func TestDistributions(t *testing.T) {
	const draws = 100_000
	ms := func(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }
	for _, c := range []struct {
		name            string
		dist            Dist
		mean, deviation time.Duration // negative: not looked at
		low, high       time.Duration
	}{
		{"none", Dist{}, 0, 0, 0, 0},
		{"constant", Constant(ms(5)), ms(5), 0, ms(5), ms(5)},
		{"negative", Constant(-ms(5)), 0, 0, 0, 0},
		{"too large", Constant(time.Hour), maxDelay, 0, maxDelay, maxDelay},
		{"uniform", Uniform(ms(10), ms(30)), ms(20), ms(20 / math.Sqrt(12)), ms(10), ms(30)},
		{"uniform, reversed", Uniform(ms(30), ms(10)), ms(30), 0, ms(30), ms(30)},
		{"normal", Normal(ms(50), ms(5)), ms(50), ms(5), ms(20), ms(80)},
		{"normal, cut off", Normal(0, ms(10)), ms(10 / math.Sqrt(2*math.Pi)), -1, 0, ms(60)},
		{"Pareto", Pareto(ms(10), 3), ms(15), -1, ms(10), maxDelay}, // mean: low*alpha/(alpha-1)
		{"Pareto, heavy", Pareto(ms(10), 0.01), -1, -1, ms(10), maxDelay},
		{"Pareto of nothing", Pareto(0, 2), 0, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sum, squares float64
			for i := range uint64(draws) {
				d := c.dist.Draw(mix(i))
				if d < c.low || d > c.high {
					t.Fatalf("drew %v; want %v to %v", d, c.low, c.high)
				}
				sum += float64(d)
				squares += float64(d) * float64(d)
			}
			mean := sum / draws
			near := func(what string, got float64, want time.Duration) {
				if want >= 0 && math.Abs(got-float64(want)) > 0.02*float64(want)+1 {
					t.Errorf("%s %v, want %v", what, time.Duration(got), want)
				}
			}
			near("mean", mean, c.mean)
			near("deviation", math.Sqrt(max(0, squares/draws-mean*mean)), c.deviation)
		})
	}
}

// What one number decides says nothing of what another does: neither the next
// packet, nor another kind, nor another link.
func TestRollsAreIndependent(t *testing.T) {
	const n = 1 << 16
	link, other := mix(1), mix(2)
	for _, c := range []struct {
		name string
		a, b func(seq uint64) uint64
	}{
		{"next", func(s uint64) uint64 { return roll(link, s, rollLoss) }, func(s uint64) uint64 { return roll(link, s+1, rollLoss) }},
		{"32 later", func(s uint64) uint64 { return roll(link, s, rollLoss) }, func(s uint64) uint64 { return roll(link, s+32, rollLoss) }},
		{"another kind", func(s uint64) uint64 { return roll(link, s, rollLoss) }, func(s uint64) uint64 { return roll(link, s, rollDouble) }},
		{"another link", func(s uint64) uint64 { return roll(link, s, rollLoss) }, func(s uint64) uint64 { return roll(other, s, rollLoss) }},
		{"opening", func(s uint64) uint64 { return roll(link, s, rollLoss) }, func(s uint64) uint64 { return roll(link, s, rollOpenLoss) }},
	} {
		both := 0
		for s := range uint64(n) {
			if c.a(s) == c.b(s) {
				t.Fatalf("%s: the same number for %d", c.name, s)
			}
			if chance(0.25, c.a(s)) && chance(0.25, c.b(s)) {
				both++
			}
		}
		if got, want := float64(both), n/16.0; math.Abs(got-want) > 5*math.Sqrt(want) {
			t.Errorf("%s: both in %v of %d, want about %v", c.name, got, n, want)
		}
	}
}

func TestRates(t *testing.T) {
	cfg := Config{Seed: 7, Link: Link{Latency: Constant(oneWay), Loss: 0.1, Duplicate: 0.2, Reorder: 0.3, Jitter: 40 * time.Millisecond}}
	inWorld(t, cfg, func(w *world) {
		const sent = packetRoom / 2
		p, q := w.packets(w.a), w.packets(w.b)
		start := time.Now()
		for i := range sent {
			w.post(p, q, fmt.Sprint(i))
		}
		texts, at := w.drain(q)
		seen, doubled, late := map[string]int{}, 0, 0
		for i, text := range texts {
			if seen[text]++; seen[text] > 1 {
				doubled++
				continue
			}
			if d := at[i].Sub(start) - oneWay; d < 0 || d > 40*time.Millisecond {
				w.Fatalf("%v late", d)
			} else if d > 0 {
				late++
			}
		}
		arrived := len(seen)
		for _, r := range []struct {
			what       string
			got, of, p float64
		}{
			{"lost", float64(sent - arrived), sent, 0.1},
			{"doubled", float64(doubled), float64(arrived), 0.2},
			{"late", float64(late), float64(arrived), 0.3},
		} {
			want := r.of * r.p
			if math.Abs(r.got-want) > 4*math.Sqrt(want*(1-r.p)) {
				w.Errorf("%s: %v of %v, want about %.0f", r.what, r.got, r.of, want)
			}
		}
	})
}

// A stream loses nothing and keeps its order, whatever the link does; a loss costs
// a retransmission, and all behind it wait for that.
func TestStreamOverLoss(t *testing.T) {
	cfg := Config{Seed: 3, Link: Link{Latency: Constant(oneWay), Loss: 0.3, Reorder: 0.5, Jitter: time.Second, Duplicate: 0.5}}
	inWorld(t, cfg, func(w *world) {
		near, far := w.connect(w.a, w.b)
		const segments = 500
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range segments {
				w.send(near, fmt.Sprintf("%04d", i))
				pass(2 * time.Second)
			}
		})
		late, start := 0, time.Now()
		for i := range segments {
			b := make([]byte, 4)
			if _, err := far.Read(b); err != nil || string(b) != fmt.Sprintf("%04d", i) {
				w.Fatalf("%q, %v", b, err)
			}
			if time.Since(start)%(2*time.Second) != oneWay {
				late++
			}
		}
		wg.Wait()
		if want := 0.3 * segments; math.Abs(float64(late)-want) > 4*math.Sqrt(want) {
			w.Errorf("%d late of %d, want about %.0f", late, segments, want)
		}
	})
}
