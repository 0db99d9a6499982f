package simtime

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultStall is how long virtual time may stand still.
const DefaultStall = time.Minute

// Stalled tells of virtual time that stands still.
type Stalled struct {
	For    time.Duration // real time
	At     time.Duration // virtual time since the start
	Stacks []byte        // of all goroutines
}

// Error implements error.
func (s *Stalled) Error() string {
	return fmt.Sprintf("virtual time has stood still at %v for %v: some goroutine waits for what a bubble does not know, "+
		"such as a real socket, or a mutex held over a wait", s.At, s.For.Round(time.Second))
}

// Watchdog looks at a run from outside.
//
// Invariant: at is the latest virtual time that the run was seen at; stalled is
// called at most once.
type Watchdog struct {
	limit   time.Duration
	stalled func(*Stalled)
	at      atomic.Int64
	end     chan struct{}
	done    sync.WaitGroup
}

// Watch starts a watchdog; call it outside of the bubble. stalled is called from
// its goroutine when virtual time has stood still for limit of real time; zero
// means DefaultStall.
func Watch(limit time.Duration, stalled func(*Stalled)) *Watchdog {
	if limit <= 0 {
		limit = DefaultStall
	}
	w := &Watchdog{limit: limit, stalled: stalled, end: make(chan struct{})}
	w.done.Go(w.look)
	return w
}

// At is the latest virtual time since the start that the run was seen at. It may
// be called from anywhere.
func (w *Watchdog) At() time.Duration { return time.Duration(w.at.Load()) }

// Stop ends the watchdog; call it outside of the bubble.
func (w *Watchdog) Stop() {
	close(w.end)
	w.done.Wait()
}

func (w *Watchdog) look() {
	const looks = 20 // per limit
	ticker := time.NewTicker(max(w.limit/looks, time.Millisecond))
	defer ticker.Stop()
	last, since := int64(-1), time.Now()
	for {
		select {
		case <-w.end:
			return
		case <-ticker.C:
		}
		if at := w.at.Load(); at != last {
			last, since = at, time.Now()
			continue
		}
		if took := time.Since(since); took >= w.limit {
			w.stalled(&Stalled{For: took, At: w.At(), Stacks: stacks()})
			return
		}
	}
}

func stacks() []byte {
	buf := make([]byte, 4<<20)
	return buf[:runtime.Stack(buf, true)]
}

// pulsePeriod is how often the run shows the watchdog its time.
const pulsePeriod = 50 * time.Millisecond

// Pulse shows the watchdog the time of the run, until the function that it gives
// is called. Call it inside the bubble.
func (w *Watchdog) Pulse() (stop func()) {
	start := time.Now()
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(pulsePeriod)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				w.at.Store(int64(time.Since(start)))
			case <-end:
				return
			}
		}
	})
	return func() {
		close(end)
		done.Wait()
	}
}
