package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// cell is one combination that is measured.
type cell struct {
	peer    string
	size    int // bytes of the body
	callers int // goroutines that call, each waiting for its reply
}

// String names the cell in messages.
func (c cell) String() string {
	return fmt.Sprintf("%s, %s, %s", c.peer, sizeText(c.size), callersText(c.callers))
}

// sample is what one measurement of a cell gave.
type sample struct {
	round          int
	callsPerSecond float64
	p50, p99       time.Duration
	cpu            time.Duration // per call, both sides; 0: not known
	allocs         float64       // per call, both sides
}

// timing says how long a cell is measured.
type timing struct {
	warm, window time.Duration
}

// slowWindow bounds by how much a window is stretched for peers that take long
// to answer all callers once: a window shorter than that would see a burst, or
// none.
const slowWindow = 300 * time.Millisecond

// lost is how long callers may take to come back, beyond the window. After it
// their calls count as lost.
const lost = 20 * time.Second

// The phases of a measurement. A call counts if it ends while measuring.
const (
	warming = iota
	measuring
	stopped
)

// load is the callers of one cell at work.
type load struct {
	phase   atomic.Int32
	replied sync.WaitGroup // each caller, at its first reply or its failure
	ended   sync.WaitGroup
	workers []*worker
}

// worker is one caller. Its fields are read by others after it has ended.
type worker struct {
	calls uint64
	hist  histogram
	err   error
	_     [64]byte // keeps the counters of two workers out of one cache line
}

// measure loads p and reads the meters of the process. It warms up until the
// time is over and every caller has had a reply, so that connections are made,
// pools are filled and all callers are under way when the window begins.
func measure(ctx context.Context, p Peer, c cell, t timing) (sample, error) {
	l := &load{}
	every := sampling(c)
	for i := range c.callers {
		w := &worker{}
		l.workers = append(l.workers, w)
		body := bodyOf(c.size, i)
		call := p.Caller(body)
		l.replied.Add(1)
		l.ended.Go(func() { w.run(l, call, body, every, i) })
	}
	begin := time.Now()
	err := wait(ctx, t.warm)
	err = errors.Join(err, within(lost, "a first reply", &l.replied))
	window := max(t.window, min(2*time.Since(begin), slowWindow))
	before := readMeters()
	l.phase.Store(measuring)
	if err == nil {
		err = wait(ctx, window)
	}
	l.phase.Store(stopped)
	after := readMeters()
	if err = errors.Join(err, within(lost, "the last reply", &l.ended)); err != nil {
		return sample{}, err
	}
	return l.sum(before, after)
}

// sampling says that a caller times every so many-th call. Two readings of the
// clock cost as much as a tenth of the fastest calls.
func sampling(c cell) int {
	if c.callers == 1 || c.size >= 16<<10 {
		return 1
	}
	return 8
}

// run calls until it is told to stop.
func (w *worker) run(l *load, call func() ([]byte, error), body []byte, every, offset int) {
	first := sync.OnceFunc(l.replied.Done)
	defer first()
	for n := offset; ; n++ {
		var start time.Time
		timed := n%every == 0
		if timed {
			start = time.Now()
		}
		reply, err := call()
		var took time.Duration
		if timed {
			took = time.Since(start)
		}
		if err == nil {
			err = checkReply(reply, body)
		}
		if err != nil {
			w.err = err
			return
		}
		switch l.phase.Load() {
		case warming:
			first()
		case measuring:
			w.calls++
			if timed {
				w.hist.add(took)
			}
		default:
			return
		}
	}
}

// sum makes one sample of what the workers counted.
func (l *load) sum(before, after meters) (sample, error) {
	var hist histogram
	var calls uint64
	for _, w := range l.workers {
		if w.err != nil {
			return sample{}, w.err
		}
		calls += w.calls
		hist.merge(&w.hist)
	}
	if calls == 0 {
		return sample{}, errors.New("no call ended within the window: measure longer")
	}
	n := float64(calls)
	return sample{
		callsPerSecond: n / after.at.Sub(before.at).Seconds(),
		p50:            hist.quantile(0.50),
		p99:            hist.quantile(0.99),
		cpu:            time.Duration(float64(after.cpu-before.cpu) / n),
		allocs:         float64(after.mallocs-before.mallocs) / n,
	}, nil
}

// meters are what the process has used up to a moment.
type meters struct {
	at      time.Time
	cpu     time.Duration
	mallocs uint64
}

func readMeters() meters {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	cpu, _ := cpuTime()
	return meters{at: time.Now(), cpu: cpu, mallocs: m.Mallocs}
}

// bodyOf gives the body of a caller, which no other caller has at its ends.
func bodyOf(size, caller int) []byte {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i)
	}
	body[size-1] = byte(caller >> 8)
	body[0] = byte(caller)
	return body
}

// checkReply finds replies that are short or another caller's, at a cost that
// does not show.
func checkReply(reply, body []byte) error {
	last := len(body) - 1
	if len(reply) != len(body) || reply[0] != body[0] || reply[last] != body[last] {
		return fmt.Errorf("wrong reply: %d bytes %.8x… for %d bytes %.8x…", len(reply), reply, len(body), body)
	}
	return nil
}

// wait is a pause that ctx cuts short.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// within waits for wg, but not for ever.
func within(d time.Duration, what string, wg *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(d):
		return fmt.Errorf("callers wait for %s since %v", what, d)
	}
}
