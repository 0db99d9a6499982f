// Package admission bounds how many calls of one service run at a time, by a
// limit that it finds itself, and refuses the rest at once.
//
//	limiter := admission.New(admission.Config{}) // one for each service
//	class := limiter.Class()                     // one for each method, made once
//
//	ok, retryAfter := class.Acquire(admission.Default)
//	if !ok {
//		return exhausted(retryAfter)
//	}
//	defer func() { class.Release(time.Since(start), took, admission.Done) }()
//
// # How the limit is found
//
// Each class has a base, what its calls take without load. Every 20 ms the calls
// that ended are compared with the bases of their classes, and the limit becomes
// the limit times tolerance/ratio, at most the limit, plus its square root for
// growth: the gradient of Netflix's concurrency-limits (Gradient2). These things
// differ, each because the simulation in sim_test.go asked for it:
//
//   - The base is no long-term average, which under lasting overload follows the
//     queue, but what light windows show, and probes: a limiter that refuses calls
//     admits a quarter of its limit every 10 s until 32 calls have ended, at most
//     four times what calls take. Critical calls are spared.
//   - Ratios and bases are of each class, and means are geometric: a mix that
//     changes, or a few calls that take long, are not taken for load.
//   - Many calls whose callers had given up cut the limit by a tenth, as with
//     AIMD, for callers with less patience than the tolerance grants.
//   - After a cut, only calls that began since are looked at.
//
// Goodput in percent of capacity and p99 of critical calls at three times what
// the service can do; callers give up after 100 ms, in the last column after 18:
//
//	             8 slots of 10 ms   2 processors, 1 ms   8 slots, 18 ms
//	no limit          0    21 s          0    29 s          0
//	AIMD             99    99 ms       100    98 ms        93
//	Gradient2        80   123 ms        50   119 ms         0
//	this one        100    41 ms       100    15 ms        97
//
// AIMD keeps every call waiting for nearly as long as callers have patience. The
// price is paid at just what the service can do, where short queues that random
// arrivals make are refused: 97, 93 and 86 there, AIMD 98, 99 and 84.
//
// A tenth of the calls is critical, of which at most 0.7 % are refused at three
// times the load and 1.6 at four; 70 % are default, 20 % sheddable. AIMD and
// Gradient2 are short versions with their usual parameters, without priorities and
// without the sampling windows that Gradient2 may have around it.
//
// There is no queue. The calls that the limit admits beyond what runs are one
// already, and beyond 1.5 times the load at most 5 % are left to win. A queue was
// not simulated.
//
// # Limits
//
// One limiter serves what shares a resource. Services with resources of their own
// need their own, or one that is full makes the others refuse. Calls that only
// wait, such as long polls, need no limiter: they keep probes from ending. A
// method whose times have two far modes whose shares change looks loaded when the
// slow one grows; the base follows with the next light windows or probes. Below
// four calls at a time (Config.Min) the limit does not go.
//
// # Cost
//
// A call costs 7 ns and no allocation, 46 ns with two processors on one class
// all the time, and two looks at the clock, 60 ns in all, where its caller has no
// times yet. failsafe-go v0.9.8 (bench/failsafe_test.go) takes 200 ns and 1
// allocation for its limiter alone and 600 ns and 15 allocations for its executor,
// 13 % and 40 % of a call of 1.5 µs; 5 % were the bound for adopting it.
//
// # Concurrency and failures
//
// All methods may be called from any number of goroutines. The package has no
// clock, no randomness, and starts nothing: whoever releases a call when a window
// is over does the work, and nobody waits for it. An unknown priority is Default.
// A call that is never released takes a place for ever.
package admission
