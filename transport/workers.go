package transport

import (
	"sync"
	"sync/atomic"
)

// maxIdleWorkers is how many goroutines wait for the next call. More than
// these exist while calls run, and end after them.
const maxIdleWorkers = 256

// workers run calls on reused goroutines: a goroutine whose stack has grown to
// what a handler needs is worth keeping.
type workers struct {
	queue chan *Incoming // unbuffered: a send succeeds if a worker waits
	idle  atomic.Int32
	wg    sync.WaitGroup
}

func (w *workers) init() { w.queue = make(chan *Incoming) }

// run serves in on an idle worker, else on a new one. It never blocks.
func (w *workers) run(in *Incoming) {
	select {
	case w.queue <- in:
	default:
		w.wg.Add(1)
		go w.loop(in)
	}
}

func (w *workers) loop(in *Incoming) {
	defer w.wg.Done()
	for in != nil {
		in.conn.serve(in)
		if w.idle.Add(1) > maxIdleWorkers {
			w.idle.Add(-1)
			return
		}
		in = <-w.queue // nil once stopped
		w.idle.Add(-1)
	}
}

// stop ends all workers and waits for the handlers that still run. Nothing may
// call run any more.
func (w *workers) stop() {
	close(w.queue)
	w.wg.Wait()
}
