package membership

import (
	"context"
	"slices"
	"time"
)

// Changes come in bursts: a snapshot waits until none has come for
// publishQuiet, but no longer than publishMost.
const (
	publishQuiet = 5 * time.Millisecond
	publishMost  = 25 * time.Millisecond
)

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
	quiet, most := time.NewTimer(publishQuiet), time.NewTimer(publishMost)
	defer quiet.Stop()
	defer most.Stop()
	for {
		select {
		case <-c.publish.pokes:
			quiet.Reset(publishQuiet)
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
	members := c.roster.snapshot()
	if old.Version > 0 && slices.Equal(old.Members, members) {
		return nil
	}
	snap := &Snapshot{Version: old.Version + 1, Self: c.cfg.Name, Members: members}
	c.snap.Store(snap)
	return snap
}
