package ledger

import (
	"context"
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

const benchPartitions = 256

// callers has n goroutines do b.N pieces of work.
func callers(b *testing.B, n int, work func(i int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := work(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkDo makes calls that set a value of 100 bytes, beside bbolt alone that writes the same two values for each
// with Batch, and with one value only.
func BenchmarkDo(b *testing.B) {
	expires := time.Now().Add(time.Hour)
	value := make([]byte, 100)
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("ledger/%d", n), func(b *testing.B) {
			l := fresh(b, benchPartitions, Config{})
			before := l.Stats().Commits
			callers(b, n, func(i int) error {
				c := Call{Partition: uint32(i % benchPartitions), ID: fmt.Sprintf("sender/%016d", i), Hash: md5.Sum(value), Expires: expires}
				_, _, err := l.Do(context.Background(), c, func(tx *Tx) ([]byte, error) {
					return []byte("ok"), tx.Bucket(accounts).Put(fmt.Appendf(nil, "%08d", i*7919%10007), value)
				})
				return err
			})
			b.ReportMetric(float64(b.N)/float64(l.Stats().Commits-before), "calls/commit")
		})
		for _, puts := range []int{2, 1} {
			b.Run(fmt.Sprintf("bbolt-batch-%d-puts/%d", puts, n), func(b *testing.B) { benchBatch(b, n, puts, value) })
		}
	}
}

func benchBatch(b *testing.B, n, puts int, value []byte) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoStatistics: true})
	check(b, err)
	defer db.Close()
	check(b, db.Update(func(btx *bbolt.Tx) error {
		for p := range uint32(benchPartitions) {
			if _, err := btx.CreateBucket(partitionKey(p)); err != nil {
				return err
			}
		}
		return nil
	}))
	if n == 1 {
		db.MaxBatchDelay = 0 // it would wait for others, who don't come
	}
	callers(b, n, func(i int) error {
		return db.Batch(func(btx *bbolt.Tx) error {
			bucket := btx.Bucket(partitionKey(uint32(i % benchPartitions)))
			if puts == 2 {
				if err := bucket.Put(fmt.Appendf(nil, "dsender/%016d", i), make([]byte, 30)); err != nil {
					return err
				}
			}
			return bucket.Put(fmt.Appendf(nil, "a%08d", i*7919%10007), value)
		})
	})
}

// BenchmarkOpen opens a file of 200,000 outcomes and as many values of the application, with and without the check.
func BenchmarkOpen(b *testing.B) {
	const calls = 200_000
	l := fresh(b, benchPartitions, Config{})
	expires := time.Now().Add(time.Hour)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			for i := next.Add(1); i <= calls; i = next.Add(1) {
				c := Call{Partition: uint32(i % benchPartitions), ID: fmt.Sprintf("sender/%016d", i), Expires: expires}
				if _, _, err := l.Do(context.Background(), c, add(fmt.Sprint(i), 1)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	check(b, l.Close())
	info, err := os.Stat(l.path)
	check(b, err)
	for name, cfg := range map[string]Config{"checked": {}, "unchecked": {Unchecked: true}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(info.Size())
			for b.Loop() {
				l, err := Open(l.path, cfg)
				check(b, err)
				check(b, l.Close())
			}
		})
	}
}

// BenchmarkHandover moves a partition of 20,000 values and outcomes from one ledger to another.
func BenchmarkHandover(b *testing.B) {
	from := fresh(b, 1, Config{})
	var wg sync.WaitGroup
	const calls = 20_000
	for k := range 200 {
		wg.Go(func() {
			for i := k; i < calls; i += 200 {
				if _, _, err := from.Do(context.Background(), call(0, fmt.Sprint(i)), add(fmt.Sprint(i), 1)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	to := open(b, filepath.Join(b.TempDir(), "to"), Config{})
	b.ResetTimer()
	for b.Loop() {
		epoch, err := from.Give(b.Context(), 0, "to")
		check(b, err)
		carry(b, from, to, 0, epoch, 256<<10)
		check(b, from.Given(b.Context(), 0, epoch))
		from, to = to, from
	}
}
