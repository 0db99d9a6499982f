// Package budget bounds how much load retries may add: a token bucket that
// every call fills a little and every retry takes from.
//
//	b := budget.New(budget.Config{})
//	b.Deposit(time.Since(start), 1)      // with each call
//	if b.Withdraw(time.Since(start))  // before each retry or hedge
//
// The idea is that of Finagle's RetryBudget: a share of the calls, so that many
// failures add at most that share to the load, and a small rate, so that a node
// with few calls can retry at all.
//
// failsafe-go v0.9.8 was measured before this was kept (bench/failsafe_test.go): a
// call through its retry policy costs 460 ns and 14 allocations, through its hedge
// policy 2.2 µs and 24, against 2 ns for Deposit. The bound was 5 % of a call, 75
// ns. Its circuit breaker alone takes 27 ns.
//
// # Concurrency
//
// All methods may be called from any number of goroutines. Deposit is two atomic
// operations, and takes a lock ten times in a window; Withdraw takes it each time. The package has no clock and starts nothing.
package budget

import (
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of Config.
const (
	DefaultRatio  = 0.2 // retries for each call
	DefaultRate   = 10  // retries for each second, besides
	DefaultRecent = time.Second
	DefaultSaved  = 10 * time.Second
)

// Config says how much is allowed. The zero value stands for the defaults.
type Config struct {
	Ratio  float64       // retries for each call; 0: DefaultRatio
	Rate   float64       // retries for each second, besides; 0: DefaultRate
	Recent time.Duration // what calls have brought and was not used is kept for so long; 0: DefaultRecent
	Saved  time.Duration // what Rate has brought is kept for so long; 0: DefaultSaved
}

// Budget is two token buckets: one that calls fill, and one that time fills. Make
// it with New.
//
// Invariant: over any span of time, Withdraw succeeds at most Ratio times the
// deposits in that span and Recent before it, and Rate times the length of the
// span and Saved.
//
// Recent is short, since trouble often follows a long time without: what was saved
// in it would come on top just then.
type Budget struct {
	cfg   Config
	calls atomic.Uint64 // deposits so far
	turn  atomic.Int64  // when the slot ends that deposits go to now, in nanoseconds

	mu     sync.Mutex
	begun  time.Duration  // when the slot began that deposits go to now
	seen   uint64         // calls at the last look
	open   float64        // left of what the slot's calls have brought
	kept   [slots]float64 // left of what those before have, the oldest first
	floor  float64        // left of what Rate has brought
	filled time.Duration  // up to when
}

// slots is how many parts Recent has: what is older goes part by part.
const slots = 10

// New gives a budget with what Rate brings in Saved.
func New(cfg Config) *Budget {
	if cfg.Ratio == 0 {
		cfg.Ratio = DefaultRatio
	}
	if cfg.Rate == 0 {
		cfg.Rate = DefaultRate
	}
	if cfg.Recent <= 0 {
		cfg.Recent = DefaultRecent
	}
	if cfg.Saved <= 0 {
		cfg.Saved = DefaultSaved
	}
	b := &Budget{cfg: cfg, floor: cfg.Rate * cfg.Saved.Seconds()}
	b.turn.Store(int64(b.slot()))
	return b
}

// slot is how long a slot lasts.
func (b *Budget) slot() time.Duration { return b.cfg.Recent / slots }

// Deposit notes so many calls. It closes the slot before if nobody else has: what
// was not asked about for an hour must not count as if it had come just now. now is
// the time since any fixed moment; it does not go back.
func (b *Budget) Deposit(now time.Duration, calls uint64) {
	if int64(now) >= b.turn.Load() && b.mu.TryLock() { // else somebody is about to
		b.advanceLocked(now)
		b.mu.Unlock()
	}
	b.calls.Add(calls)
}

// Withdraw takes the token of one retry, if there is one: of what calls have
// brought first, the oldest first.
func (b *Budget) Withdraw(now time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advanceLocked(now)
	if b.leftLocked() < 1 {
		return false
	}
	need := 1.0
	for _, part := range b.partsLocked() {
		used := min(*part, need)
		*part -= used
		need -= used
	}
	return true
}

// Left gives the tokens that are left.
func (b *Budget) Left(now time.Duration) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advanceLocked(now)
	return b.leftLocked()
}

func (b *Budget) leftLocked() (sum float64) {
	for _, part := range b.partsLocked() {
		sum += *part
	}
	return sum
}

// partsLocked gives what is left, in the order in which it is used.
func (b *Budget) partsLocked() (parts [slots + 2]*float64) {
	for i := range b.kept {
		parts[i] = &b.kept[i]
	}
	parts[slots], parts[slots+1] = &b.open, &b.floor
	return parts
}

// advanceLocked turns the calls since the last look into tokens of the slot that
// was open, moves on to the slot of now, and fills what time fills.
func (b *Budget) advanceLocked(now time.Duration) {
	calls := b.calls.Load()
	b.open += float64(calls-b.seen) * b.cfg.Ratio
	b.seen = calls
	if now > b.filled {
		b.floor = min(b.floor+(now-b.filled).Seconds()*b.cfg.Rate, b.cfg.Saved.Seconds()*b.cfg.Rate)
		b.filled = now
	}
	slot := b.slot()
	passed := int64((now - b.begun) / slot)
	if passed <= 0 {
		return
	}
	b.begun += time.Duration(passed) * slot
	b.turn.Store(int64(b.begun + slot))
	for range min(passed, slots+1) {
		copy(b.kept[:], b.kept[1:])
		b.kept[slots-1], b.open = b.open, 0
	}
}
