package exact

import (
	"sync/atomic"
	"time"
)

// yieldTime is what giving way costs. It ends loops that give way until a
// certain time.
const yieldTime = time.Microsecond

// clock is the time of a program. It moves when the program sleeps, that is,
// when all its goroutines wait; computing takes no time.
//
// Only the program calls it, from one goroutine. The others read moves and set
// stopped, for which the next reading of the clock ends the program.
type clock struct {
	now     int64 // ns since 1970, of the wall clock and of the monotonic one
	moves   atomic.Uint64
	stopped atomic.Pointer[error]
}

func newClock(start time.Time) *clock { return &clock{now: start.UnixNano()} }

// check panics with the error that was given to stop; wazero makes it the error
// of the call. Go's scheduler reads the clock whenever there are timers, so that
// a program that never comes here computes without end.
func (c *clock) check() {
	if err := c.stopped.Load(); err != nil {
		panic(*err)
	}
}

// stop ends the program with err. The first error counts.
func (c *clock) stop(err error) { c.stopped.CompareAndSwap(nil, &err) }

func (c *clock) walltime() (sec int64, nsec int32) {
	c.check()
	return c.now / int64(time.Second), int32(c.now % int64(time.Second))
}

// nanotime must not give 0, which Go takes for a broken clock.
func (c *clock) nanotime() int64 {
	c.check()
	return c.now
}

func (c *clock) sleep(ns int64) {
	c.check()
	if ns > 0 {
		c.now += ns
		c.moves.Add(1)
	}
}

func (c *clock) yield() { c.sleep(int64(yieldTime)) }
