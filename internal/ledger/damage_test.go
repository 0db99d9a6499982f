package ledger

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

var (
	seedFlag  = flag.Uint64("ledger.seed", 0, "seed of the tests of damage; 0: from the clock")
	flipsFlag = flag.Int("ledger.flips", 200, "how many flips of a byte are tried through Open")
	allFlag   = flag.Bool("ledger.all", false, "flip every byte, which takes minutes, instead of one in some")
)

func source(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; to repeat: go test -run='^%s$' ./internal/ledger -ledger.seed=%d", seed, t.Name(), seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// sample is the file of a ledger with branches, leaves, small and large buckets, free pages, long values, follow-ups and
// partitions in each state.
func sample(t testing.TB) []byte {
	t.Helper()
	l := fresh(t, 12, Config{})
	for i := range 150 {
		p := uint32(i % 3)
		do(t, l, call(p, fmt.Sprintf("call %d", i)), func(tx *Tx) ([]byte, error) {
			value := bytes.Repeat([]byte{byte(i)}, 20+i%60)
			if i == 40 {
				value = bytes.Repeat([]byte("long"), 3000)
			}
			return []byte("done"), errors.Join(tx.Bucket(accounts).Put(fmt.Appendf(nil, "key %d", i), value), tx.Later(3, []byte("later")))
		})
	}
	for p := uint32(3); p < 8; p++ {
		do(t, l, call(p, "only"), add("x", 1))
	}
	for p := uint32(1); p < 4; p++ {
		epoch, err := l.Give(t.Context(), p, "elsewhere")
		check(t, err)
		if p == 3 {
			check(t, l.Given(t.Context(), p, epoch))
		}
	}
	c := Chunk{Next: []byte("a\x01bk"), Pairs: []Pair{{Key: []byte("a\x01bk"), Value: []byte("v")}}}
	check(t, l.Import(t.Context(), 20, 5, c))
	check(t, l.Refuse(t.Context(), 21, 5))
	check(t, l.Close())
	file, err := os.ReadFile(l.path)
	check(t, err)
	return file
}

// content reads all values of a file, whose checksums must hold.
func content(file []byte) (map[string]string, error) {
	out, c := map[string]string{}, &checkEntry{}
	_, err := verify(bytes.NewReader(file), int64(len(file)), func(e entry) error {
		if !e.bucket {
			out[fmt.Sprintf("%q %q", e.path, e.key)] = string(e.value)
		} else {
			out[fmt.Sprintf("%q %q", e.path, e.key)] = "bucket"
		}
		return c.visit(e)
	})
	return out, err
}

// viaBolt reads all values of a file as bbolt sees them. Buckets are read, too, and named.
func viaBolt(t *testing.T, file []byte) map[string]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(path, file, 0o600))
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	check(t, err)
	defer db.Close()
	out := map[string]string{}
	var read func(path [][]byte, c *bbolt.Cursor)
	read = func(path [][]byte, c *bbolt.Cursor) {
		for k, v := c.First(); k != nil; k, v = c.Next() {
			name := fmt.Sprintf("%q %q", path, k)
			if out[name] = string(v); v == nil {
				out[name] = "bucket"
				read(append(path[:len(path):len(path)], k), c.Bucket().Bucket(k).Cursor())
			}
		}
	}
	check(t, db.View(func(btx *bbolt.Tx) error {
		read([][]byte{}, btx.Cursor())
		return nil
	}))
	return out
}

// worth picks bytes to flip: all of what bbolt keeps in the first two pages, many in the heads of others, few elsewhere.
func worth(r *rand.Rand, i int) bool {
	switch page, at := i/os.Getpagesize(), i%os.Getpagesize(); {
	case at < 96 && page < 2:
		return true
	case at < 96:
		return r.IntN(4) == 0
	}
	return r.IntN(300) == 0
}

