package outbox

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// BenchmarkEnqueue is how many durable calls a second are taken, by so many callers
// at a time: each returns when its call is on the disk.
func BenchmarkEnqueue(b *testing.B) {
	for _, writers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			box, err := Open(b.TempDir(), Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer box.Close()
			req := &add{N: 1, Then: string(make([]byte, 150))}
			each := perWriter(b, writers, func(w, i int) {
				if _, err := addMethod.Enqueue(b.Context(), box, req, rpc.Key(fmt.Sprint(w))); err != nil {
					b.Error(err)
				}
			})
			b.ReportMetric(each, "calls/s")
			b.ReportMetric(float64(box.log.Stats().Commits)/b.Elapsed().Seconds(), "fsyncs/s")
		})
	}
}

// BenchmarkDurable is the same until each call has been executed, with its effect and
// its reply on the receiver's disk: one node, which sends to itself, 256 callers with
// a key each.
func BenchmarkDurable(b *testing.B) {
	l := newLab(b)
	a := l.start("a")
	l.settled(a)
	var failed atomic.Int64
	each := perWriter(b, 256, func(w, i int) {
		id, err := addMethod.Enqueue(b.Context(), a.box, &add{N: 1}, rpc.Key(fmt.Sprint("key", w)))
		if err == nil {
			_, err = addMethod.Await(b.Context(), a.box, id)
		}
		if err != nil {
			failed.Add(1)
		}
	})
	b.ReportMetric(each, "calls/s")
	if failed.Load() > 0 {
		b.Errorf("%d failed", failed.Load())
	}
}

// perWriter spreads b.N calls over writers, and gives the calls a second.
func perWriter(b *testing.B, writers int, do func(w, i int)) float64 {
	b.ResetTimer()
	start := time.Now()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := w; i < b.N; i += writers {
				do(w, i)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	return float64(b.N) / time.Since(start).Seconds()
}

// BenchmarkRecover is how long it takes to open a box with a million pending calls.
func BenchmarkRecover(b *testing.B) {
	const pending = 1_000_000
	dir := b.TempDir()
	box, err := Open(dir, Config{})
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 100)
	var all sync.WaitGroup
	for w := range 256 {
		all.Go(func() {
			for i := w; i < pending; i += 256 {
				if _, err := box.Add(b.Context(), rpc.DurableCall{Method: "lab.Add", Key: fmt.Sprint(i), Body: body}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if err := box.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		again, err := Open(dir, Config{})
		if err != nil {
			b.Fatal(err)
		}
		if f := again.Recovery(); f.Pending != pending {
			b.Fatalf("%+v", f)
		}
		b.StopTimer()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/pending, "heap-B/call")
		if err := again.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
