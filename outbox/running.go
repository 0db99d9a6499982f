package outbox

import (
	"context"
	"sync"
)

// running names a durable call that a handler runs.
type running struct {
	partition uint32
	id        string
}

// runningCalls keeps two deliveries of one call from running side by side, and notes
// which calls run.
//
// Invariant: a call is in the map while it runs; what is there is closed when it
// does not any more.
type runningCalls struct {
	file     *inflight     // nil: the box is open to be read only
	suspects chan struct{} // holds a token while a call runs with which the process has died before

	mu    sync.Mutex
	calls map[running]chan struct{}
}

// enter waits until the call does not run, and marks it as running until release.
func (r *runningCalls) enter(ctx context.Context, call running) (release func(), err error) {
	for {
		r.mu.Lock()
		busy := r.calls[call]
		if busy == nil {
			if r.calls == nil {
				r.calls = map[running]chan struct{}{}
			}
			mine := make(chan struct{})
			r.calls[call] = mine
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				delete(r.calls, call)
				r.mu.Unlock()
				close(mine)
			}, nil
		}
		r.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
