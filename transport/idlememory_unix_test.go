//go:build unix

package transport

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"time"
)

// idleTarget is what an idle connection may take, in bytes, on one side; under
// TLS, crypto/tls takes 16 KiB of its own.
var idleTarget = map[string]float64{"tcp": 24 << 10, "tls": 36 << 10}

// idleMemory opens n connections over loopback, makes a call on each, lets them
// come to rest, and gives the bytes of heap and stacks that one of them takes on
// both sides together, at rest and just after its call.
func idleMemory(l *lab, n int) (atRest, used float64) {
	l.Helper()
	limits := Limits{Keepalive: time.Hour, IdleTimeout: -1} // the test looks after them itself
	h := l.host(Config{Name: "b", Handler: echo{}, Limits: limits})
	a := l.endpoint(Config{Name: "a", Limits: limits})
	l.dial(a, h).Close() // what all share is there
	before := inUse()
	conns := make([]*Conn, n)
	var wg sync.WaitGroup
	for part := range 8 {
		wg.Go(func() {
			for i := part; i < n; i += 8 {
				c, err := a.Dial(context.Background(), h.addr, "b")
				if err != nil {
					l.Errorf("connection %d: %v", i, err)
					return
				}
				conns[i] = c
				call(l, c, "echo", make([]byte, 3000))
			}
		})
	}
	wg.Wait()
	if l.Failed() {
		l.FailNow()
	}
	used = inUse() - before
	for _, ep := range []*Endpoint{a, h.Endpoint} {
		now := ep.tick.Add(3)
		for _, c := range ep.open() {
			c.tend(now)
		}
	}
	for _, ep := range []*Endpoint{a, h.Endpoint} {
		for _, c := range ep.open() {
			eventually(l, "small buffers", func() bool { return c.life.readBuffer.Load() <= minReadBuffer })
		}
	}
	atRest = inUse() - before
	call(l, conns[n-1], "echo", []byte("still there"))
	a.Close()
	h.Close()
	return atRest / float64(n), used / float64(n)
}

func inUse() float64 {
	for range 4 { // each may shrink stacks to a half
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}

// An idle connection is cheap, on TCP and under TLS.
func TestIdleMemory(t *testing.T) {
	for name, target := range idleTarget {
		t.Run(name, func(t *testing.T) {
			l := &lab{t, networks(t)[name]()}
			atRest, used := idleMemory(l, 400)
			t.Logf("%s: %.0f bytes for both sides of an idle connection, %.0f just after a call", name, atRest, used)
			if atRest > 2*target {
				t.Errorf("an idle connection takes %.0f bytes on both sides together, more than %.0f", atRest, 2*target)
			}
		})
	}
}

// BenchmarkIdleConns tells what one of 10,000 idle connections takes, or of as
// many as the limit of open files allows.
func BenchmarkIdleConns(b *testing.B) {
	for _, name := range []string{"tcp", "tls"} {
		b.Run(name, func(b *testing.B) {
			n := min(10_000, openFiles()/2-100)
			for b.Loop() {
				atRest, used := idleMemory(&lab{b, networks(b)[name]()}, n)
				b.ReportMetric(float64(n), "conns")
				b.ReportMetric(atRest, "B/conn-both-sides")
				b.ReportMetric(atRest/2, "B/conn-per-side")
				b.ReportMetric(used, "B/conn-after-call")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// openFiles raises the limit of open files as far as it goes.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1000
	}
	more := syscall.Rlimit{Cur: max(limit.Max, 1<<15), Max: max(limit.Max, 1<<15)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) == nil { // root may
		return int(min(more.Max, 1<<20))
	}
	limit.Cur = limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	return int(min(limit.Max, 1<<20))
}
