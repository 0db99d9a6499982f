package faulty

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/meshnode/meshnode/internal/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// must is for operations that do not fail here.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

const name = "/d/f"

func withFile(t *testing.T) (*FS, disk.File) {
	t.Helper()
	s := New()
	ok(t, s.MkdirAll("/d"))
	return s, must[disk.File](t)(s.Open(name, os.O_RDWR|os.O_CREATE))
}

func write(t *testing.T, f disk.File, b []byte, offset int64) {
	t.Helper()
	must[int](t)(f.WriteAt(b, offset))
}

// outcomes gives the states of the file after many power failures, as text.
func outcomes(s *FS) map[string]int {
	seen := make(map[string]int)
	for seed := range uint64(300) {
		b := s.Crash(seed).Get(name)
		text := "none"
		if b != nil {
			text = ""
			for i := int64(0); i*sectorBytes < int64(len(b)); i++ {
				text += string(sector(b, i)[:1])
			}
		}
		seen[strings.ReplaceAll(text, "\x00", "0")]++
	}
	return seen
}

func wants(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%v, want %q", got, want)
	}
	for _, text := range want {
		if got[text] == 0 {
			t.Errorf("%v, never %q", got, text)
		}
	}
}

// of is sectors of one letter each.
func of(letters string) (b []byte) {
	for _, l := range letters {
		b = append(b, bytes.Repeat([]byte{byte(l)}, sectorBytes)...)
	}
	return b
}

func TestCrash(t *testing.T) {
	s, f := withFile(t)
	write(t, f, of("ab"), 0)
	ok(t, f.Sync())
	wants(t, outcomes(s), "none", "ab") // its name is not durable
	ok(t, s.SyncDir("/d"))
	wants(t, outcomes(s), "ab")
	write(t, f, of("c"), sectorBytes)
	write(t, f, of("d"), sectorBytes)
	wants(t, outcomes(s), "ab", "ac", "ad")
	ok(t, f.Sync())
	wants(t, outcomes(s), "ad")
	write(t, f, of("ef"), 2*sectorBytes)
	wants(t, outcomes(s), "ad", "ad00", "ade0", "ad0f", "adef")
	ok(t, f.Truncate(sectorBytes), f.Sync())
	wants(t, outcomes(s), "a")
	if a, b := s.Crash(1), s.Crash(1); !bytes.Equal(a.Get(name), b.Get(name)) {
		t.Error("the same seed gives another state")
	}
}

func TestCrashNames(t *testing.T) {
	s, f := withFile(t)
	write(t, f, of("a"), 0)
	ok(t, f.Sync(), s.SyncDir("/d"))
	ok(t, s.Rename(name, "/d/g"))
	for seed := range uint64(50) {
		if names := s.Crash(seed).Names("/d"); len(names) != 1 {
			t.Fatalf("seed %d: a rename left %v", seed, names)
		}
	}
	wants(t, outcomes(s), "a", "none")
	ok(t, s.SyncDir("/d"), s.Remove("/d/g"))
	if s.Crash(3).Get(name) != nil || s.Get("/d/g") != nil {
		t.Error("removed, and still there")
	}
}

// TestFailedSync loses what was to be synced, unless it is written again.
func TestFailedSync(t *testing.T) {
	s, f := withFile(t)
	write(t, f, of("a"), 0)
	ok(t, f.Sync(), s.SyncDir("/d"))
	write(t, f, of("b"), 0)
	s.Inject(func(op Op) error {
		if op.Kind == Sync {
			return syscall.EIO
		}
		return nil
	})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	s.Inject(nil)
	ok(t, f.Sync())
	wants(t, outcomes(s), "a", "b")
	killed := s.Kill()
	wants(t, outcomes(killed), "a", "b")
	write(t, f, of("b"), 0)
	ok(t, f.Sync())
	wants(t, outcomes(s), "b")
}

func TestInject(t *testing.T) {
	s, f := withFile(t)
	fail := error(nil)
	s.Inject(func(op Op) error { return fail })
	fail = &Short{Bytes: 5, Err: syscall.ENOSPC}
	if n, err := f.WriteAt(of("x"), 0); n != 5 || !errors.Is(err, disk.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%d, %v", n, err)
	}
	fail = syscall.EROFS
	_, list := s.List("/d")
	_, open := s.Open(name, os.O_RDONLY)
	_, lock := s.Lock("/d/l")
	for _, err := range []error{list, open, lock, s.Rename(name, "/d/g"), s.Remove(name), s.SyncDir("/d"), s.MkdirAll("/e"), f.Truncate(0), f.Sync()} {
		if !errors.Is(err, disk.ErrReadOnly) {
			t.Errorf("%v", err)
		}
	}
	fail = nil
	if got := string(s.Get(name)); got != "xxxxx" {
		t.Errorf("%q", got)
	}
	readOnly := must[disk.File](t)(s.Open(name, os.O_RDONLY))
	if _, err := readOnly.WriteAt([]byte("y"), 0); err == nil {
		t.Error("written to a file that was opened to be read")
	}
	if n, err := readOnly.ReadAt(make([]byte, 9), 3); n != 2 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
}

func TestLock(t *testing.T) {
	s, _ := withFile(t)
	held := must[io.Closer](t)(s.Lock("/d/l"))
	if _, err := s.Lock("/d/l"); !errors.Is(err, disk.ErrInUse) {
		t.Error(err)
	}
	if _, err := s.Crash(0).Lock("/d/l"); err != nil {
		t.Error(err)
	}
	ok(t, held.Close())
	if _, err := s.Lock("/d/l"); err != nil {
		t.Error(err)
	}
}
