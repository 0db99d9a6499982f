package exact

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errAbandoned comes with the error of a run that could not be ended: a program
// that computes without ever reading its clock goes on in this process. There,
// it keeps the garbage collector waiting, so the process had better end.
var errAbandoned = errors.New("exact: the program doesn't look at its clock and can't be ended")

// patience is how long a stopped program may take to look at its clock.
const patience = 10 * time.Second

// watched runs run, the only user of c, and stops it when ctx ends or when c
// stands still for as long as limit, unless that is negative.
func watched(ctx context.Context, c *clock, limit time.Duration, run func() (uint64, error)) (uint64, error) {
	type outcome struct {
		memory uint64
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		memory, err := run()
		done <- outcome{memory, err}
	}()
	stuck := make(<-chan time.Time) // never
	if limit > 0 {
		t := time.NewTicker(limit)
		defer t.Stop()
		stuck = t.C
	}
	for moves := c.moves.Load(); ; {
		var why error
		select {
		case o := <-done:
			return o.memory, o.err
		case <-ctx.Done():
			why = ctx.Err()
		case <-stuck:
			// Between two ticks, so that up to twice the limit may pass.
			if now := c.moves.Load(); now != moves {
				moves = now
				continue
			}
			why = fmt.Errorf("%w since %v of real time", ErrStuck, limit)
		}
		c.stop(why)
		select {
		case o := <-done:
			if errors.Is(o.err, why) {
				return o.memory, why // without a stack trace of WebAssembly
			}
			return o.memory, o.err
		case <-time.After(patience):
			return 0, fmt.Errorf("%w; %w", why, errAbandoned)
		}
	}
}
