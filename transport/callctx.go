package transport

import (
	"context"
	"sync"
	"time"
)

// callCtx is the context of a call being served. It costs one allocation: the
// channel and the timer are made only when somebody asks for them.
//
// Invariant: err is set once, and then done (if made) is closed and every
// function in after has been started.
type callCtx struct {
	due time.Time // zero: no deadline

	mu    sync.Mutex
	err   error
	done  chan struct{}
	timer *time.Timer
	after map[*func()]struct{}
}

// Deadline implements context.Context.
func (c *callCtx) Deadline() (time.Time, bool) { return c.due, !c.due.IsZero() }

// Value implements context.Context; the transport has none.
func (c *callCtx) Value(any) any { return nil }

// Done implements context.Context.
func (c *callCtx) Done() <-chan struct{} {
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
func (c *callCtx) Err() error {
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
func (c *callCtx) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
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

// watchLocked starts the timer for the deadline, now that somebody waits.
func (c *callCtx) watchLocked() {
	if c.timer == nil && c.err == nil && !c.due.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.due), func() { c.end(context.DeadlineExceeded) })
	}
}

// end ends the context; the first reason counts.
func (c *callCtx) end(err error) {
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
