package transport

import (
	"context"
	"sync"
	"time"
)

// CallContext is the context of a call being served. The channel and the timer
// are made only when somebody asks for them, so it costs its own memory alone;
// a Handler may put it into a value of its own and hand it to Incoming.Bind.
//
// Invariant: err is set once, and then done (if made) is closed and every
// function in after has been started.
type CallContext struct {
	due time.Time // zero: no deadline

	mu    sync.Mutex
	err   error
	done  chan struct{}
	timer *time.Timer
	after map[*func()]struct{}

	watched bool // by a function in after, now or before
}

// SetDeadline sets the deadline of a context that is fresh and belongs to no Incoming: one for a
// call that does not come over a connection. The zero time is no deadline.
func (c *CallContext) SetDeadline(due time.Time) { c.due = due }

// End ends a context that belongs to no Incoming. why is context.Canceled or
// context.DeadlineExceeded; the first reason counts.
func (c *CallContext) End(why error) { c.end(why) }

// Deadline implements context.Context.
func (c *CallContext) Deadline() (time.Time, bool) { return c.due, !c.due.IsZero() }

// Value implements context.Context; the transport has none.
func (c *CallContext) Value(any) any { return nil }

// Done implements context.Context.
func (c *CallContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
		c.watchLocked()
	}
	return c.done
}

// Err implements context.Context.
func (c *CallContext) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err == nil && !c.due.IsZero() && !time.Now().Before(c.due) {
		c.end(context.DeadlineExceeded)
		return c.Err()
	}
	return err
}

// AfterFunc lets contexts derived from this one end with it without a
// goroutine of their own; package context looks for it.
func (c *CallContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		c.watched = true
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
	c.watched = true
	key := &f
	c.after[key] = struct{}{}
	c.watchLocked()
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[key]
		delete(c.after, key)
		return waiting
	}
}

// Reset ends a context that its call needs no more. If nobody has ever waited
// for its end, it is as good as new afterwards, and reusable is true; else those
// who did may still ask why it ended.
func (c *CallContext) Reset() (reusable bool) {
	if c.done != nil || c.watched {
		c.end(context.Canceled)
		return false
	}
	c.due, c.err = time.Time{}, nil
	return true
}

// watchLocked starts the timer for the deadline, now that somebody waits.
func (c *CallContext) watchLocked() {
	if c.timer == nil && c.err == nil && !c.due.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.due), func() { c.end(context.DeadlineExceeded) })
	}
}

// end ends the context; the first reason counts.
func (c *CallContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	for f := range c.after {
		go (*f)()
	}
	c.after = nil
}
