package transport

import (
	"context"
	"sync"
)

// watching has a stream end with a context. A stream may end in many ways, and
// while it begins; however it does, the context must not keep it: contexts may live
// as long as their process.
//
// Invariant: once stop was called, the context knows nothing of the stream.
type watching struct {
	mu    sync.Mutex
	unset func() bool // nil: nothing is watched
	over  bool
}

// start makes f run, on a goroutine of its own, when ctx ends before stop is called.
// It is called at most once.
func (w *watching) start(ctx context.Context, f func()) {
	unset := context.AfterFunc(ctx, f)
	w.mu.Lock()
	over := w.over
	if !over {
		w.unset = unset
	}
	w.mu.Unlock()
	if over {
		unset()
	}
}

// stop ends it. A second call does nothing.
func (w *watching) stop() {
	w.mu.Lock()
	unset := w.unset
	w.unset, w.over = nil, true
	w.mu.Unlock()
	if unset != nil {
		unset()
	}
}
