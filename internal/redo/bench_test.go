package redo

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkAppend appends records of 200 bytes on the disk of the system.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			l, _, err := Open(Config{Dir: b.TempDir()}, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			b.SetBytes(200)
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var group sync.WaitGroup
			for range writers {
				group.Go(func() {
					data := make([]byte, 200)
					for left.Add(-1) >= 0 {
						if _, err := l.Append(1, data); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.StopTimer()
			s := l.Stats()
			b.ReportMetric(float64(s.Records)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(s.Commits)/b.Elapsed().Seconds(), "syncs/s")
		})
	}
}

// BenchmarkOpen opens a log with a million pending records of 200 bytes, in segments or
// in a checkpoint.
func BenchmarkOpen(b *testing.B) {
	const pending = 1_000_000
	for _, where := range []string{"segments", "checkpoint"} {
		b.Run(where, func(b *testing.B) {
			cfg := Config{Dir: b.TempDir()}
			fill(b, cfg, pending, where == "checkpoint")
			for b.Loop() {
				records := 0
				l, _, err := Open(cfg, func(Record) error { records++; return nil })
				if err != nil || records != pending {
					b.Fatalf("%d records, %v", records, err)
				}
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func fill(b *testing.B, cfg Config, n int, checkpoint bool) {
	b.Helper()
	l, _, err := Open(cfg, nil)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 200)
	if checkpoint {
		c, err := l.Begin()
		if err != nil {
			b.Fatal(err)
		}
		for range n {
			if _, err := c.Add(1, data); err != nil {
				b.Fatal(err)
			}
		}
		if err := c.Commit(); err != nil {
			b.Fatal(err)
		}
	} else {
		for range n {
			if err := l.Lazy(1, data); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