// TestPointers sets what points to a page, in trees and in the list of free pages, to others.
func TestPointers(t *testing.T) {
	file := sample(t)
	want, err := content(file)
	check(t, err)
	r := source(t)
	page, tried, found := os.Getpagesize(), 0, 0
	for id := 2; id < len(file)/page; id++ {
		head := file[id*page:]
		var at []int
		for i := range int(order.Uint16(head[10:])) {
			switch order.Uint16(head[8:]) {
			case flagBranch:
				at = append(at, id*page+pageHeader+i*elemSize+8)
			case flagFreelist:
				at = append(at, id*page+pageHeader+i*8)
			}
		}
		for _, at := range at {
			was := order.Uint64(file[at:])
			for _, to := range []uint64{uint64(id), 0, was - 1, was + 1, uint64(r.IntN(70)), r.Uint64()} {
				order.PutUint64(file[at:], to)
				got, err := content(file)
				if err == nil && !maps.Equal(got, want) {
					t.Fatalf("page %d: %d instead of %d: other data without an error", id, to, was)
				}
				tried++
				if err != nil {
					found++
				} else if got := viaBolt(t, file); !maps.Equal(got, want) {
					t.Fatalf("page %d: %d instead of %d: bbolt sees other data than the check", id, to, was)
				}
			}
			order.PutUint64(file[at:], was)
		}
	}
	t.Logf("%d of %d found", found, tried)
	if found < 30 {
		t.Errorf("%d of %d found", found, tried)
	}
}

// TestFlips flips bytes of a file, with -ledger.all every one: what is then read is an error, or the right data.
func TestFlips(t *testing.T) {
	file := sample(t)
	want, err := content(file)
	check(t, err)
	r := source(t)
	found, tried := 0, 0
	for i := range file {
		if !*allFlag && !worth(r, i) {
			continue
		}
		tried++
		mask := byte(1) << r.IntN(8)
		if i%2 == 0 {
			mask = byte(1 + r.IntN(255))
		}
		file[i] ^= mask
		got, err := content(file)
		if err == nil && !maps.Equal(got, want) {
			t.Fatalf("byte %d ^ %#x: other data without an error", i, mask)
		}
		if err != nil {
			found++
		} else if got := viaBolt(t, file); !maps.Equal(got, want) {
			t.Fatalf("byte %d ^ %#x: bbolt sees other data than the check", i, mask)
		}
		file[i] ^= mask
	}
	t.Logf("%d bytes, %d of %d flips found, the others in what is not in use", len(file), found, tried)
	if found < tried/20 {
		t.Errorf("only %d of %d flips were found", found, tried)
	}
}

// TestSectors exchanges, clears and repeats sectors and pages, as disks do that lose a write or put it elsewhere.
func TestSectors(t *testing.T) {
	file := sample(t)
	want, err := content(file)
	check(t, err)
	r := source(t)
	found := 0
	const tries = 600
	for range tries {
		damaged := bytes.Clone(file)
		size := []int{sectorLen, os.Getpagesize()}[r.IntN(2)]
		a, b := r.IntN(len(file)/size)*size, r.IntN(len(file)/size)*size
		switch r.IntN(3) {
		case 0:
			clear(damaged[a : a+size])
		case 1:
			copy(damaged[a:a+size], file[b:b+size])
		case 2:
			copy(damaged[a:a+size], file[b:b+size])
			copy(damaged[b:b+size], file[a:a+size])
		}
		got, err := content(damaged)
		if err == nil && !maps.Equal(got, want) {
			t.Fatalf("sectors of %d bytes at %d and %d: other data without an error", size, a, b)
		}
		if err != nil {
			found++
		}
	}
	if found < tries/10 {
		t.Errorf("only %d of %d were found", found, tries)
	}
}

