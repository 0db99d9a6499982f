package redo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/disk"
	"github.com/meshnode/meshnode/internal/disk/faulty"
)

// TestSystem uses a log on the disk of the system: records, checkpoints, release, and
// what is there when it is opened again.
func TestSystem(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "a", "b"), SegmentBytes: 1 << 10}
	o, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("large"), 2000)
	var first, last Position
	for i := range 100 {
		data := fmt.Appendf(nil, "record %d", i)
		if i == 50 {
			data = large
		}
		p, err := o.Append(7, data)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = p
		}
		last = p
		if r, err := o.Read(p, make([]byte, 0, 16)); err != nil || r.Kind != 7 || !bytes.Equal(r.Data, data) || r.Pos != p {
			t.Fatalf("%v: %+v, %v", p, r, err)
		}
	}
	if s := o.Stats(); s.Records != 100 || s.Commits != 100 || s.Segments < 4 || s.Bytes < 10_000 || s.End.File() != last.File() {
		t.Errorf("%+v", s)
	}
	for n := range 2 {
		c, err := o.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Begin(); err != ErrCheckpointing {
			t.Errorf("a second one: %v", err)
		}
		p, err := c.Add(9, large)
		if err == nil {
			err = errors.Join(c.Commit(), c.Release())
		}
		if err != nil {
			t.Fatal(err)
		}
		if r, err := o.Read(p, nil); err != nil || !p.Checkpoint() || !bytes.Equal(r.Data, large) {
			t.Errorf("%v: %d bytes, %v", p, len(r.Data), err)
		}
		_, err = o.Read(first, nil)
		if n == 0 && err != nil || n == 1 && err != ErrGone {
			t.Errorf("after checkpoint %d: %v", n, err)
		}
	}
	if _, err := o.Append(3, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := open(cfg); !errors.Is(err, disk.ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if err := errors.Join(o.Close(), o.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Read(last, nil); err != ErrClosed {
		t.Errorf("read after close: %v", err)
	}
	again, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if len(again.all) != 2 || again.all[0].Kind != 9 || again.all[1].Kind != 3 || again.found.Cut != 0 ||
		time.Since(again.found.Made) > time.Hour || again.found.From.File() != again.found.Checkpoint {
		t.Errorf("%+v, %d records", again.found, len(again.all))
	}
}

func TestRefused(t *testing.T) {
	fsys := newDisk(t)
	cfg := labConfig(fsys)
	cfg.MaxRecord = 100
	o, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, zero := o.Append(0, nil)
	_, large := o.Append(1, make([]byte, 101))
	if !errors.Is(zero, ErrKind) || !errors.Is(o.Lazy(0, nil), ErrKind) || !errors.Is(large, ErrTooLarge) {
		t.Errorf("%v, %v", zero, large)
	}
	if _, err := o.Append(1, make([]byte, 100)); err != nil {
		t.Error(err)
	}
	if _, err := o.Read(Position{}, nil); err != ErrGone {
		t.Errorf("nowhere: %v", err)
	}
	c, err := o.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Add(0, nil); err != ErrKind {
		t.Error(err)
	}
	if err := errors.Join(c.Abort(), c.Abort()); err != nil {
		t.Error(err)
	}
	if err := c.Commit(); err != ErrClosed {
		t.Errorf("commit after abort: %v", err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = o.Append(1, nil)
	_, begin := o.Begin()
	for _, err := range []error{err, begin, o.Lazy(1, nil), o.Flush(), o.Err()} {
		if err != ErrClosed {
			t.Errorf("closed: %v", err)
		}
	}
	// Records that were allowed when they were written stay readable.
	cfg.MaxRecord = 10
	again, err := open(cfg)
	if err != nil || len(again.all) != 1 {
		t.Fatalf("%v, %+v", err, again)
	}
	_ = again.Close()
}

// TestLazy waits for a lazy record to get to the disk without anybody asking for it.
func TestLazy(t *testing.T) {
	fsys := newDisk(t)
	cfg := labConfig(fsys)
	cfg.LazyDelay = time.Millisecond
	o, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	synced := make(chan struct{}, 10)
	fsys.Inject(func(op faulty.Op) error {
		if op.Kind == faulty.Sync {
			synced <- struct{}{}
		}
		return nil
	})
	for range 2 {
		if err := o.Lazy(1, []byte("lazy")); err != nil {
			t.Fatal(err)
		}
		<-synced
	}
}

// TestBroken has a sync fail under writers that share it: all of them are told, and so is
// whoever comes later.
func TestBroken(t *testing.T) {
	fsys := newDisk(t)
	o, err := open(labConfig(fsys))
	if err != nil {
		t.Fatal(err)
	}
	fsys.Inject(func(op faulty.Op) error {
		if op.Kind == faulty.Sync {
			return syscall.EIO
		}
		return nil
	})
	var writers sync.WaitGroup
	for range 20 {
		writers.Go(func() {
			if _, err := o.Append(1, nil); !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.EIO) {
				t.Errorf("%v", err)
			}
		})
	}
	writers.Wait()
	fsys.Inject(nil)
	_, err = o.Append(1, nil)
	_, begin := o.Begin()
	for _, err := range []error{err, begin, o.Lazy(1, nil), o.Flush(), o.Err(), o.Close()} {
		if !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.EIO) {
			t.Errorf("later: %v", err)
		}
	}
	again, err := open(labConfig(fsys))
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

// TestTogether has many write at once, lazily or not, beside checkpoints, and the power
// fail in between: whatever was acknowledged by then is there, each writer's in order.
func TestTogether(t *testing.T) {
	const writers, each = 16, 40
	fsys := newDisk(t)
	o, err := open(labConfig(fsys))
	if err != nil {
		t.Fatal(err)
	}
	var acked [writers]atomic.Int64
	var mu sync.Mutex
	var images []*faulty.FS
	var counts [][writers]int64
	fsys.Inject(func(op faulty.Op) error {
		if op.Kind != faulty.Sync && op.Kind != faulty.Write || op.N%7 != 0 {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		var before [writers]int64
		for w := range acked {
			before[w] = acked[w].Load()
		}
		images, counts = append(images, fsys.Crash(uint64(op.N))), append(counts, before)
		return nil
	})
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				data := []byte{byte(w), byte(i)}
				if i%3 == 0 {
					if err := o.Lazy(1, data); err != nil {
						t.Error(err)
					}
					continue
				}
				p, err := o.Append(1, data)
				if err != nil {
					t.Error(err)
					return
				}
				acked[w].Store(int64(i) + 1)
				if r, err := o.Read(p, nil); err != nil || !bytes.Equal(r.Data, data) {
					t.Errorf("%v: %+v, %v", p, r, err)
				}
			}
		})
	}
	group.Go(func() {
		for range 5 {
			c, err := o.Begin()
			if err == nil {
				err = c.Abort() // a checkpoint would hide records
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	if s := o.Stats(); s.Commits >= s.Records {
		t.Errorf("nothing was shared: %+v", s)
	}
	fsys.Inject(nil)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	images, counts = append(images, fsys), append(counts, [writers]int64{})
	for w := range counts[len(counts)-1] {
		counts[len(counts)-1][w] = each
	}
	for i, image := range images {
		checkTogether(t, image, counts[i][:])
	}
}

func checkTogether(t *testing.T, image *faulty.FS, acked []int64) {
	t.Helper()
	o, err := open(labConfig(image))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	found := make([]int64, len(acked))
	for _, r := range o.all {
		w := r.Data[0]
		if int64(r.Data[1]) != found[w] {
			t.Fatalf("writer %d: %d comes after %d", w, r.Data[1], found[w])
		}
		found[w]++
	}
	for w := range acked {
		if found[w] < acked[w] {
			t.Fatalf("writer %d: %d records, %d were acknowledged", w, found[w], acked[w])
		}
	}
}

func TestPosition(t *testing.T) {
	if got := (Position{}).String(); got != "nowhere" {
		t.Error(got)
	}
	p := Position{3 | checkpointBit, 48}
	if p.String() != "checkpoint-0000000000000003:48" || p.File() != 3 || !p.Checkpoint() || p.Offset() != 48 {
		t.Error(p)
	}
}

// TestAllocs bounds what an Append allocates.
func TestAllocs(t *testing.T) {
	o, err := open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	data := make([]byte, 200)
	allocs := testing.AllocsPerRun(50, func() {
		if _, err := o.Append(1, data); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 2 {
		t.Errorf("%v allocations", allocs)
	}
	if _, err := os.Stat(filepath.Join(o.cfg.Dir, lockName)); err != nil {
		t.Error(err)
	}
}
