package exact

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func testProgram(text string) *Program { return NewProgram([]byte("\x00asm"+text), "go1.99") }

func TestPack(t *testing.T) {
	p := testProgram("abc")
	var packed bytes.Buffer
	if err := p.Pack(&packed); err != nil {
		t.Fatal(err)
	}
	q, err := Unpack(bytes.NewReader(packed.Bytes()))
	if err != nil || !bytes.Equal(q.Wasm, p.Wasm) || q.Hash != p.Hash || q.GoVersion != p.GoVersion || q.Embedded {
		t.Fatalf("Unpack gives %+v, %v", q, err)
	}
	var text bytes.Buffer
	if err := NewProgram([]byte("text"), "go1.99").Pack(&text); err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(packed.Bytes())
	damaged[len(damaged)-6] ^= 1
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte("text"), "not WebAssembly": text.Bytes(), "damaged": damaged,
		"cut": packed.Bytes()[:packed.Len()-1],
	} {
		if _, err := Unpack(bytes.NewReader(data)); !errors.Is(err, ErrProgram) {
			t.Errorf("%s: %v, want ErrProgram", name, err)
		}
	}
}

func TestEmbedded(t *testing.T) {
	p, err := Embedded()
	if err != nil || (p != nil) != (embedded() != nil) || p != nil && !p.Embedded {
		t.Errorf("Embedded gives %v, %v", p, err)
	}
}

func TestCacheKeepsTheLatest(t *testing.T) {
	dir := t.TempDir()
	store := programs(dir)
	hash := func(i int) string { return fmt.Sprintf("%064x", i)[32:] + strings.Repeat("0", 32) }
	for i := range 2 * keepEntries {
		if err := store.save(hash(i), testProgram(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		// What was used last stays, also if it was made first.
		at := time.Now().Add(time.Duration(i-100) * time.Minute)
		if err := os.Chtimes(store.file(hash(i)), at, at); err != nil {
			t.Fatal(err)
		}
		if p := store.load(hash(0)); p == nil {
			t.Fatalf("the program in use is gone after %d others", i)
		}
	}
	if kept := entries(t, dir, programPrefix); len(kept) != keepEntries {
		t.Errorf("%d programs are kept, want %d", len(kept), keepEntries)
	}
	if p := store.load(hash(2*keepEntries - 1)); p == nil || string(p.Wasm) != "\x00asm9" {
		t.Errorf("the last program is %v", p)
	}
}

func TestCacheHealsDamage(t *testing.T) {
	dir := t.TempDir()
	store, hash := programs(dir), strings.Repeat("a", 64)
	if err := os.WriteFile(store.file(hash), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := store.load(hash); p != nil {
		t.Fatalf("a damaged entry gives %v", p)
	}
	if err := store.save(hash, testProgram("")); err != nil {
		t.Fatal(err)
	}
	if p := store.load(hash); p == nil {
		t.Error("the entry is not replaced")
	}
}

func TestPruneEndsBrokenBuilds(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	for name, age := range map[string]time.Duration{
		buildPrefix + "new": time.Hour, buildPrefix + "old": 2 * keepBuilds, newPrefix + "old": 2 * keepBuilds,
		"foreign": 100 * keepBuilds,
	} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	prune(dir, now)
	left := entries(t, dir, "")
	if len(left) != 2 || filepath.Base(left[0]) != buildPrefix+"new" || filepath.Base(left[1]) != "foreign" {
		t.Errorf("left: %v", left)
	}
}