// TestOpenDamaged opens files with a flipped byte, and uses those that open.
func TestOpenDamaged(t *testing.T) {
	file := sample(t)
	r := source(t)
	path := filepath.Join(t.TempDir(), "ledger")
	m, err := verify(bytes.NewReader(file), int64(len(file)), func(entry) error { return nil })
	check(t, err)
	used := int(m.end) * int(m.pageSize)
	found := 0
	for range *flipsFlag {
		at, mask := r.IntN(used), byte(1+r.IntN(255))
		damaged := bytes.Clone(file)
		damaged[at] ^= mask
		check(t, os.WriteFile(path, damaged, 0o600))
		l, err := Open(path, Config{})
		if err != nil {
			var c *CorruptError
			if !errors.As(err, &c) || c.Path != path {
				t.Fatalf("byte %d ^ %#x: %v", at, mask, err)
			}
			found++
			continue
		}
		for i := range 150 {
			id := fmt.Sprintf("call %d", i)
			if i%3 == 0 {
				reply, dup := do(t, l, call(0, id), add("x", 1))
				if reply != "done" || !dup {
					t.Fatalf("byte %d ^ %#x: call %d was forgotten", at, mask, i)
				}
			}
		}
		do(t, l, call(5, "new"), add("x", 1))
		same(t, "state", state(t, l, 5), "x=2")
		check(t, l.Close())
	}
	t.Logf("%d of %d flips in what is in use were found", found, *flipsFlag)
	if found < *flipsFlag/10 {
		t.Errorf("only %d of %d flips were found", found, *flipsFlag)
	}
}

// TestUnchecked opens damaged files without the check: that may go wrong in each of the ways that are documented, but
// not with a wrong reply to a call whose outcome is read.
func TestUnchecked(t *testing.T) {
	l := fresh(t, 1, Config{Unchecked: true})
	do(t, l, call(0, "a"), add("x", 5))
	check(t, l.Close())
	file, err := os.ReadFile(l.path)
	check(t, err)
	at := bytes.LastIndex(file, []byte("x=5"))
	damaged := bytes.ReplaceAll(file, []byte("x=5"), []byte("x=6"))
	if at < 0 || bytes.Equal(damaged, file) {
		t.Fatal("no reply in the file")
	}
	check(t, os.WriteFile(l.path, damaged, 0o600))
	l = open(t, l.path, Config{Unchecked: true})
	_, _, err = l.Do(t.Context(), call(0, "a"), add("x", 5))
	wantErr(t, err, ErrCorrupt)
	_, _, err = l.Do(t.Context(), call(0, "b"), add("x", 5))
	wantErr(t, err, ErrCorrupt) // no more writes to a damaged file
	check(t, l.Close())
	_, err = Open(l.path, Config{})
	wantErr(t, err, ErrCorrupt)
}

// TestDamagedWhileOpen has the application read a value that was damaged after the file was opened.
func TestDamagedWhileOpen(t *testing.T) {
	l := fresh(t, 1, Config{})
	do(t, l, call(0, "a"), func(tx *Tx) ([]byte, error) {
		return nil, tx.Bucket(accounts).Put([]byte("k"), []byte("a value of some length"))
	})
	file, err := os.ReadFile(l.path)
	check(t, err)
	f, err := os.OpenFile(l.path, os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	for rest, at := file, 0; ; {
		i := bytes.Index(rest, []byte("a value of some length"))
		if i < 0 {
			break
		}
		_, err := f.WriteAt([]byte("A"), int64(at+i))
		check(t, err)
		rest, at = rest[i+1:], at+i+1
	}
	wantErr(t, l.View(0, func(tx *Tx) error {
		if v := tx.Bucket(accounts).Get([]byte("k")); v != nil {
			t.Errorf("read %q", v)
		}
		return nil
	}), ErrCorrupt)
	_, _, err = l.Do(t.Context(), call(0, "b"), func(tx *Tx) ([]byte, error) {
		for k, v := range tx.Bucket(accounts).From(nil) {
			t.Errorf("read %q %q", k, v)
		}
		return []byte("reply"), nil
	})
	wantErr(t, err, ErrCorrupt)
	_, _, err = l.Do(t.Context(), call(0, "a"), add("x", 1))
	wantErr(t, err, ErrCorrupt)
}
