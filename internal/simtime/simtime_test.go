package simtime_test

import (
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/simtime"
)

func TestRun(t *testing.T) {
	real := time.Now()
	var took time.Duration
	if err := simtime.Run(func() {
		start := time.Now()
		time.Sleep(24 * time.Hour)
		took = time.Since(start)
	}); err != nil {
		t.Fatal(err)
	}
	if took != 24*time.Hour || time.Since(real) > time.Hour {
		t.Errorf("a day took %v, and really %v", took, time.Since(real))
	}
}

func TestPanicsAndDeadlocksAreErrors(t *testing.T) {
	if err := simtime.Run(func() { panic("oh no") }); err == nil || !strings.Contains(err.Error(), "oh no") {
		t.Errorf("got %v", err)
	}
	if err := simtime.Run(func() { <-make(chan int) }); err == nil || !strings.Contains(err.Error(), "deadlock") {
		t.Errorf("got %v", err)
	}
}

// A real wait stops virtual time, and the watchdog says so.
func TestStall(t *testing.T) {
	release, seen := make(chan struct{}), make(chan *simtime.Stalled, 1)
	w := simtime.Watch(200*time.Millisecond, func(s *simtime.Stalled) {
		seen <- s
		close(release)
	})
	defer w.Stop()
	err := simtime.Run(func() {
		defer w.Pulse()()
		time.Sleep(time.Second)
		<-release // made outside: not durably blocked
	})
	if err != nil {
		t.Fatal(err)
	}
	s := <-seen
	if s.At < 900*time.Millisecond || s.At > time.Second || !strings.Contains(string(s.Stacks), "TestStall") {
		t.Errorf("at %v: %v", s.At, s)
	}
}
