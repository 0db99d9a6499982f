package budget

import (
	"math/rand/v2"
	"testing"
	"time"
)

// drain withdraws until nothing is left and gives how often it could.
func drain(b *Budget, now time.Duration) (n int) {
	for b.Withdraw(now) {
		n++
	}
	return n
}

func TestWithoutCallsTheRateCounts(t *testing.T) {
	b := New(Config{})
	if got := drain(b, 0); got != 100 {
		t.Errorf("at first %d retries, want those of 10 s: 100", got)
	}
	if got := drain(b, time.Second); got != 10 {
		t.Errorf("after a second %d, want 10", got)
	}
	if got := drain(b, time.Hour); got != 100 {
		t.Errorf("after an hour %d, want those of 10 s: 100", got)
	}
}

func TestCallsFill(t *testing.T) {
	b := New(Config{})
	drain(b, 0)
	for range 1000 {
		b.Deposit(0, 1)
	}
	if got := drain(b, 0); got != 200 {
		t.Errorf("1000 calls allowed %d retries, want 200", got)
	}
}

// Calls of long ago allow nothing now.
func TestCallsAreForgotten(t *testing.T) {
	b := New(Config{})
	for range 100_000 {
		b.Deposit(0, 1)
	}
	if got := drain(b, 2*time.Second); got > 100 {
		t.Errorf("%d retries, 2 s after the calls", got)
	}
}

// However long nothing fails, only the calls of the last second allow retries.
func TestHealthIsNotHoarded(t *testing.T) {
	const perSecond = 2000
	for _, healthy := range []time.Duration{10 * time.Second, time.Minute, time.Hour} {
		b := New(Config{})
		for i := range int(healthy.Seconds()) * perSecond {
			b.Deposit(time.Duration(i)*time.Second/perSecond, 1)
		}
		recent, slot := 0.2*perSecond+100, 0.2*perSecond/slots
		if got := float64(drain(b, healthy)); got < recent-slot || got > recent+slot {
			t.Errorf("%.0f retries after %v of %d calls a second, want those of 1 s: %.0f", got, healthy, perSecond, recent)
		}
	}
}

// Over any run of calls and retries, retries are at most a fifth of the calls
// and the rate, besides what was there at first.
func TestBound(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		b := New(Config{})
		var now time.Duration
		calls, retries := 0, 0
		for range 20_000 {
			now += time.Duration(random.Int64N(int64(2 * time.Millisecond)))
			if random.IntN(2) == 0 {
				calls++
				b.Deposit(now, 1)
			}
			if b.Withdraw(now) {
				retries++
			}
		}
		if most := 0.2*float64(calls) + 10*now.Seconds() + 101; float64(retries) > most {
			t.Errorf("seed %d: %d retries for %d calls in %v, at most %.0f", seed, retries, calls, now, most)
		}
		if least := 0.2 * float64(calls); float64(retries)+1 < least {
			t.Errorf("seed %d: only %d retries for %d calls", seed, retries, calls)
		}
	}
}

func BenchmarkDeposit(b *testing.B) {
	budget := New(Config{})
	b.RunParallel(func(pb *testing.PB) {
		for now := time.Duration(0); pb.Next(); now += time.Microsecond {
			budget.Deposit(now, 1)
		}
	})
}

func BenchmarkWithdraw(b *testing.B) {
	budget := New(Config{})
	start := time.Now()
	for b.Loop() {
		budget.Deposit(time.Since(start), 1)
		budget.Withdraw(time.Since(start))
	}
}
