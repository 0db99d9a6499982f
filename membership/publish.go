package membership

import (
	"context"
	"slices"
	"time"
)

// Changes come in bursts: a snapshot waits until none has come for
// publishQuiet, but no longer than publishMost. What a snapshot costs, with the
// table that is made of it, grows with the members; so do the waits, from
// publishMany members on: by that, a join of hundreds takes a bounded part of each
// node's time. With 1,000 members they are 100 and 500 ms, where the news itself
// takes seconds.
const (
	publishQuiet = 5 * time.Millisecond
	publishMost  = 25 * time.Millisecond
	publishMany  = 50
)

// burst gives how long a snapshot of so many members waits for quiet, and at most.
func burst(members int) (quiet, most time.Duration) {
	scale := max(1, float64(members)/publishMany)
	return time.Duration(float64(publishQuiet) * scale), time.Duration(float64(publishMost) * scale)
}

// publisher is how the callbacks wake the goroutine that makes snapshots.
type publisher struct {
	pokes   chan struct{}
	flushes chan chan<- struct{}
}

func newPublisher() publisher {
	return publisher{pokes: make(chan struct{}, 1), flushes: make(chan chan<- struct{})}
}

// poke says that the roster has changed. It never waits.
func (p *publisher) poke() {
	select {
	case p.pokes <- struct{}{}:
	default:
	}
}

// flush returns when a snapshot of the roster as it is now is published; OnChange
// may yet be on its way.
func (c *Cluster) flush(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case c.publish.flushes <- done:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return ErrNotRunning
	}
	select {
	case <-done:
		return nil
	case <-c.ctx.Done():
		return ErrNotRunning
	}
}

// Sync returns when what this node has heard of the members so far is in Snapshot;
// OnChange may yet be on its way. Errors: ErrNotRunning, and that of ctx.
func (c *Cluster) Sync(ctx context.Context) error { return c.flush(ctx) }

func (c *Cluster) publishLoop() {
	for {
		var waiting []chan<- struct{}
		select {
		case <-c.publish.pokes:
			waiting = c.gather()
		case w := <-c.publish.flushes:
			waiting = append(waiting, w)
		case <-c.ctx.Done():
			return
		}
		snap := c.refresh()
		for _, w := range waiting {
			close(w)
		}
		if snap != nil && c.cfg.OnChange != nil {
			c.cfg.OnChange(snap)
		}
	}
}

// gather waits for the end of a burst of changes, or for somebody who cannot
// wait, whom it returns.
func (c *Cluster) gather() []chan<- struct{} {
	pause, longest := burst(len(c.snap.Load().Members))
	quiet, most := time.NewTimer(pause), time.NewTimer(longest)
	defer quiet.Stop()
	defer most.Stop()
	for {
		select {
		case <-c.publish.pokes:
			quiet.Reset(pause)
		case w := <-c.publish.flushes:
			return []chan<- struct{}{w}
		case <-quiet.C:
			return nil
		case <-most.C:
			return nil
		case <-c.ctx.Done():
			return nil
		}
	}
}

// refresh publishes the roster if it differs from the last snapshot, and gives
// the new one or nil.
func (c *Cluster) refresh() *Snapshot {
	old := c.snap.Load()
	members, digest := c.roster.snapshot()
	if old.Version > 0 && slices.Equal(old.Members, members) {
		return nil
	}
	snap := &Snapshot{Version: old.Version + 1, Self: c.cfg.Name, Members: members, Digest: digest}
	c.snap.Store(snap)
	return snap
}
