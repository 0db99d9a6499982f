package outbox

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/meshnode/meshnode/internal/redo"
	"github.com/meshnode/meshnode/rpc"
)

// status is where a call stands.
type status uint8

const (
	writing status = iota // not durable yet
	pending               // to be made, or under way
	done                  // executed
	dead                  // given up
)

// entry is a call that the box knows. Its request is in the log, at pos.
//
// Invariant: all but the fields that never change is under Box.mu. A pending entry
// is in its lane, others are in none.
type entry struct {
	seq      uint64 // in the order of their taking
	id, key  string
	method   string
	hash     hash
	enqueued int64 // Unix milliseconds, as all times here

	pos     redo.Position // of its callRecord
	expires int64

	status   status
	doubt    bool // an attempt may have executed it: nobody heard how it ended
	canceled bool // by hand; while it is pending, once the attempt under way has ended
	refusing bool // the latest attempt ended with a GiveUpLater

	attempts  uint64 // made since the box was opened
	lastErr   string // of the latest attempt
	refusedAt int64  // when an attempt first ended with a GiveUpLater; 0: none has

	ended   int64
	code    rpc.Code // dead
	message string   // dead
	reply   []byte   // done

	settled chan struct{} // closed when it ends, or is known to be durable; nil: nobody waits
}

// wait gives what is closed when the entry's status changes. The caller holds
// Box.mu.
func (e *entry) waitLocked() <-chan struct{} {
	if e.settled == nil {
		e.settled = make(chan struct{})
	}
	return e.settled
}

// settleLocked wakes who waits.
func (e *entry) settleLocked() {
	if e.settled != nil {
		close(e.settled)
		e.settled = nil
	}
}

// lane is the calls of one key that have not ended, in the order of their taking:
// the first is made, the others wait.
//
// Invariant: a lane is in Box.lanes while it has calls. It is in one place at a
// time: in ready, in the heap of those that pause, or with a worker (by).
type lane struct {
	key   string
	calls []*entry
	tries int       // of the first call, that have failed in a row
	until time.Time // pauses until then
	index int       // in the heap; -1: not there
	by    *worker   // makes the first call; nil: nobody does
}

// worker makes calls, one at a time. Its context ends the attempt that it makes.
//
// Invariant: ctx is a child of Box.ctx, and has not ended when an attempt begins. Both
// fields are under Box.mu.
type worker struct {
	ctx  context.Context
	stop context.CancelFunc
}

// renew gives the worker a context, which ends with the box.
func (w *worker) renew(ctx context.Context) { w.ctx, w.stop = context.WithCancel(ctx) }

// pausing is a heap of lanes by until.
type pausing []*lane

func (p pausing) Len() int           { return len(p) }
func (p pausing) Less(i, j int) bool { return p[i].until.Before(p[j].until) }
func (p pausing) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].index, p[j].index = i, j
}

func (p *pausing) Push(x any) {
	l := x.(*lane)
	l.index = len(*p)
	*p = append(*p, l)
}

func (p *pausing) Pop() any {
	old := *p
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*p = old[:len(old)-1]
	l.index = -1
	return l
}

// schedule is which lanes may go on.
//
// Invariant: workers are those that run Box.work, at most the configured
// concurrency; while running and a lane is ready, there is one for it or they are
// that many. All of it is under Box.mu.
type schedule struct {
	ready   []*lane // first in, first out
	paused  pausing
	workers map[*worker]bool
	idle    []*worker   // have run before
	alarm   *time.Timer // for the first of paused; nil: not needed yet
	running bool        // calls are made: the node has started, and does not leave
}

// pushLocked adds a call to its key's lane.
func (b *Box) pushLocked(e *entry) {
	l := b.lanes[e.key]
	if l == nil {
		l = &lane{key: e.key, index: -1}
		b.lanes[e.key] = l
	}
	l.calls = append(l.calls, e)
	b.pendingCalls++
	if len(l.calls) == 1 {
		b.readyLocked(l)
	}
}

// popLocked takes the first call of a lane off, which is in no place now, and has
// the next one made.
func (b *Box) popLocked(l *lane) {
	l.calls[0] = nil
	l.calls = l.calls[1:]
	l.tries = 0
	b.pendingCalls--
	if len(l.calls) == 0 {
		delete(b.lanes, l.key)
		return
	}
	b.readyLocked(l)
}

// removeLocked takes a call off its lane that no worker makes.
func (b *Box) removeLocked(e *entry) {
	l, s := b.lanes[e.key], &b.schedule
	i := slices.Index(l.calls, e)
	if i > 0 {
		l.calls = slices.Delete(l.calls, i, i+1)
		b.pendingCalls--
		return
	}
	if l.index >= 0 {
		heap.Remove(&s.paused, l.index)
	} else if i := slices.Index(s.ready, l); i >= 0 {
		s.ready = slices.Delete(s.ready, i, i+1)
	}
	b.popLocked(l)
}

func (b *Box) readyLocked(l *lane) {
	b.schedule.ready = append(b.schedule.ready, l)
	b.hireLocked()
}

// hireLocked starts a worker if one is missing.
func (b *Box) hireLocked() {
	s := &b.schedule
	if !s.running || len(s.ready) == 0 || len(s.workers) >= b.cfg.Concurrency {
		return
	}
	var w *worker
	if n := len(s.idle) - 1; n >= 0 {
		w, s.idle = s.idle[n], s.idle[:n]
	} else {
		w = &worker{}
		w.renew(b.ctx)
	}
	s.workers[w] = true
	b.tasks.Go(func() { b.work(w) })
}

// runLocked has calls made, or no more begin.
func (b *Box) runLocked(on bool) {
	s := &b.schedule
	if s.running = on && !b.closed; !s.running {
		return
	}
	for range s.ready {
		b.hireLocked()
	}
	b.alarmLocked()
}

// pauseLocked has a lane wait.
func (b *Box) pauseLocked(l *lane, d time.Duration) {
	l.until = time.Now().Add(d)
	heap.Push(&b.schedule.paused, l)
	b.alarmLocked()
}

// alarmLocked sets the alarm for the first lane that pauses.
func (b *Box) alarmLocked() {
	s := &b.schedule
	if len(s.paused) == 0 || !s.running {
		return
	}
	d := max(time.Until(s.paused[0].until), 0)
	if s.alarm == nil {
		s.alarm = time.AfterFunc(d, b.resume)
		return
	}
	s.alarm.Reset(d)
}

// resume makes the lanes ready that have paused long enough.
func (b *Box) resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.schedule
	for now := time.Now(); len(s.paused) > 0 && !s.paused[0].until.After(now); {
		b.readyLocked(heap.Pop(&s.paused).(*lane))
	}
	b.alarmLocked()
}

// hurry makes all lanes ready that pause: what they wait for may have come.
func (b *Box) hurry() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := &b.schedule; len(s.paused) > 0; {
		l := heap.Pop(&s.paused).(*lane)
		l.tries = 0
		b.readyLocked(l)
	}
}
