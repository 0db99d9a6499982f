package transport

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCallCtxWithoutDeadline(t *testing.T) {
	c := &CallContext{}
	_, ok := c.Deadline()
	same(t, "has a deadline", ok, false)
	same(t, "error", c.Err(), nil)
	same(t, "value", c.Value("key"), nil)
	done := c.Done()
	same(t, "channel", c.Done(), done)
	select {
	case <-done:
		t.Error("done before its end")
	default:
	}
	c.end(context.Canceled)
	receive(t, "end", done)
	same(t, "error", c.Err(), context.Canceled)
	c.end(context.DeadlineExceeded)
	same(t, "first reason", c.Err(), context.Canceled)
	same(t, "cause", context.Cause(c), context.Canceled)
}

// The order of asking and ending does not matter.
func TestCallCtxEndedBeforeAsked(t *testing.T) {
	c := &CallContext{due: time.Now().Add(time.Hour)}
	c.end(context.Canceled)
	receive(t, "end", c.Done())
	ran := make(chan struct{})
	stop := c.AfterFunc(func() { close(ran) })
	receive(t, "function", ran)
	same(t, "stopped", stop(), false)
	if c.timer != nil {
		t.Error("an ended context has a timer")
	}
}

// The deadline ends the context whoever asks in whatever way, to the moment.
// Time is virtual.
func TestCallCtxDeadline(t *testing.T) {
	for name, ask := range map[string]func(*CallContext) error{
		"Done":   func(c *CallContext) error { <-c.Done(); return c.Err() },
		"select": func(c *CallContext) error { _ = c.Err(); <-c.Done(); return context.Cause(c) },
		"AfterFunc": func(c *CallContext) error {
			ch := make(chan error)
			c.AfterFunc(func() { ch <- c.Err() })
			return <-ch
		},
		"child": func(c *CallContext) error {
			child, cancel := context.WithCancel(c)
			defer cancel()
			<-child.Done()
			return child.Err()
		},
		"child with a deadline of its own": func(c *CallContext) error {
			child, cancel := context.WithTimeout(c, time.Hour)
			defer cancel()
			<-child.Done()
			return child.Err()
		},
		"Err, nobody waiting": func(c *CallContext) error {
			<-time.After(time.Second - time.Nanosecond) // virtual
			if err := c.Err(); err != nil {
				return fmt.Errorf("early: %w", err)
			}
			<-time.After(time.Nanosecond)
			return c.Err()
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			c := &CallContext{due: start.Add(time.Second)}
			due, ok := c.Deadline()
			if !ok || !due.Equal(c.due) {
				t.Errorf("%s: deadline %v, %v", name, due, ok)
			}
			same(t, name, ask(c), context.DeadlineExceeded)
			same(t, name+" after", time.Since(start), time.Second)
			same(t, name+" later", c.Err(), context.DeadlineExceeded)
		})
	}
}

func TestCallCtxAfterFunc(t *testing.T) {
	c := &CallContext{}
	var ran atomic.Int32
	var wg sync.WaitGroup
	wg.Add(3)
	f := func() { ran.Add(1); wg.Done() }
	stop := c.AfterFunc(func() { t.Error("a stopped function ran") })
	for range 3 {
		c.AfterFunc(f) // the same function counts each time
	}
	same(t, "stopped", stop(), true)
	same(t, "stopped again", stop(), false)
	late := c.AfterFunc(func() {})
	c.end(context.Canceled)
	wg.Wait()
	same(t, "ran", ran.Load(), 3)
	same(t, "stopped after the end", late(), false)
}

// Contexts derived from a call's cost no goroutine, and end with it.
func TestCallCtxChildrenCostNoGoroutine(t *testing.T) {
	c := &CallContext{due: time.Now().Add(time.Hour)}
	before := runtime.NumGoroutine()
	var children [50]context.Context
	for i := range children {
		var cancel context.CancelFunc
		children[i], cancel = context.WithCancel(c)
		defer cancel()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines for %d children", n-before, len(children))
	}
	same(t, "watchers", len(c.after), len(children))
	_, cancel := context.WithCancel(c)
	cancel()
	same(t, "watchers after a child's cancel", len(c.after), len(children))
	c.end(context.Canceled)
	for _, child := range children {
		receive(t, "end of a child", child.Done())
		same(t, "child", child.Err(), context.Canceled)
	}
}

// Nothing is made until somebody asks: a context is one allocation.
func TestCallCtxAllocations(t *testing.T) {
	var c *CallContext
	due := time.Now().Add(time.Hour)
	n := testing.AllocsPerRun(100, func() {
		c = &CallContext{due: due}
		_ = c.Err()
		c.end(context.Canceled)
	})
	same(t, "allocations", n, 1)
}

// Everything at once, for the race detector, and nobody is left waiting.
func TestCallCtxConcurrently(t *testing.T) {
	for round := range 200 {
		c := &CallContext{}
		if round%2 == 0 {
			c.due = time.Now().Add(time.Duration(round) * time.Microsecond)
		}
		var wg sync.WaitGroup
		var ran atomic.Int32
		const each = 4
		wg.Add(each)
		for range each {
			wg.Go(func() { <-c.Done() })
			wg.Go(func() { c.AfterFunc(func() { ran.Add(1); wg.Done() }) })
			wg.Go(func() {
				child, cancel := context.WithCancel(c)
				<-child.Done()
				cancel()
			})
			wg.Go(func() { c.AfterFunc(func() {})() })
			wg.Go(func() { _ = c.Err() })
		}
		wg.Go(func() { c.end(context.Canceled) })
		wg.Wait()
		same(t, "functions run", ran.Load(), each)
	}
}
