package ledger

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// TestTruncated cuts the end of the file off.
func TestTruncated(t *testing.T) {
	file := sample(t)
	path := filepath.Join(t.TempDir(), "ledger")
	for n := sectorLen; n < len(file); n += 11 * sectorLen {
		check(t, os.WriteFile(path, file[:n], 0o600))
		l, err := Open(path, Config{})
		if err == nil {
			same(t, "held", len(l.Held(Held)), 9)
			check(t, l.Close())
			continue
		}
		wantErr(t, err, ErrCorrupt)
	}
}

func TestNewerFormat(t *testing.T) {
	l := fresh(t, 1, Config{})
	check(t, l.db.Update(func(btx *bbolt.Tx) error {
		newer := seal(bucketFormat, noPartition, keyVersion, binary.LittleEndian.AppendUint32(nil, format+1))
		if _, err := btx.CreateBucket([]byte("unknown")); err != nil {
			return err
		}
		return btx.Bucket(bucketFormat).Put(keyVersion, newer)
	}))
	check(t, l.Close())
	before, err := os.ReadFile(l.path)
	check(t, err)
	_, err = Open(l.path, Config{})
	wantErr(t, err, ErrNewerFormat)
	if !strings.Contains(err.Error(), l.path) {
		t.Errorf("%v doesn't name the file", err)
	}
	after, err := os.ReadFile(l.path)
	check(t, err)
	same(t, "file untouched", bytes.Equal(before, after), true)
}

// TestForeign opens files that are no ledgers, which must be left alone.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	db, err := bbolt.Open(other, 0o600, nil)
	check(t, err)
	check(t, db.Update(func(btx *bbolt.Tx) error { _, err := btx.CreateBucket([]byte("theirs")); return err }))
	check(t, db.Close())
	text := filepath.Join(dir, "text")
	check(t, os.WriteFile(text, bytes.Repeat([]byte("words "), 200), 0o600))
	for _, path := range []string{other, text} {
		before, err := os.ReadFile(path)
		check(t, err)
		_, err = Open(path, Config{})
		wantErr(t, err, ErrCorrupt)
		after, err := os.ReadFile(path)
		check(t, err)
		same(t, "file untouched", bytes.Equal(before, after), true)
	}
}

// TestUnborn cuts off the creation of a file at each sector, in both orders.
func TestUnborn(t *testing.T) {
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, "new"), 0o600, nil)
	check(t, err)
	check(t, db.Close())
	file, err := os.ReadFile(filepath.Join(dir, "new"))
	check(t, err)
	file = file[:min(len(file), 4*os.Getpagesize())]
	path := filepath.Join(dir, "ledger")
	for n := 0; n <= len(file); n += sectorLen {
		for _, image := range [][]byte{file[:n], append(make([]byte, n), file[n:]...)} {
			check(t, os.WriteFile(path, image, 0o600))
			l, err := Open(path, Config{})
			check(t, err)
			check(t, l.Claim(t.Context(), []uint32{1}, 1))
			check(t, l.Close())
		}
	}
}

// FuzzVerify reads any bytes as a file, and if they pass has bbolt use them.
func FuzzVerify(f *testing.F) {
	file := sample(f)
	f.Add(file, uint32(0), byte(0))
	f.Add(file[:5*os.Getpagesize()], uint32(9000), byte(1))
	f.Fuzz(func(t *testing.T, file []byte, at uint32, mask byte) {
		if len(file) > 1<<20 {
			return
		}
		file = bytes.Clone(file)
		if len(file) > 0 {
			file[int(at)%len(file)] ^= mask
		}
		want, err := content(file)
		if err != nil || len(want) == 0 {
			return
		}
		path := filepath.Join(t.TempDir(), "ledger")
		check(t, os.WriteFile(path, file, 0o600))
		l, err := Open(path, Config{})
		check(t, err)
		check(t, l.Claim(t.Context(), []uint32{1 << 20}, 1<<40))
		check(t, l.Close())
	})
}
