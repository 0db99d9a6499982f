package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	berrors "go.etcd.io/bbolt/errors"
	"pgregory.net/rapid"
)

// TestBucket holds buckets against a map, within transactions that succeed or fail.
func TestBucket(t *testing.T) {
	l := fresh(t, 1, Config{})
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		name := fmt.Appendf(nil, "b%d", round)
		want := map[string]string{}
		key := rapid.StringMatching(`[ab\x00\xff]{1,3}`)
		for n := range rapid.IntRange(1, 8).Draw(rt, "transactions") {
			now := maps.Clone(want)
			failed := errors.New("failed")
			fails := rapid.Bool().Draw(rt, "fails")
			_, _, err := l.Do(t.Context(), call(0, fmt.Sprint(round, " ", n)), func(tx *Tx) ([]byte, error) {
				b := tx.Bucket(name)
				for range rapid.IntRange(0, 10).Draw(rt, "steps") {
					k := key.Draw(rt, "key")
					if rapid.IntRange(0, 2).Draw(rt, "delete") == 0 {
						must(rt, b.Delete([]byte(k)))
						delete(now, k)
					} else {
						v := rapid.StringN(0, 5, 10).Draw(rt, "value")
						must(rt, b.Put([]byte(k), []byte(v)))
						now[k] = v
					}
					compare(rt, b, now, key.Draw(rt, "from"))
				}
				if fails {
					return nil, failed
				}
				return nil, nil
			})
			if !fails {
				must(rt, err)
				want = now
			}
			must(rt, l.View(0, func(tx *Tx) error {
				compare(rt, tx.Bucket(name), want, key.Draw(rt, "from"))
				return nil
			}))
		}
	})
}

func compare(rt *rapid.T, b *Bucket, want map[string]string, from string) {
	var got []string
	for k, v := range b.From([]byte(from)) {
		expect(rt, string(v) == want[string(k)], "%q is %q, want %q", k, v, want[string(k)])
		got = append(got, string(k))
	}
	keys := slices.Sorted(maps.Keys(want))
	i, _ := slices.BinarySearch(keys, from)
	expect(rt, slices.Equal(got, keys[i:]), "keys from %q are %q, want %q", from, got, keys[i:])
	for k, v := range want {
		expect(rt, string(b.Get([]byte(k))) == v, "%q is %q, want %q", k, b.Get([]byte(k)), v)
	}
}

// TestChangeWhileReading writes to a bucket while it is read, and stops early.
func TestChangeWhileReading(t *testing.T) {
	l := fresh(t, 1, Config{})
	do(t, l, call(0, "id"), func(tx *Tx) ([]byte, error) {
		b := tx.Bucket(accounts)
		for _, k := range []string{"a", "b", "c", "d"} {
			check(t, b.Put([]byte(k), []byte(k)))
		}
		var seen []string
		for k, v := range b.From(nil) {
			seen = append(seen, string(k))
			switch string(v) {
			case "a":
				check(t, errors.Join(b.Delete([]byte("a")), b.Delete([]byte("b")), b.Put([]byte("bb"), []byte("bb"))))
			case "d":
				check(t, b.Put([]byte("e"), []byte("stop")))
			}
			if string(v) == "stop" {
				break
			}
		}
		same(t, "seen", fmt.Sprint(seen), "[a bb c d e]")
		return nil, nil
	})
	same(t, "state", state(t, l, 0), "bb=bb c=c d=d e=stop")
}

func TestLimits(t *testing.T) {
	l := fresh(t, 1, Config{})
	var stolen *Tx
	var bucket *Bucket
	long := func(n int) []byte { return []byte(strings.Repeat("k", n)) }
	do(t, l, call(0, "id"), func(tx *Tx) ([]byte, error) {
		stolen, bucket = tx, tx.Bucket(accounts)
		same(t, "partition", tx.Partition(), 0)
		for _, err := range []error{
			bucket.Put(nil, nil), bucket.Put(long(MaxKey+1), nil), bucket.Put([]byte("k"), make([]byte, MaxValue+1)),
			tx.Bucket(nil).Put([]byte("k"), nil), tx.Bucket(long(MaxName + 1)).Delete([]byte("k")), tx.Later(1, make([]byte, MaxValue+1)),
		} {
			wantErr(t, err, ErrTooLarge)
		}
		for range tx.Bucket(nil).From(nil) {
			t.Error("a bucket without name has entries")
		}
		check(t, bucket.Put(long(MaxKey), make([]byte, 100_000)))
		check(t, bucket.Put([]byte("empty"), nil))
		return nil, tx.Bucket(long(MaxName)).Put(long(MaxKey), []byte("v"))
	})
	l = reopen(t, l)
	wantErr(t, bucket.Put([]byte("k"), nil), ErrTxDone)
	wantErr(t, bucket.Delete([]byte("k")), ErrTxDone)
	wantErr(t, stolen.Later(1, nil), ErrTxDone)
	same(t, "get after the end", bucket.Get([]byte("empty")) == nil, true)
	check(t, l.View(0, func(tx *Tx) error {
		b := tx.Bucket(accounts)
		wantErr(t, b.Put([]byte("k"), nil), ErrTxDone)
		wantErr(t, b.Delete([]byte("k")), ErrTxDone)
		wantErr(t, tx.Later(1, nil), ErrTxDone)
		same(t, "value of nothing", b.Get([]byte("empty")) != nil, true)
		same(t, "long value", len(b.Get(long(MaxKey))), 100_000)
		same(t, "long name", string(tx.Bucket(long(MaxName)).Get(long(MaxKey))), "v")
		return nil
	}))
	failed := errors.New("failed")
	wantErr(t, l.View(0, func(*Tx) error { return failed }), failed)
	var p *PanicError
	if err := l.View(0, func(*Tx) error { panic("in view") }); !errors.As(err, &p) {
		t.Errorf("a panic in View gave %v", err)
	}
}

// TestFull fills the file to its limit: calls get ErrFull, lose nothing, and go on once there is room.
func TestFull(t *testing.T) {
	l := fresh(t, 1, Config{MaxBytes: 1 << 20})
	put := func(i, size int) error {
		_, _, err := l.Do(t.Context(), call(0, fmt.Sprint("id", i, " ", size)), func(tx *Tx) ([]byte, error) {
			return nil, tx.Bucket(accounts).Put(fmt.Append(nil, i), make([]byte, size))
		})
		return err
	}
	n := 0
	for ; ; n++ {
		if err := put(n, 30_000); err != nil {
			wantErr(t, err, ErrFull)
			break
		}
	}
	if n < 5 || n > 40 {
		t.Fatalf("full after %d values", n)
	}
	for range 3 {
		wantErr(t, put(n, 300_000), ErrFull)
		l = reopen(t, l)
	}
	for i := range n {
		_, dup := do(t, l, call(0, fmt.Sprint("id", i, " ", 30_000)), add("x", 1))
		same(t, "call before it was full is known", dup, true)
	}
	l.cfg.MaxBytes *= 2
	l = reopen(t, l)
	check(t, put(n, 30_000))
}

// TestBroken has the disk fail under the ledger.
func TestBroken(t *testing.T) {
	l := fresh(t, 1, Config{})
	do(t, l, call(0, "good"), add("x", 1))
	check(t, l.file()) // from now on all writes fail
	_, _, err := l.Do(t.Context(), call(0, "fails"), add("x", 1))
	wantErr(t, err, ErrBroken)
	_, _, err = l.Do(t.Context(), call(0, "later"), add("x", 1))
	wantErr(t, err, ErrBroken)
	wantErr(t, l.View(0, func(*Tx) error { return nil }), ErrBroken)
	if err := l.Close(); err == nil {
		t.Error("no error of the close")
	}
	l = open(t, l.path, Config{})
	same(t, "state", state(t, l, 0), "x=1")
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err, want error
	}{
		{&fs.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, ErrFull},
		{syscall.EDQUOT, ErrFull},
		{berrors.ErrMaxSizeReached, ErrFull},
		{&fs.PathError{Op: "open", Path: "p", Err: syscall.EROFS}, ErrReadOnly},
		{&fs.PathError{Op: "open", Path: "p", Err: syscall.EACCES}, ErrReadOnly},
		{syscall.EPERM, ErrReadOnly},
		{berrors.ErrTimeout, ErrInUse},
		{fmt.Errorf("open: %w", berrors.ErrInvalid), ErrCorrupt},
		{berrors.ErrChecksum, ErrCorrupt},
	} {
		got := classify(c.err)
		if !errors.Is(got, c.want) || !errors.Is(got, c.err) || classify(got) != got {
			t.Errorf("%v became %v", c.err, got)
		}
	}
	for _, err := range []error{nil, syscall.EIO, errors.New("other")} {
		if got := classify(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	for _, c := range []struct {
		err  error
		want error
	}{
		{&fs.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, ErrFull},
		{&fs.PathError{Op: "sync", Path: "p", Err: syscall.ENOSPC}, ErrBroken}, // who knows what is on disk
		{&fs.PathError{Op: "write", Path: "p", Err: syscall.EIO}, ErrBroken},
		{syscall.EIO, ErrBroken},
	} {
		got := commitError(c.err)
		if !errors.Is(got, c.want) || errors.Is(got, ErrBroken) != (c.want == ErrBroken) {
			t.Errorf("a commit with %v: %v", c.err, got)
		}
	}
}

// TestNoFolder opens a file in a folder that is not there.
func TestNoFolder(t *testing.T) {
	_, err := Open(t.TempDir()+"/none/ledger", Config{})
	wantErr(t, err, fs.ErrNotExist)
}

// TestPurgeMany forgets more outcomes of one partition than fit into one transaction.
func TestPurgeMany(t *testing.T) {
	l := fresh(t, 2, Config{Retention: time.Minute})
	const n = purgeBatch + 5
	end := time.Now().Add(2 * time.Hour)
	for i := range n {
		do(t, l, call(1, fmt.Sprint(i)), add("x", 1))
	}
	before := l.Stats().Commits
	got, err := l.Purge(t.Context(), end)
	check(t, err)
	same(t, "purged", got, n)
	same(t, "commits", l.Stats().Commits-before, 2)
	same(t, "state", state(t, l, 1), fmt.Sprint("x=", n))
}

// FuzzChunk imports what a stranger may send.
func FuzzChunk(f *testing.F) {
	f.Add([]byte(""), []byte("a\x01bk"), []byte("a\x01bk"), []byte("v"), []byte("did"), encodeDone(done{expires: 5}), true)
	f.Add([]byte("a"), []byte("h"), []byte("a\x01bk"), []byte("v"), []byte("h"), []byte("12345678"), false)
	f.Fuzz(func(t *testing.T, after, next, k1, v1, k2, v2 []byte, last bool) {
		l := open(t, t.TempDir()+"/ledger", Config{})
		c := Chunk{After: after, Next: next, Pairs: []Pair{{k1, v1}, {k2, v2}}, Last: last}
		err := l.Import(t.Context(), 1, 1, c)
		if err != nil && !errors.Is(err, ErrBadChunk) && !errors.Is(err, ErrGap) {
			t.Fatal(err)
		}
		_, held := l.Holds(1)
		same(t, "held", held, err == nil && last)
		if held {
			_, err = l.Purge(t.Context(), time.Now())
			check(t, err)
		}
		reopen(t, l) // the check of the file finds nothing
	})
}
